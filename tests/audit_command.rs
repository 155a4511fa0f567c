//! The audit log through the binary: a story over a kill, and whoever meddles with it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tributary::access::socket::{self, Reply, Request};
use tributary::access::{NewKey, Role};
use tributary::topics::embedded::{Broker, NewRecord, Place, Settings, Topic};

#[path = "support/binary.rs"]
mod binary;
#[path = "support/running.rs"]
mod running;

use binary::{run, tributary};
use running::Running;

fn config(folder: &Path) -> PathBuf {
    running::config(folder, "[sidecar]\nlisten = \"127.0.0.1:0\"\n[audit]\nread_sample = 1.0\n")
}

fn verify(config: &Path) -> (i32, String, String) {
    run(&["audit", "verify", "--config", config.to_str().unwrap()])
}

/// Nothing is wrong; what is remarked on all the same.
fn well(config: &Path) -> String {
    let (code, found, summary) = verify(config);
    assert!(code == 0 && summary.contains(": 0 differences"), "{code}: {found}{summary}");
    found
}

/// What `tributary audit tail` prints.
fn tail(config: &Path, options: &[&str]) -> String {
    let (code, printed, message) = run(&[&["audit", "tail", "--config", config.to_str().unwrap()], options].concat());
    assert_eq!(code, 0, "{options:?}: {message}");
    printed
}

fn broker(folder: &Path) -> std::sync::Arc<Broker> {
    Broker::open(&Place::Folder(folder.join("log")), &Settings::new(NonZeroU32::new(4).unwrap())).unwrap()
}

fn entries(folder: &Path) -> Vec<Value> {
    let records = broker(folder).read(Topic::Audit, 0, 0, usize::MAX).unwrap();
    records.iter().map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()).collect()
}

#[test]
fn a_story_goes_on_over_a_kill_and_who_meddles_with_it_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let config = config(data);
    let create = || run(&["keys", "create", "--role", "viewer", "--config", config.to_str().unwrap()]);

    let life = Running::start(&config);
    let (code, key, message) = create();
    assert_eq!(code, 0, "{message}");
    assert_eq!(life.ask("/v1/reports/channels", key.trim()), 422, "allowed, and then asked for too little");
    assert_eq!(life.ask("/v1/users/wilhelmina/journey", key.trim()), 403);
    for _ in 0..20 {
        assert_eq!(life.ask("/v1/users/wilhelmina/journey", "nonsense"), 401);
    }
    well(&config); // of the running instance
    life.kill();
    assert_eq!(well(&config), "", "of the folder: that it was killed, only the next life shows");
    for _ in 0..3 {
        let life = Running::start(&config);
        assert_eq!(life.ask("/v1/users/wilhelmina/journey", key.trim()), 403);
        life.kill();
    }
    let life = Running::start(&config);
    assert_eq!(create().0, 0);
    life.stop();
    let remarks = well(&config);
    assert_eq!(
        remarks.matches(": the last entry is no stop: the process was killed, or died (note)").count(),
        4,
        "{remarks}"
    );

    let told: Vec<_> = entries(data)
        .iter()
        .map(|entry| ["action", "outcome"].map(|field| entry[field].as_str().unwrap().to_owned()).join(" "))
        .collect();
    let count = |what: &str| told.iter().filter(|told| *told == what).count();
    assert!(count("start done") >= 5 && told.first().unwrap() == "start done" && told.last().unwrap() == "stop done");
    assert_eq!((count("key.create allowed"), count("key.create done")), (2, 2), "{told:?}");
    assert!(count("authorize allowed") >= 1 && count("authorize denied") >= 1, "{told:?}");
    let all = format!("{:?}", entries(data));
    assert!(!all.contains("wilhelmina") && !all.contains(key.trim()), "neither users nor keys");
    meddle(data, &config);
}

fn meddle(data: &Path, config: &Path) {
    let memory = data.join("audit.chain");
    let remembered = std::fs::read_to_string(&memory).unwrap();
    std::fs::write(&memory, remembered.replace("\"seq\":", "\"seq\":9")).unwrap();
    let (code, found, _) = verify(config);
    assert!(code == 4 && found.contains("the data folder remembers it"), "{code}: {found}");
    std::fs::remove_file(&memory).unwrap();
    Running::start(config).stop();
    let (code, found, _) = verify(config);
    assert!(code == 4 && found.contains("does not go on from"), "{code}: {found}");
    let forged = br#"{"chain":"x","seq":0,"actor":"system"}"#.as_slice();
    let record = NewRecord { partition: 0, key: Some(b"system"), value: Some(forged), headers: &[], timestamp: 0 };
    let (_, offset) = broker(data).append(Topic::Audit, &[record]).unwrap()[0];
    let (code, found, _) = verify(config);
    assert!(code == 4 && found.contains(&format!("offset {offset}: foreign")), "{code}: {found}");
}

/// Deletes these entries as somebody does who has the folder of an instance that is stopped.
fn delete(folder: &Path, offsets: std::ops::Range<u8>) {
    let mut options = rocksdb::Options::default();
    options.set_track_and_verify_wals_in_manifest(true);
    let rows = rocksdb::DB::open(&options, folder.join("log")).unwrap();
    for offset in offsets {
        let row = [6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, offset]; // audit, partition 0
        assert!(rows.get(row).unwrap().is_some());
        rows.delete(row).unwrap();
    }
}

#[test]
fn entries_deleted_at_the_beginning_are_not_taken_for_those_that_were_too_old() {
    for too_old in 0..2_u8 {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        Running::start(&config).stop();
        Running::start(&config).stop();
        assert_eq!(entries(folder.path()).len(), 4);
        broker(folder.path()).trim(Topic::Audit, 0, too_old.into()).unwrap();
        assert_eq!(well(&config).matches("older than").count(), usize::from(too_old));
        delete(folder.path(), too_old..3);
        let found_out = || {
            let (code, found, _) = verify(&config);
            assert!(code == 4 && found.contains(": missing\n") && !found.contains("older than"), "{code}: {found}");
        };
        found_out(); // in the folder
        let life = Running::start(&config);
        found_out(); // by the running instance
        life.stop();
        let left = entries(folder.path()).len();
        delete(folder.path(), 3..u8::try_from(left + 3).unwrap());
        assert_eq!(verify(&config).0, 4, "retention leaves the newest entry");
    }
}

#[test]
fn a_start_that_fails_is_told_as_a_life_that_ended_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let in_the_way = folder.path().join("tributary.sock");
    std::fs::create_dir(&in_the_way).unwrap();
    let (code, _, message) = run(&["run", "--config", config.to_str().unwrap()]);
    assert!(code != 0 && message.contains("tributary.sock"), "{code}: {message}");
    std::fs::remove_dir(&in_the_way).unwrap();
    let stop = entries(folder.path()).pop().unwrap();
    assert_eq!([&stop["action"], &stop["outcome"]], ["stop", "failed"]);
    assert!(stop["reason"].as_str().unwrap().contains("tributary.sock"), "{stop}");
    Running::start(&config).stop();
    assert_eq!(well(&config), "", "and no life was cut short");
}

/// As an operator asks who was told by a client that its request was refused.
#[test]
fn a_refused_request_is_found_by_its_id_and_those_to_come_follow() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let life = Running::start(&config);
    let (_, key, _) = run(&["keys", "create", "--role", "viewer", "--config", config.to_str().unwrap()]);
    let id = key.split('_').nth(2).unwrap();
    let refused = |key: &str| {
        let (status, problem) = life.send("GET", "/v1/users/wilhelmina/journey", key, "");
        let problem: Value = serde_json::from_str(&problem).unwrap();
        (status, problem["instance"].as_str().unwrap().rsplit(':').next().unwrap().to_owned())
    };
    let ((_, other), (status, request)) = (refused("nonsense"), refused(key.trim()));
    assert_eq!(status, 403);

    let line = tail(&config, &["--request", &request]);
    assert_eq!(line.lines().count(), 1, "{line}");
    let fields: Vec<_> = line.trim_end().split("  ").filter(|field| !field.trim().is_empty()).collect();
    let expected = [&format!("key:{id}"), "authorize", "denied", "GET /v1/users/{user_id}/journey", "127.0.0.1"];
    assert_eq!(fields[1..6].iter().map(|field| field.trim()).collect::<Vec<_>>(), expected, "{line}");
    assert_eq!(fields[6..], [&request, "role viewer, scope journeys"], "{line}");
    let entry: Value = serde_json::from_str(&tail(&config, &["--json", "--request", &request])).unwrap();
    assert_eq!((&entry["outcome"], &entry["request_id"]), (&"denied".into(), &request.as_str().into()));
    let all = tail(&config, &["--json"]);
    for (options, matches) in [
        (&["--who", id, "--outcome", "denied"][..], 1),
        (&["--who", key.trim(), "--outcome", "denied"], 1),
        (&["--who", "anonymous"], 1),
        (&["--outcome", "denied"], 2),
        (&["--since", "1h"], all.lines().count()),
        (&["--since", "2000-01-01T00:00:00Z"], all.lines().count()),
        (&["--since", "2099-01-01T00:00:00+02:00"], 0),
        (&["--request", &other, "--who", id], 0),
    ] {
        assert_eq!(tail(&config, options).lines().count(), matches, "{options:?} of\n{all}");
    }

    let options = ["audit", "tail", "--follow", "--outcome", "denied", "--config", config.to_str().unwrap()];
    let mut follows = tributary(&options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follows.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains(&other) && lines.next().unwrap().contains(&request));
    let (_, next) = refused("nonsense");
    assert!(lines.next().unwrap().contains(&next), "it follows");
    life.stop();
    assert_eq!(lines.next(), None);
    let ended = follows.wait_with_output().unwrap();
    let message = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(5) && message.contains("the instance stopped"), "{message}");
    let (code, printed, message) = run(&options);
    assert!((code, printed.as_str()) == (5, "") && message.contains("leave --follow out"), "{code}: {message}");

    // Of the folder; and what somebody put there who is no friend of terminals.
    assert_eq!(tail(&config, &["--request", &request]), line);
    let forged = b"{\"actor\":\"\x1b[2J\"}".as_slice();
    let record = NewRecord { partition: 0, key: Some(b"system"), value: Some(forged), headers: &[], timestamp: 0 };
    let (_, offset) = broker(folder.path()).append(Topic::Audit, &[record]).unwrap()[0];
    let (people, programs) = (tail(&config, &[]), tail(&config, &["--json"]));
    assert!(people.contains(&format!("offset {offset} is no entry")), "{people}");
    let last: Value = serde_json::from_str(programs.lines().last().unwrap()).unwrap();
    assert_eq!(
        (last["offset"].as_i64(), last["unreadable"].as_str()),
        (Some(offset), Some("{\\\"actor\\\":\\\"\\x1b[2J\\\"}"))
    );
    assert!(![people, programs].concat().contains('\x1b'));
    let (code, _, message) = run(&["audit", "tail", "--since", "yesterday", "--config", config.to_str().unwrap()]);
    assert!(code == 2 && message.contains("10m, 2h or 7d"), "{code}: {message}");
}

#[test]
fn a_stop_leaves_no_change_half_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let life = Running::start(&config(data));
    let ask = || {
        let data = data.to_owned();
        std::thread::spawn(move || {
            let create = || socket::ask(&data, &Request::Create(NewKey::of(Role::Viewer)));
            std::iter::from_fn(|| if let Ok(Reply::Created(made)) = create() { Some(made.id) } else { None }).collect()
        })
    };
    let callers: Vec<std::thread::JoinHandle<Vec<String>>> = (0..8).map(|_| ask()).collect();
    std::thread::sleep(Duration::from_millis(500));
    life.stop();
    let mut made: Vec<_> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    assert!(made.len() > 8, "they were at it: {}", made.len());

    let entries = entries(data);
    let named = |outcome: &str| {
        let of = entries.iter().filter(|entry| entry["action"] == "key.create" && entry["outcome"] == outcome);
        let mut named: Vec<_> = of.map(|entry| entry["object"].as_str().unwrap().to_owned()).collect();
        named.sort_unstable();
        named
    };
    made.sort_unstable();
    assert_eq!((named("allowed"), named("done")), (made.clone(), made), "and each caller was told");
}

#[test]
fn a_log_that_cannot_be_read_is_5() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["verify", "tail"] {
        let (code, _, message) = run(&["audit", command, "--data-dir", folder.path().to_str().unwrap()]);
        assert!(code == 5 && message.contains("is not there"), "{code}: {message}");
    }
    assert!(!folder.path().join("log").exists(), "looking makes nothing");
    let file = folder.path().join("kafka.toml");
    std::fs::write(&file, format!("[kafka]\nbrokers = \"127.0.0.1:1\"\n[engine]\ndata_dir = {:?}\n", folder.path()))
        .unwrap();
    let began = Instant::now();
    let (code, _, message) = run(&["audit", "tail", "--config", file.to_str().unwrap()]);
    assert!(code == 5 && began.elapsed() < Duration::from_secs(60), "{code}: {message}");
    let began = Instant::now();
    let (code, _, message) = run(&["audit", "verify", "--config", file.to_str().unwrap()]);
    assert!(code == 5 && began.elapsed() < Duration::from_secs(60), "{code}: {message}");
}

#[test]
fn without_a_memory_that_can_be_read_there_is_no_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("audit.chain"), "nonsense").unwrap();
    let (code, _, message) = run(&["run", "--config", config(folder.path()).to_str().unwrap()]);
    assert!(code == 6 && message.contains("audit.chain is corrupt"), "{code}: {message}");
}
