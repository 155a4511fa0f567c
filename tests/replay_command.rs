//! `tributary replay` as its users start it: standard streams and exit codes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    path.to_str().unwrap().to_owned()
}

fn replay(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tributary"))
        .arg("replay")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn rows_go_to_standard_output_and_the_summary_to_standard_error() {
    let (touchpoints, conversions) = (golden("models.touchpoints.ndjson"), golden("models.conversions.ndjson"));
    let packed = zstd::encode_all(fs::read(&conversions).unwrap().as_slice(), 3).unwrap();
    let done = replay(&["--touchpoints", &touchpoints, "--conversions", "-"], &packed);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert_eq!(text(&done.stderr), "3 touchpoints, 1 conversions, 0 adjustments: 12 rows\n");
    let ids: Vec<_> = text(&done.stdout).lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(ids.len(), 12);
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!((ids[0], ids[11]), ("c1|first_touch|t1", "c1|time_decay|t3"));
}

#[test]
fn bad_lines_are_named_and_end_in_exit_code_4() {
    let touchpoints = b"{\"event_id\":\"t\",\"user_id\":\"u\"}\n\n{\"event_id\":\"t\x1b[2J\"}";
    let conversions = golden("models.conversions.ndjson");
    let done = replay(&["--touchpoints", "-", "--conversions", &conversions], touchpoints);
    assert_eq!(done.status.code(), Some(4));
    let lines: Vec<_> = text(&done.stderr).lines().collect();
    let [first, second, summary] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(*first, "-:1: occurred_at: required");
    assert!(second.starts_with("-:3: event_id: not JSON: control character"), "{second}");
    assert_eq!(*summary, "0 touchpoints, 1 conversions, 0 adjustments: 6 rows, 2 bad lines");
    assert!(text(&done.stderr).chars().all(|c| c == '\n' || !c.is_control()));
    assert_eq!(text(&done.stdout).lines().count(), 6, "what is good is answered all the same");
}

#[test]
fn rules_come_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tributary.toml");
    fs::write(&config, "[rules]\nmodels = [\"linear\"]\nmax_path = 2\n").unwrap();
    let (touchpoints, conversions) = (golden("models.touchpoints.ndjson"), golden("models.conversions.ndjson"));
    let arguments = ["--touchpoints", &touchpoints, "--conversions", &conversions, "--config"];
    let done = replay(&[arguments.as_slice(), &[config.to_str().unwrap()]].concat(), b"");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let rows: Vec<_> = text(&done.stdout).lines().collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].contains(r#""row_id":"c1|linear|t2""#) && rows[0].contains(r#""truncated":true"#), "{}", rows[0]);
}

#[test]
fn failures_have_their_exit_codes() {
    let conversions = golden("models.conversions.ndjson");
    let done = replay(&["--touchpoints", "/no such file", "--conversions", &conversions], b"");
    assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0));
    assert!(text(&done.stderr).contains("/no such file: cannot be read: "), "{}", text(&done.stderr));
    assert_eq!(replay(&["--touchpoints", "-", "--conversions", "-"], b"").status.code(), Some(1));
    assert_eq!(replay(&["--conversions", &conversions], b"").status.code(), Some(2));
}
