//! The writer: in order, durable, refusing and waiting where the log is away, and going on after any crash.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::story::{draft, read};
use crate::audit::log::memory::MemoryAudit;
use crate::audit::{
    Action, Audit, AuditLog, Caller, Draft, Error, Memory, Observer, Outcome, Record, Settings, Started, Unavailable,
    Writing,
};

#[derive(Default)]
struct Counts {
    written: AtomicUsize,
    refused: AtomicUsize,
    taken: AtomicUsize,
    away: AtomicUsize,
}

impl Observer for Counts {
    fn written(&self, entries: usize) {
        self.written.fetch_add(entries, Ordering::Relaxed);
    }

    fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn waiting(&self, _entries: usize) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    fn away(&self, _why: &str) {
        self.away.fetch_add(1, Ordering::Relaxed);
    }

    fn back(&self) {}
}

fn clock() -> i64 {
    static NOW: AtomicI64 = AtomicI64::new(0);
    NOW.fetch_add(1, Ordering::Relaxed)
}

const CAPACITY: usize = 8;

struct Life {
    audit: Audit,
    writing: Writing,
    counts: Arc<Counts>,
}

/// A life of the instance on this folder and this log.
fn live(folder: &Path, log: Arc<dyn AuditLog>) -> Life {
    live_with(folder, log, Duration::from_secs(30))
}

/// One in which a decision waits for so long.
fn live_with(folder: &Path, log: Arc<dyn AuditLog>, patience: Duration) -> Life {
    let counts = Arc::new(Counts::default());
    let settings = Settings { queue: CAPACITY, strangers: CAPACITY, shut_keys: 1, patience, read_sample: 1.0, clock };
    let audit = Audit::new(&settings, Arc::clone(&counts) as Arc<dyn Observer>);
    let started = Started { instance: "i0".into(), version: "1".into(), config: "c".into() };
    let writing = Writing::start(&audit, log, Memory::of(folder), started, || ()).unwrap();
    Life { audit, writing, counts }
}

impl Life {
    fn ready(self) -> Self {
        self.writing.ready(Duration::from_secs(10), &self.audit).unwrap();
        self
    }

    fn stop(self) {
        self.audit.stop(Draft::new(Caller::system(), Action::Stop, "process", Outcome::Done));
        self.writing.join();
    }
}

fn counted(log: &MemoryAudit) -> Vec<u64> {
    let count = |record: &Record| serde_json::from_slice::<serde_json::Value>(&record.value).unwrap()["count"].as_u64();
    log.records.lock().unwrap().iter().filter_map(count).collect()
}

/// Action, outcome, object and reason of each entry.
fn told(log: &MemoryAudit) -> Vec<String> {
    let text = |record: &Record| {
        let read: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
        ["action", "outcome", "object", "reason"].map(|field| read[field].as_str().unwrap().to_owned()).join(" ")
    };
    log.records.lock().unwrap().iter().map(text).collect()
}

fn story_is_whole(folder: &Path, log: &MemoryAudit) {
    let remembered = Memory::of(folder).read().unwrap().end;
    let (summary, found) = read(0, &log.records.lock().unwrap(), remembered.as_ref());
    assert_eq!(summary.differences, 0, "{found:?}");
    assert!(remembered.is_some());
}

fn away() -> Option<Error> {
    Some(Error::Away("no broker".into()))
}

#[tokio::test]
async fn a_recorded_entry_is_in_the_log_and_lives_follow_each_other() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(MemoryAudit::default()));
    for life in 0..3 {
        let this = live(folder.path(), Arc::clone(&log) as Arc<dyn AuditLog>).ready();
        for number in 0..20 {
            this.audit.decision(draft(life * 100 + number)).await.unwrap();
        }
        this.audit.record(draft(life * 100 + 20)).unwrap();
        let expected: Vec<u64> = (0..=life).flat_map(|life| life * 100..=life * 100 + 20).collect();
        assert_eq!(counted(&log), expected, "in order, and durable when record returns");
        assert_eq!(this.counts.written.load(Ordering::Relaxed), 22);
        this.stop();
        story_is_whole(folder.path(), &log);
    }
    assert_eq!(log.records.lock().unwrap().len(), 3 * 23);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_log_is_away_changes_are_refused_decisions_wait_and_nothing_is_lost() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(MemoryAudit::default()));
    let life = live_with(folder.path(), Arc::clone(&log) as Arc<dyn AuditLog>, Duration::from_millis(200)).ready();
    *log.away.lock().unwrap() = away();
    life.audit.decision(draft(0)).await.unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while life.counts.away.load(Ordering::Relaxed) == 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let began = Instant::now();
    let refused = life.audit.record(draft(999)).unwrap_err();
    assert!(refused.0.contains("no broker") && began.elapsed() < Duration::from_millis(150), "at once: {refused}");
    let accepted = Arc::new(Mutex::new(vec![0]));
    let flood = (1..500).map(|number| {
        let (audit, accepted) = (life.audit.clone(), Arc::clone(&accepted));
        tokio::spawn(async move {
            if audit.decision(draft(number)).await.is_ok() {
                accepted.lock().unwrap().push(number);
            }
        })
    });
    for task in flood.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(accepted.lock().unwrap().len(), CAPACITY + 1, "one under way, the queue full, and no more");
    assert_eq!(life.counts.refused.load(Ordering::Relaxed), 500 - CAPACITY, "all others were told so");
    let waits = tokio::spawn({
        let audit = life.audit.clone();
        async move { while audit.decision(draft(500)).await.is_err() {} }
    });
    *log.away.lock().unwrap() = None;
    waits.await.unwrap();
    accepted.lock().unwrap().push(500);
    let until = Instant::now() + Duration::from_secs(10);
    while life.audit.record(draft(501)).is_err() {
        assert!(Instant::now() < until, "the log is back");
    }
    life.stop();
    let (mut written, mut expected) = (counted(&log), accepted.lock().unwrap().clone());
    expected.push(501);
    written.sort_unstable();
    expected.sort_unstable();
    assert_eq!(written, expected, "what was accepted is there, once, and what was refused is not");
    story_is_whole(folder.path(), &log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_wait_when_the_log_goes_away_are_told_so() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(MemoryAudit::default()));
    let life = live(folder.path(), Arc::clone(&log) as Arc<dyn AuditLog>).ready();
    *log.slow.lock().unwrap() = Duration::from_millis(200);
    *log.away.lock().unwrap() = away();
    let waits = |number| {
        let audit = life.audit.clone();
        tokio::task::spawn_blocking(move || audit.record(draft(number)))
    };
    let mut tasks = vec![waits(0)];
    while life.counts.taken.load(Ordering::Relaxed) < 1 {
        tokio::time::sleep(Duration::from_millis(1)).await; // until the first is under way, and the others queue behind it
    }
    tasks.extend((1..20).map(waits));
    for task in tasks {
        assert!(tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap().is_err());
    }
    drop(life);
}

#[test]
fn a_change_stands_between_two_entries_and_is_not_made_without_the_first() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(MemoryAudit::default()));
    let life = live(folder.path(), Arc::clone(&log) as Arc<dyn AuditLog>).ready();
    let draft = || Draft::new(Caller::local(7), Action::KeyCreate, "viewer", Outcome::Allowed);
    let refused = |error: Unavailable| error.to_string();
    let seen = Arc::clone(&log);
    let made = life.audit.change(draft(), refused, || Ok(seen.records.lock().unwrap().len()));
    assert_eq!(made, Ok(2), "the start, and that the change may be made");
    let failed: Result<(), String> = life.audit.change(draft(), refused, || Err("no".into()));
    assert_eq!(failed, Err("no".into()));
    *log.away.lock().unwrap() = away();
    let mut touched = 0;
    for _ in 0..2 {
        let touch = || {
            touched += 1;
            Ok(())
        };
        let outcome = life.audit.change(draft(), refused, touch);
        assert!(outcome.unwrap_err().contains("no broker"));
    }
    assert_eq!(touched, 0);
    *log.away.lock().unwrap() = None;
    life.stop();
    let expected = [
        "start done process ",
        "key.create allowed viewer ",
        "key.create done viewer ",
        "key.create allowed viewer ",
        "key.create failed viewer no",
        "key.create allowed viewer ", // its batch had been begun
        "key.create failed viewer not made: the audit log cannot be written: no broker",
        "stop done process ",
    ];
    assert_eq!(told(&log), expected);
}

/// A log that hangs in its appends while the test holds the gate, from the second one on: the first tells of the start.
struct Hangs {
    log: Arc<MemoryAudit>,
    gate: Arc<Mutex<()>>,
    under_way: AtomicUsize,
}

impl AuditLog for Hangs {
    fn append(&self, records: &[Record]) -> Result<(), Error> {
        self.under_way.fetch_add(1, Ordering::Release);
        drop(self.gate.lock().unwrap());
        self.log.append(records)
    }
}

#[test]
fn a_change_does_not_wait_for_a_log_that_hangs_is_not_made_and_that_is_told() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(MemoryAudit::default()));
    let (gate, under_way) = (Arc::new(Mutex::new(())), AtomicUsize::new(0));
    let hangs = Arc::new(Hangs { log: Arc::clone(&log), gate: Arc::clone(&gate), under_way });
    let life = live_with(folder.path(), Arc::clone(&hangs) as Arc<dyn AuditLog>, Duration::from_millis(300)).ready();
    let held = gate.lock().unwrap();
    let change = |object: &'static str| {
        let audit = life.audit.clone();
        std::thread::spawn(move || {
            let draft = Draft::new(Caller::local(7), Action::KeyCreate, object, Outcome::Allowed);
            let began = Instant::now();
            let outcome: Result<(), String> = audit.change(draft, |error| error.to_string(), || unreachable!());
            (outcome.unwrap_err(), began.elapsed())
        })
    };
    let being_written = change("being written");
    while hangs.under_way.load(Ordering::Acquire) < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    for refused in [being_written, change("queued")] {
        let until = Instant::now() + Duration::from_secs(5);
        while !refused.is_finished() {
            assert!(Instant::now() < until, "it waits for a log that hangs");
            std::thread::sleep(Duration::from_millis(5));
        }
        let (why, waited) = refused.join().unwrap();
        assert!(why.contains("does not answer") && waited >= Duration::from_millis(300), "{waited:?}: {why}");
    }
    assert_eq!(life.counts.refused.load(Ordering::Relaxed), 2);
    drop(held);
    life.stop();
    let expected = [
        "start done process ",
        "key.create allowed being written ",
        "key.create failed being written not made: the audit log cannot be written: it does not answer",
        "stop done process ",
    ];
    assert_eq!(told(&log), expected, "of the one that never came to be written there is nothing to tell");
    story_is_whole(folder.path(), &log);
}

/// A log on which a life is cut short at its n-th append, before or after the records are there.
struct Cut {
    log: Arc<MemoryAudit>,
    left: AtomicI64,
    written: bool,
    dead: AtomicBool,
}

impl AuditLog for Cut {
    fn append(&self, records: &[Record]) -> Result<(), Error> {
        if self.left.fetch_sub(1, Ordering::Relaxed) > 0 {
            return self.log.append(records);
        }
        if self.written {
            self.log.append(records)?;
        }
        self.dead.store(true, Ordering::Release);
        loop {
            std::thread::park(); // as good as dead
        }
    }
}

#[test]
fn a_life_cut_short_anywhere_is_gone_on_from() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(MemoryAudit::default()));
    for left in [0, 1, 2, 0, 0, 3] {
        for written in [false, true, true, false] {
            let cut = Arc::new(Cut {
                log: Arc::clone(&log),
                left: AtomicI64::new(left),
                written,
                dead: AtomicBool::new(false),
            });
            let life = live(folder.path(), Arc::clone(&cut) as Arc<dyn AuditLog>);
            while !cut.dead.load(Ordering::Acquire) {
                drop(life.audit.0.queue.put(draft(7), clock(), sync_channel(1).0));
                std::thread::sleep(Duration::from_millis(1));
            }
            std::mem::forget(life);
        }
    }
    live(folder.path(), Arc::clone(&log) as Arc<dyn AuditLog>).ready().stop();
    story_is_whole(folder.path(), &log);
    let (summary, _) = read(0, &log.records.lock().unwrap(), None);
    assert!(summary.notes > 3, "some were written twice: {summary:?}");
}

#[tokio::test]
async fn what_a_stopping_process_cannot_write_its_next_life_does() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(MemoryAudit::default()));
    let life = live(folder.path(), Arc::clone(&log) as Arc<dyn AuditLog>).ready();
    *log.away.lock().unwrap() = away();
    for number in 0..5 {
        life.audit.decision(draft(number)).await.unwrap();
    }
    life.stop();
    assert_eq!(counted(&log), Vec::<u64>::new());
    *log.away.lock().unwrap() = None;
    live(folder.path(), Arc::clone(&log) as Arc<dyn AuditLog>).ready().stop();
    assert_eq!(counted(&log), [0, 1, 2, 3, 4]);
    story_is_whole(folder.path(), &log);
}

#[test]
fn a_log_that_refuses_at_the_start_is_a_reason_not_to_start() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(MemoryAudit::default()));
    *log.away.lock().unwrap() = Some(Error::Refused("grant Write".into()));
    let life = live(folder.path(), Arc::clone(&log) as Arc<dyn AuditLog>);
    assert_eq!(life.writing.ready(Duration::from_secs(10), &life.audit), Err(Error::Refused("grant Write".into())));
    let late = life.audit.record(draft(1));
    assert!(late.is_err(), "nobody writes any longer");
}

#[tokio::test]
async fn reads_are_sampled() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(MemoryAudit::default()));
    let life = live(folder.path(), Arc::clone(&log) as Arc<dyn AuditLog>).ready();
    let mut written = Vec::new();
    for share in [0.0, 0.1, 1.0] {
        life.audit.set_read_sample(share);
        let before = counted(&log).len();
        for number in 0..2_000 {
            life.audit.allowed_read(|| draft(number)).await.unwrap();
        }
        life.audit.record(draft(0)).unwrap();
        written.push(counted(&log).len() - before - 1);
    }
    assert!(written[0] == 0 && (130..270).contains(&written[1]) && written[2] == 2_000, "{written:?}");
    life.stop();
}

/// A log that panics from the second append on: the first tells of the start.
struct Panics(Arc<MemoryAudit>);

impl AuditLog for Panics {
    fn append(&self, records: &[Record]) -> Result<(), Error> {
        assert!(self.0.records.lock().unwrap().is_empty(), "as the test wants it");
        self.0.append(records)
    }
}

#[tokio::test]
async fn after_a_panic_nobody_waits_and_the_next_life_goes_on() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Arc::new(MemoryAudit::default()));
    let life = live(folder.path(), Arc::new(Panics(Arc::clone(&log)))).ready();
    life.audit.decision(draft(1)).await.unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while life.audit.trouble().is_none() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(life.audit.record(draft(2)).is_err() && life.audit.decision(draft(3)).await.is_err());
    assert_eq!(life.counts.away.load(Ordering::Relaxed), 1);
    life.writing.join();
    live(folder.path(), Arc::clone(&log) as Arc<dyn AuditLog>).ready().stop();
    assert_eq!(counted(&log), [1], "what was begun is finished");
    story_is_whole(folder.path(), &log);
}
