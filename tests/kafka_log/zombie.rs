//! A worker that was stopped, lost its partition and comes back to commit.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tributary::topics::{Error, Output, TopicLog};

use crate::broker::Broker;
use crate::worker::{Worker, bare_settings, both, eventually, offsets, row, rows, settings};

const BROKERS: &str = "TRIBUTARY_TEST_ZOMBIE";
const TEST: &str = "stopped";

/// The zombie's own process: runs to an open transaction, tells so, and commits when it is told to.
#[test]
fn zombie_process() {
    let Ok(brokers) = std::env::var(BROKERS) else {
        return; // only `a_worker_that_was_stopped_cannot_commit` has work for it
    };
    let mut settings = bare_settings(&brokers, TEST);
    settings.timeouts.session = Duration::from_secs(2);
    settings.instance = "zombie".into();
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    worker.log.begin().unwrap();
    worker.log.produce(row(0, b"of the zombie")).unwrap();
    println!("zombie: open");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let outcome = worker.log.commit(&offsets(0, both(1000)));
    println!("zombie: {outcome:?}");
}

fn read_line(zombie: &mut BufReader<std::process::ChildStdout>) -> String {
    let mut line = String::new();
    while !line.contains("zombie: ") {
        line.clear();
        assert!(zombie.read_line(&mut line).unwrap() > 0, "the zombie ended too early");
    }
    line
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_worker_that_was_stopped_cannot_commit() {
    let broker = Broker::shared();
    let mut settings = settings(broker.address(), TEST, 1);
    settings.timeouts.session = Duration::from_secs(2);
    let mut zombie = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "zombie::zombie_process", "--nocapture"])
        .env(BROKERS, broker.address())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(zombie.stdout.take().unwrap());
    assert!(read_line(&mut said).contains("open"));
    signal(&zombie, "-STOP");
    zombie.stdin.take().unwrap().write_all(b"commit\n").unwrap(); // the first thing it does when it wakes

    // The partition moves on once the session is over; committed offsets wait for the open transaction's end.
    let mut owner = Worker::join(&settings, 0);
    eventually("the partition", Duration::from_secs(60), || {
        owner.try_take(Duration::from_millis(50)).ok();
        (owner.next.len() == 1).then_some(())
    });
    owner.log.begin().unwrap();
    owner.log.produce(row(0, b"of the owner")).unwrap();
    owner.log.commit(&offsets(0, both(5))).unwrap();

    signal(&zombie, "-CONT");
    let outcome = read_line(&mut said);
    assert!(zombie.wait().unwrap().success());
    assert!(outcome.contains("Fenced"), "{outcome}");
    assert_eq!(owner.log.committed(0).unwrap().touchpoints.unwrap().next, 5);
    assert_eq!(rows(&settings, Output::Attributions), [(0, "of the owner".to_owned())]);
}

#[test]
fn a_worker_that_did_not_poll_cannot_commit() {
    let broker = Broker::shared();
    let mut settings = settings(broker.address(), "not-polling", 1);
    settings.timeouts.session = Duration::from_secs(2);
    settings.timeouts.poll = Duration::from_secs(2);
    let mut late = Worker::with_partitions(&settings, 0, 1);
    late.log.begin().unwrap();
    late.log.produce(row(0, b"late")).unwrap();
    settings.instance = "other".into();
    let mut owner = Worker::join(&settings, 0);
    eventually("the partition", Duration::from_secs(60), || {
        owner.try_take(Duration::from_millis(50)).ok();
        (owner.next.len() == 1).then_some(())
    });
    let error = late.log.commit(&offsets(0, both(1000))).unwrap_err();
    assert!(matches!(error, Error::Fenced(_)), "{error:?}");
    late.take(Duration::from_millis(100));
    assert!(late.next.is_empty(), "it is told that the partition is gone");
    assert_eq!(owner.log.committed(0).unwrap().touchpoints, None);
    assert!(rows(&settings, Output::Attributions).is_empty());
}

#[test]
fn a_second_process_of_the_same_name_ends_the_first() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "same-name", 1);
    let mut first = Worker::with_partitions(&settings, 0, 1);
    let _second = Worker::join(&settings, 0);
    let error = eventually("an end", Duration::from_secs(30), || {
        // An open transaction keeps nothing of it alive either.
        first.log.poll(Duration::from_millis(100)).err()
    });
    assert!(matches!(&error, Error::Fatal(words) if words.contains("instance's name")), "{error:?}");
}
