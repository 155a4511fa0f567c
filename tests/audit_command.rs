//! The audit log through the binary: a story over a kill, and whoever meddles with it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tributary::access::socket::{self, Reply, Request};
use tributary::access::{NewKey, Role};
use tributary::topics::embedded::{Broker, NewRecord, Place, Settings, Topic};

#[path = "support/binary.rs"]
mod binary;
#[path = "support/running.rs"]
mod running;

use binary::run;
use running::Running;

fn config(folder: &Path) -> PathBuf {
    running::config(folder, "[sidecar]\nlisten = \"127.0.0.1:0\"\n[audit]\nread_sample = 1.0\n")
}

fn verify(config: &Path) -> (i32, String, String) {
    run(&["audit", "verify", "--config", config.to_str().unwrap()])
}

fn well(config: &Path) {
    let (code, found, summary) = verify(config);
    assert!(code == 0 && summary.contains(": 0 differences"), "{code}: {found}{summary}");
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
    well(&config); // of the folder
    for _ in 0..3 {
        let life = Running::start(&config);
        assert_eq!(life.ask("/v1/users/wilhelmina/journey", key.trim()), 403);
        life.kill();
    }
    let life = Running::start(&config);
    assert_eq!(create().0, 0);
    life.stop();
    well(&config);

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
    let (code, _, message) = run(&["audit", "verify", "--data-dir", folder.path().to_str().unwrap()]);
    assert!(code == 5 && message.contains("is not there"), "{code}: {message}");
    assert!(!folder.path().join("log").exists(), "looking makes nothing");
    let file = folder.path().join("kafka.toml");
    std::fs::write(&file, format!("[kafka]\nbrokers = \"127.0.0.1:1\"\n[engine]\ndata_dir = {:?}\n", folder.path()))
        .unwrap();
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
