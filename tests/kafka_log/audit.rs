//! The audit log on a real broker: written by two lives, one of which finds the broker away; read back whole.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tributary::app::audit::{KafkaAudit, tail, verify};
use tributary::audit::shown::Wanted;
use tributary::audit::verify::{Finding, Summary};
use tributary::audit::{Action, Audit, Caller, Draft, Memory, Outcome, Settings, Started, Writing};
use tributary::config::Config;
use tributary::topics::kafka;
use tributary::topics::kafka::control::Appender;

use crate::binary::tributary;
use crate::broker::Broker;
use crate::worker::{eventually, settings};

fn live(settings: &kafka::Settings, folder: &Path) -> (Audit, Writing) {
    let patience = Duration::from_secs(10);
    let settings_of =
        Settings { queue: 4_096, strangers: 1, shut_keys: 4_096, patience, read_sample: 1.0, clock: || 0 };
    let audit = Audit::new(&settings_of, Arc::new(()));
    let started = Started { instance: "i".into(), version: "1".into(), config: String::new() };
    let log = Arc::new(KafkaAudit::open(settings).unwrap());
    let writing = Writing::start(&audit, log, Memory::of(folder), started, || ()).unwrap();
    writing.ready(Duration::from_secs(30), &audit).unwrap();
    (audit, writing)
}

fn draft(action: Action, outcome: Outcome) -> Draft {
    Draft::new(Caller::local(7), action, "GET /v1", outcome)
}

fn change(audit: &Audit, action: Action) -> Result<(), String> {
    audit.change(draft(action, Outcome::Done), |error| error.to_string(), || Ok(()))
}

fn file(settings: &kafka::Settings, folder: &Path) -> String {
    format!(
        "[kafka]\nbrokers = {:?}\n[topics]\naudit = {:?}\n[engine]\ndata_dir = {folder:?}\n",
        settings.brokers, settings.topics.audit
    )
}

fn config(settings: &kafka::Settings, folder: &Path) -> Config {
    Config::parse(Some(&file(settings, folder)), Some(&[])).unwrap()
}

fn read(settings: &kafka::Settings, folder: &Path) -> (Summary, Vec<Finding>) {
    let mut found = Vec::new();
    let summary = verify::run(&config(settings, folder), &mut |finding| found.push(finding.clone())).unwrap();
    (summary, found)
}

/// What `tributary audit tail` prints of entries with this outcome.
fn printed(settings: &kafka::Settings, folder: &Path, outcome: &str) -> Vec<String> {
    let mut out = Vec::new();
    let wanted = Wanted { outcome: Some(outcome.into()), ..Wanted::default() };
    let ask = tail::Ask { wanted, ..tail::Ask::default() };
    tail::run(&config(settings, folder), &ask, &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

/// Somebody who reads lines until there is one of what they look for.
struct Reads(Vec<u8>, &'static str);

impl std::io::Write for Reads {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        let enough = String::from_utf8_lossy(&self.0).contains(self.1);
        if enough { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Somebody who looks at the first lines for a while, as in a pager, before they read on.
struct Pauses(Vec<u8>, Duration);

impl std::io::Write for Pauses {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::thread::sleep(std::mem::take(&mut self.1));
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn entries_are_printed_to_the_end_of_the_log_or_as_they_come() {
    let broker = Broker::start("audit-tail");
    let settings = settings(broker.address(), "audit-tail", 1);
    let folder = tempfile::tempdir().unwrap();
    let (audit, writing) = live(&settings, folder.path());
    for _ in 0..2_000 {
        audit.decision_of_shut_key(draft(Action::Authenticate, Outcome::Denied)).unwrap();
    }
    change(&audit, Action::KeyCreate).unwrap();
    assert_eq!(printed(&settings, folder.path(), "denied").len(), 2_000);
    let allowed = printed(&settings, folder.path(), "allowed");
    assert!(
        allowed.len() == 1 && allowed[0].contains("local:7               key.create    allowed  GET /v1"),
        "{allowed:?}"
    );
    let config = config(&settings, folder.path());
    let paused = config.clone();
    let pauses = std::thread::spawn(move || {
        let mut reads = Pauses(Vec::new(), Duration::from_secs(11)); // the brokers have ten to answer
        tail::run(&paused, &tail::Ask::default(), &mut reads).unwrap();
        String::from_utf8(reads.0).unwrap().lines().count()
    });
    let follows = std::thread::spawn(move || {
        let mut reads = Reads(Vec::new(), "key.revoke");
        tail::run(&config, &tail::Ask { follow: true, ..tail::Ask::default() }, &mut reads).unwrap();
        String::from_utf8(reads.0).unwrap()
    });
    std::thread::sleep(Duration::from_secs(2));
    assert!(!follows.is_finished(), "it waits for more");
    change(&audit, Action::KeyRevoke).unwrap();
    eventually("what comes is printed", Duration::from_secs(30), || follows.is_finished().then_some(()));
    assert!(follows.join().unwrap().lines().count() >= 2_003);
    assert!(pauses.join().unwrap() >= 2_003);
    audit.stop(draft(Action::Stop, Outcome::Done));
    writing.join();
    an_outage_is_told_once(&broker, &settings, folder.path());
}

fn an_outage_is_told_once(broker: &Broker, settings: &kafka::Settings, folder: &Path) {
    let path = folder.join("tributary.toml");
    std::fs::write(&path, file(settings, folder)).unwrap();
    let options = ["audit", "tail", "--follow", "--who", "system", "--config", path.to_str().unwrap()];
    let mut follows = tributary(&options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follows.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told = BufReader::new(follows.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("start"));
    broker.act("kill9");
    let outage = told.next().unwrap();
    assert!(outage.contains("waiting for one to answer"), "{outage}");
    broker.start_again();
    let (audit, writing) = live(settings, folder);
    assert!(lines.next().unwrap().contains("start"), "it goes on");
    audit.stop(draft(Action::Stop, Outcome::Done));
    writing.join();
    follows.kill().unwrap();
    follows.wait().unwrap();
    assert_eq!(told.next(), None, "once");
}

#[test]
fn a_broker_that_is_away_refuses_changes_and_loses_nothing() {
    let broker = Broker::start("audit");
    let mut settings = settings(broker.address(), "audit", 1);
    settings.timeouts.request = Duration::from_secs(2);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (audit, writing) = live(&settings, folder.path());
    let denied = || draft(Action::Authorize, Outcome::Denied);
    let change = || change(&audit, Action::KeyCreate);
    change().unwrap();
    assert!(read(&settings, folder.path()).0.entries >= 2, "the start, and that it may be made");

    broker.act("pause");
    for _ in 0..1_000 {
        runtime.block_on(audit.decision(denied())).unwrap();
    }
    eventually("the changes are refused", Duration::from_secs(30), || change().err());
    broker.act("resume");
    eventually("it is back", Duration::from_secs(60), || change().ok());
    audit.stop(draft(Action::Stop, Outcome::Done));
    writing.join();
    let (summary, found) = read(&settings, folder.path());
    assert_eq!(summary.differences, 0, "{found:?}");
    assert!(summary.entries >= 1_004, "the start, two changes, what was denied, the stop: {summary:?}");

    let (audit, writing) = live(&settings, folder.path());
    audit.stop(draft(Action::Stop, Outcome::Done));
    writing.join();
    let (summary, found) = read(&settings, folder.path());
    assert_eq!((summary.differences, summary.chains), (0, 2), "{found:?}");

    let forged = Appender::open(&settings).unwrap().append(&settings.topics.audit, b"k", Some(b"{}")).unwrap();
    let foreign = Finding::Foreign { partition: forged.0, offset: forged.1 };
    assert!(read(&settings, folder.path()).1.contains(&foreign));
}
