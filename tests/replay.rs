//! Replay against tables worked out by hand, and against itself: packed, split, shuffled, in little memory.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tributary::codec::json;
use tributary::core::{Model, Rules};
use tributary::replay::{self, Error, Input, Progress, Request, Summary};

const DAY: i64 = 86_400_000;

fn linear(max_path: usize) -> Rules {
    Rules::new(30 * DAY, 7 * DAY, max_path, vec![Model::Linear]).unwrap()
}

fn files(paths: &[PathBuf]) -> Vec<Input> {
    paths.iter().map(|path| Input::File(path.clone())).collect()
}

/// A folder with inputs, and what replaying them gave.
struct Bench {
    folder: TempDir,
    request: Request,
}

impl Bench {
    fn new(touchpoints: &[u8], conversions: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("touchpoints"), folder.path().join("conversions")];
        fs::write(&paths[0], touchpoints).unwrap();
        fs::write(&paths[1], conversions).unwrap();
        let request = Request {
            sealed: false,
            touchpoints: files(&paths[..1]),
            conversions: files(&paths[1..]),
            rules: linear(256),
            output: Some(folder.path().join("rows")),
            dead_letters: Some(folder.path().join("dead")),
            memory_bytes: replay::DEFAULT_MEMORY_BYTES,
        };
        Self { folder, request }
    }

    fn run(&self) -> Summary {
        replay::run(&self.request, &Progress::none()).unwrap()
    }

    fn rows(&self) -> String {
        fs::read_to_string(self.folder.path().join("rows")).unwrap()
    }

    fn dead(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.folder.path().join("dead")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The names of all that is in the folder.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

/// A golden table's words, line by line.
fn table(name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(golden(name)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().map(Into::into).collect()).collect()
}

/// Rows as a golden table has them.
fn as_table(rows: &str) -> Vec<Vec<String>> {
    let columns = [
        "row_id",
        "position",
        "path_length",
        "credit_micros",
        "credited_micros",
        "conversion_micros",
        "currency",
        "revision",
        "truncated",
        "channel",
    ];
    let word = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "-".into(),
        other => other.to_string(),
    };
    let rows = rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.map(|row| columns.iter().map(|column| word(&row[column])).collect()).collect()
}

#[test]
fn every_model_as_worked_out_by_hand() {
    let mut bench = Bench::new(&golden("models.touchpoints.ndjson"), &golden("models.conversions.ndjson"));
    bench.request.rules = Rules::default();
    let summary = bench.run();
    assert_eq!(as_table(&bench.rows()), table("models.rows.txt"));
    assert_eq!((summary.touchpoints, summary.conversions, summary.rows, summary.bad), (3, 1, 12, 0));
}

#[test]
fn journeys_are_sets_as_worked_out_by_hand() {
    let mut bench = Bench::new(&golden("sets.touchpoints.ndjson"), &golden("sets.conversions.ndjson"));
    bench.request.rules = linear(3);
    let expected = Summary {
        touchpoints: 15,
        conversions: 9,
        valueless: 1,
        adjustments: 6,
        bad: 0,
        conflicting_duplicates: 2,
        distinct_conversions: 8,
        retracted: 1,
        waiting_adjustments: 1,
        shared_ids: 0,
        rows: 11,
    };
    for memory in [replay::DEFAULT_MEMORY_BYTES, 0] {
        bench.request.memory_bytes = memory;
        assert_eq!(bench.run(), expected);
        assert_eq!(as_table(&bench.rows()), table("sets.rows.txt"));
    }
    assert_eq!(bench.names(), ["conversions", "dead", "rows", "touchpoints"], "nothing else is left");
}

#[test]
fn rows_are_these_bytes() {
    let bench = Bench::new(&golden("exact.touchpoints.ndjson"), &golden("exact.conversions.ndjson"));
    bench.run();
    assert_eq!(bench.rows(), String::from_utf8(golden("exact.rows.ndjson")).unwrap());
}

/// Numbers that look random, the same on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.roll(last as u64 + 1) as usize);
        }
    }
}

/// Lines of touchpoints and of conversions, with duplicates of all kinds and one user far busier than the others.
fn some_events(count: u64) -> (Vec<String>, Vec<String>) {
    let mut dice = Dice(7);
    let (mut touchpoints, mut conversions) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let user = if dice.roll(4) == 0 { 0 } else { dice.roll(count / 10 + 1) };
        let at = 1_774_958_400_000 + dice.roll(60 * DAY as u64 / 600_000) as i64 * 600_000;
        let (id, channel) = (dice.roll(count), ["direct", "email", "search", "social"][dice.roll(4) as usize]);
        if dice.roll(10) > 0 {
            touchpoints.push(format!(
                r#"{{"event_id":"t{id}","user_id":"u{user}","occurred_at":{at},"channel":"{channel}"}}"#
            ));
            continue;
        }
        let value = dice.roll(100_000);
        let mut line = format!(r#"{{"event_id":"c{user}-{}","user_id":"u{user}","occurred_at":{at}"#, id % 5);
        match dice.roll(4) {
            0 => write!(line, r#","adjusts":"c{user}-{}""#, value % 5).unwrap(),
            1 => write!(line, r#","adjusts":"c{user}-{}","value_micros":{value},"currency":"EUR""#, id % 4).unwrap(),
            _ => write!(line, r#","value_micros":{value},"currency":"EUR""#).unwrap(),
        }
        line.push('}');
        conversions.push(line);
    }
    for lines in [&mut touchpoints, &mut conversions] {
        let again: Vec<_> = lines.iter().step_by(11).cloned().collect();
        lines.extend(again);
    }
    (touchpoints, conversions)
}

fn text(lines: &[String]) -> Vec<u8> {
    let mut text = lines.join("\n").into_bytes();
    text.push(b'\n');
    text
}

/// The rows through the in-memory helper.
fn in_memory(touchpoints: &[String], conversions: &[String], rules: &Rules) -> String {
    let touchpoints: Vec<_> = touchpoints.iter().map(|line| json::touchpoint(line.as_bytes()).unwrap()).collect();
    let conversions: Vec<_> = conversions.iter().map(|line| json::conversion(line.as_bytes()).unwrap()).collect();
    let rows = replay::rows_of(
        touchpoints.iter().map(|draft| draft.check().unwrap()),
        conversions.iter().map(|draft| draft.check().unwrap()),
        rules,
    );
    assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, no id twice");
    let mut text = String::new();
    for (id, json) in rows {
        let row: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(row["row_id"].as_str().unwrap().as_bytes(), id);
        text.push_str(std::str::from_utf8(&json).unwrap());
        text.push('\n');
    }
    text
}

#[test]
fn order_packing_and_memory_never_show() {
    let (mut touchpoints, mut conversions) = some_events(12_000);
    let expected = in_memory(&touchpoints, &conversions, &Rules::default());
    let mut bench = Bench::new(&text(&touchpoints), &text(&conversions));
    bench.request.rules = Rules::default();
    let plain = bench.run();
    assert!(bench.rows() == expected, "files and memory differ");
    assert!(plain.rows > 5_000 && plain.conflicting_duplicates > 0 && plain.retracted > 0, "{plain:?}");
    assert!(plain.waiting_adjustments > 0, "{plain:?}");

    // Shuffled, in several files, packed in every way, in next to no memory: hundreds of runs, buckets split again.
    let mut dice = Dice(3);
    dice.shuffle(&mut touchpoints);
    dice.shuffle(&mut conversions);
    let (first, second) = touchpoints.split_at(touchpoints.len() / 3);
    let folder = bench.folder.path().to_owned();
    let gzipped = [gzip(&text(&first[..100])), gzip(b""), gzip(&text(&first[100..]))].concat();
    fs::write(folder.join("a.gz"), gzipped).unwrap();
    let skipped = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let frames = [skipped.to_vec(), zstd(&text(&second[..7])), zstd(&text(&second[7..]))].concat();
    fs::write(folder.join("a-zstd-without-a-name"), frames).unwrap();
    fs::write(folder.join("conversions"), zstd(&text(&conversions))).unwrap();
    bench.request.touchpoints = files(&[folder.join("a.gz"), folder.join("a-zstd-without-a-name")]);
    for (memory, sealed) in [(0, false), (0, true), (1 << 20, true), (16 << 20, false)] {
        (bench.request.memory_bytes, bench.request.sealed) = (memory, sealed);
        assert_eq!(bench.run(), plain);
        assert!(bench.rows() == expected, "rows differ in {memory} bytes of memory");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn touchpoint(id: usize) -> String {
    format!(r#"{{"event_id":"t{id}","user_id":"u","occurred_at":1774958400000}}"#)
}

#[test]
fn bad_lines_are_named_in_order_and_the_rest_is_used() {
    let mut lines: Vec<Vec<u8>> = (1..=20_000).map(|id| touchpoint(id).into_bytes()).collect();
    let long = |bytes: usize| vec![b' '; bytes - lines[0].len()];
    let at_the_limit = [lines[8].clone(), long(replay::MAX_LINE)].concat();
    let beyond = [lines[9].clone(), long(replay::MAX_LINE + 1)].concat();
    let bad: [(usize, &[u8], &str); 6] = [
        (3, b"{\"event_id\":\"x\xff\"}", "value: not UTF-8"),
        (10, &beyond, "longer than 1048576 bytes; only its begin is kept here"),
        (11, br#"{"event_id":"","user_id":"u","occurred_at":1774958400000}"#, "event_id: empty"),
        (9_000, br#"{"user_id":"u","occurred_at":1774958400000}"#, "event_id: required"),
        (
            19_999,
            br#"{"event_id":"e","user_id":"u","occurred_at":1}"#,
            "occurred_at: before 2000-01-01T00:00:00Z (milliseconds are asked)",
        ),
        (20_000, b"\x1b[31m", "value: not JSON: expected value at line 1 column 1"),
    ];
    for (line, content, _) in &bad {
        lines[line - 1] = content.to_vec();
    }
    (lines[4], lines[5], lines[6]) = (b"".to_vec(), b" \t".to_vec(), b"\r".to_vec());
    lines[7].push(b'\r');
    lines[8] = at_the_limit;
    let conversions = br#"{"event_id":"c","user_id":"u","occurred_at":1774958400000}
{"event_id":"c2","user_id":"u","occurred_at":1774958400000,"value_micros":5}"#;
    let mut bench = Bench::new(&lines.join(&b'\n'), conversions);
    let path = bench.folder.path().join("touchpoints");
    bench.request.touchpoints = files(&[path.clone(), path.clone()]);
    let summary = bench.run();
    assert_eq!((summary.touchpoints, summary.conversions, summary.bad), (2 * (20_000 - 6 - 3), 1, 13));
    let dead = bench.dead();
    let found: Vec<_> = dead.iter().map(|d| (d["line"].as_u64().unwrap(), d["reason"].as_str().unwrap())).collect();
    let mut expected: Vec<_> = bad.iter().map(|(line, _, reason)| (*line as u64, *reason)).collect();
    expected.extend(expected.clone());
    expected.push((2, "currency: required with value_micros"));
    assert_eq!(found, expected);
    assert_eq!(dead[0]["content"], "{\"event_id\":\"x\u{fffd}\"}");
    assert_eq!(dead[1]["content"].as_str().unwrap().len(), 1024);
    assert_eq!(dead[5]["content"], "\u{1b}[31m");
    assert!(dead[..12].iter().all(|letter| letter["file"] == path.to_str().unwrap()));
    assert!(dead[12]["file"].as_str().unwrap().ends_with("/conversions"));
}

#[test]
fn an_id_under_two_users_stands_once_whatever_the_memory() {
    let conversion = |user: u32| format!(r#"{{"event_id":"c","user_id":"u{user}","occurred_at":1774958400000}}"#);
    let mut lines: Vec<String> = (1..100).rev().map(conversion).collect();
    for _ in 0..2 {
        let mut bench = Bench::new(b"", &text(&lines));
        for memory in [0, 1 << 30] {
            bench.request.memory_bytes = memory;
            let summary = bench.run();
            assert_eq!((summary.rows, summary.shared_ids), (1, 98));
            assert!(bench.rows().contains(r#""user_id":"u1""#), "{}", bench.rows());
        }
        assert!(in_memory(&[], &lines, &linear(256)) == bench.rows());
        lines.reverse();
    }
}

#[test]
fn nothing_in_nothing_out() {
    let bench = Bench::new(b"", b"\n\n");
    assert_eq!(bench.run(), Summary::default());
    assert_eq!((bench.rows().as_str(), bench.dead().len()), ("", 0));
}

#[test]
fn a_failure_names_its_input_and_leaves_no_output() {
    let mut bench = Bench::new(b"", b"");
    let folder = bench.folder.path().to_owned();
    fs::write(folder.join("rows"), "as it was").unwrap();
    let packed = gzip(&text(&some_events(500).0));
    fs::write(folder.join("cut.gz"), &packed[..packed.len() / 2]).unwrap();
    for missing in ["cut.gz", "missing"] {
        bench.request.touchpoints = files(&[folder.join(missing)]);
        let error = replay::run(&bench.request, &Progress::none()).unwrap_err();
        assert!(matches!(&error, Error::Input { .. }), "{error}");
        assert!(error.to_string().contains(&format!("/{missing}: cannot be read: ")), "{error}");
    }
    assert_eq!(bench.rows(), "as it was");
    assert_eq!(bench.names(), ["conversions", "cut.gz", "rows", "touchpoints"]);

    bench.request.touchpoints = Vec::new();
    bench.request.output = Some(folder.join("no such folder/rows"));
    let error = replay::run(&bench.request, &Progress::none()).unwrap_err();
    assert!(matches!(&error, Error::Output { .. }), "{error}");
    assert!(error.to_string().contains("no such folder/rows: cannot be written: "), "{error}");
}

#[test]
fn inputs_are_not_overwritten_and_standard_input_is_read_once() {
    let mut bench = Bench::new(b"", b"");
    bench.request.output = Some(bench.folder.path().join("./conversions"));
    let error = replay::run(&bench.request, &Progress::none()).unwrap_err();
    assert!(matches!(error, Error::Overwrites(_)), "{error}");
    bench.request.output = bench.request.dead_letters.clone();
    let error = replay::run(&bench.request, &Progress::none()).unwrap_err();
    assert!(matches!(error, Error::OneTarget), "{error}");
    bench.request.output = None;
    bench.request.touchpoints.push(Input::from(OsStr::new("-")));
    bench.request.conversions = vec![Input::Stdin];
    let error = replay::run(&bench.request, &Progress::none()).unwrap_err();
    assert!(matches!(error, Error::StdinTwice), "{error}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_written_to_and_a_link_is_followed() {
    let mut bench = Bench::new(&golden("exact.touchpoints.ndjson"), &golden("exact.conversions.ndjson"));
    let expected = String::from_utf8(golden("exact.rows.ndjson")).unwrap();
    let pipe = bench.folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    bench.request.output = Some(pipe.clone());
    let reading = std::thread::spawn(move || fs::read_to_string(pipe).unwrap());
    bench.run();
    assert_eq!(reading.join().unwrap(), expected);

    fs::write(bench.folder.path().join("target"), "old").unwrap();
    let link = bench.folder.path().join("link");
    std::os::unix::fs::symlink("target", &link).unwrap();
    bench.request.output = Some(link.clone());
    bench.run();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(bench.folder.path().join("target")).unwrap(), expected);
}

#[test]
fn what_is_printed_has_no_control_characters() {
    assert_eq!(Input::File("a\n\u{1b}b\u{85}é".into()).to_string(), r"a\n\u{1b}b\u{85}é");
    assert_eq!(Input::Stdin.to_string(), "-");
    let summary = Summary { touchpoints: 3, rows: 2, bad: 1, ..Summary::default() };
    assert_eq!(summary.to_string(), "3 touchpoints, 0 conversions, 0 adjustments: 2 rows, 1 bad lines");
}
