//! Single scenes on the embedded log where chance would not do: states that must be refused, and records that make the
//! engine panic.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tributary::core::Rules;
use tributary::store::{self, Budget};
use tributary::stream::decode::Decoder;
use tributary::stream::{Engine, Moment, Observer, Options, Parts, Planted, RowFormat, Worker};
use tributary::topics::embedded::{Broker, Member, NewRecord, Place, Settings, Topic};
use tributary::topics::{Input, Limit, Offsets, PartitionOffsets, PerInput, TopicLog};

const NOW: i64 = 1_700_000_000_000;

struct Silent;

impl Observer for Silent {
    fn notice(&mut self, _moment: Moment<'_>) {}
    fn tick(&mut self, _in_log_call: bool) {}
}

/// A log of one partition, states, a clock.
struct Scene {
    broker: Arc<Broker>,
    shared: store::Shared,
    clock: Arc<AtomicI64>,
    rules: Rules,
    batch: usize,
    rows_bytes: usize,
}

fn broker(cluster: &str) -> Arc<Broker> {
    let settings =
        Settings { sync: false, cluster: Some(cluster.into()), ..Settings::new(NonZeroU32::new(1).unwrap()) };
    Broker::open(&Place::Memory(rocksdb::Env::mem_env().unwrap()), &settings).unwrap()
}

impl Scene {
    fn new() -> Self {
        let budget = Budget { lose_unflushed_on_close: true, ..Budget::default() };
        Self {
            broker: broker("one"),
            shared: store::Shared::in_memory(&budget).unwrap(),
            clock: Arc::new(AtomicI64::new(NOW)),
            rules: Rules::default(),
            batch: 100,
            rows_bytes: 1 << 20,
        }
    }

    /// A worker with the folder of that name, who owns the partition.
    fn worker(&self, folder: &str) -> Worker<Member, Silent> {
        let options = Options {
            dir: PathBuf::from(format!("/{folder}")),
            batch: Limit { records: self.batch, bytes: 1 << 20 },
            batch_latency: 0,
            flush_interval: 1 << 40,
            offsets_keepalive: 1 << 40,
            dead_letter_bytes: 1 << 20,
        };
        let clock = Arc::clone(&self.clock);
        let parts = Parts {
            shared: Arc::new(self.shared.clone()),
            partitions: Arc::new(store::Partitions::new()),
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        };
        let engine = Engine {
            decoder: Decoder::new(None),
            rules: self.rules.clone(),
            format: RowFormat::Json,
            rows_bytes: self.rows_bytes,
            planted: Planted::default(),
        };
        let member = self.broker.join(folder);
        self.broker.assign(0, folder).unwrap();
        Worker::new(member, engine, options, parts, Silent)
    }

    fn turns(&self, worker: &mut Worker<Member, Silent>, count: usize) -> Result<(), String> {
        for _ in 0..count {
            self.clock.fetch_add(100, Ordering::Relaxed);
            worker.turn(Duration::ZERO).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn touch(&self, event_id: &str, age: i64) {
        let value = format!(r#"{{"event_id":"{event_id}","user_id":"u","occurred_at":{}}}"#, NOW - age);
        self.append(Input::Touchpoints, &value);
    }

    fn convert(&self, event_id: &str, age: i64) {
        let value = format!(r#"{{"event_id":"{event_id}","user_id":"u","occurred_at":{}}}"#, NOW - age);
        self.append(Input::Conversions, &value);
    }

    fn append(&self, input: Input, value: &str) {
        let (key, value) = (Some(b"u".as_slice()), Some(value.as_bytes()));
        let record = NewRecord { partition: 0, key, value, headers: &[], timestamp: NOW };
        self.broker.append(input, &[record]).unwrap();
    }

    /// A state on disk that has applied one conversion and some touchpoints.
    fn settled(&self, folder: &str) {
        let mut worker = self.worker(folder);
        for number in 0..3 {
            self.touch(&format!("t{number}"), 1_000 + number);
        }
        self.convert("c", 0);
        self.turns(&mut worker, 6).unwrap();
        assert_eq!(worker.live().count(), 1);
        worker.close().unwrap();
    }

    /// What the one says who takes the partition with that folder.
    fn refusal(&self, folder: &str) -> String {
        let mut worker = self.worker(folder);
        self.turns(&mut worker, 8).expect_err("it is not refused")
    }

    fn committed(&self) -> PerInput<i64> {
        let committed = self.broker.join("auditor").committed(0).unwrap();
        PerInput::from_fn(|input| committed.get(input).as_ref().map_or(0, |committed| committed.next))
    }

    fn dead_letters(&self) -> Vec<String> {
        let letters = self.broker.read(Topic::DeadLetter, 0, 0, usize::MAX).unwrap();
        let reason = |name: &str| name == "tributary-reason";
        let of = |headers: Vec<(String, Vec<u8>)>| headers.into_iter().find(|(name, _)| reason(name)).unwrap().1;
        letters.into_iter().map(|letter| String::from_utf8(of(letter.headers)).unwrap()).collect()
    }
}

#[test]
fn a_state_goes_on_where_it_was() {
    let scene = Scene::new();
    scene.settled("a");
    let rows = scene.broker.ends(Topic::Attributions);
    let mut again = scene.worker("a");
    scene.turns(&mut again, 4).unwrap();
    assert_eq!(again.live().count(), 1);
    assert_eq!(scene.broker.ends(Topic::Attributions), rows);
    scene.touch("t9", 500);
    scene.turns(&mut again, 2).unwrap();
    assert!(scene.broker.ends(Topic::Attributions) > rows);
}

#[test]
fn other_rules_are_refused_with_state_and_without_and_the_way_out_works() {
    let mut scene = Scene::new();
    scene.settled("a");
    scene.rules = Rules::new(1_000, 1_000, 10, scene.rules.models().to_vec()).unwrap();
    let with_state = scene.refusal("a");
    assert!(with_state.contains("other rules") && with_state.contains("lookback_ms=2592000000"), "{with_state}");
    let without = scene.refusal("b");
    assert!(without.contains("other rules") && without.contains("group_id"), "{without}");
    // The way out: a new group, a new folder and a new output topic, which a new log is all in one.
    scene.broker = broker("two");
    scene.settled("c");
    assert_eq!(scene.committed(), PerInput { touchpoints: 3, conversions: 1 });
}

#[test]
fn a_state_of_another_cluster_is_refused() {
    let mut scene = Scene::new();
    scene.settled("a");
    scene.broker = broker("two");
    let refusal = scene.refusal("a");
    assert!(refusal.contains("another log") && refusal.contains("cluster one"), "{refusal}");
}

#[test]
fn a_state_ahead_of_what_the_group_committed_is_refused() {
    let mut scene = Scene::new();
    scene.settled("a");
    scene.broker = broker("one");
    let mut other = scene.worker("b");
    scene.touch("t0", 1_000);
    scene.turns(&mut other, 4).unwrap();
    drop(other);
    let refusal = scene.refusal("a");
    assert!(refusal.contains("beyond the committed offset (1)"), "{refusal}");
}

#[test]
fn a_topic_made_anew_is_refused() {
    let mut scene = Scene::new();
    scene.settled("a");
    // As many records, committed by the same group of the same cluster, but others.
    scene.broker = broker("one");
    let mut other = scene.worker("b");
    for number in 0..3 {
        scene.touch(&format!("other{number}"), 1_000);
    }
    scene.convert("other", 0);
    scene.turns(&mut other, 6).unwrap();
    drop(other);
    let refusal = scene.refusal("a");
    assert!(refusal.contains("another record at offset"), "{refusal}");
}

#[test]
fn a_state_that_retention_has_passed_is_refused_with_the_figures() {
    let scene = Scene::new();
    scene.settled("a");
    let mut newer = scene.worker("b");
    for number in 0..9 {
        scene.touch(&format!("n{number}"), 900);
    }
    scene.turns(&mut newer, 6).unwrap();
    assert_eq!(scene.broker.trim(Input::Touchpoints, 0, 10).unwrap(), 10);
    drop(newer);
    let refusal = scene.refusal("a");
    assert!(refusal.contains("offset 3") && refusal.contains("begins at 10: 7 records are gone"), "{refusal}");
}

#[test]
fn offsets_that_stay_missing_are_refused_and_those_of_strangers_at_once() {
    let mut scene = Scene::new();
    scene.settled("a");
    // The same log in everything that the state knows of it, but the group has committed nothing.
    scene.broker = broker("one");
    let mut worker = scene.worker("a");
    scene.turns(&mut worker, 20).unwrap();
    assert_eq!(worker.live().count(), 0);
    scene.clock.fetch_add(10_000, Ordering::Relaxed);
    let refusal = scene.turns(&mut worker, 1).expect_err("it is not refused");
    assert!(refusal.contains("no committed offset"), "{refusal}");

    let mut stranger = scene.broker.join("stranger");
    scene.broker.assign(0, "stranger").unwrap();
    stranger.poll(Duration::ZERO).unwrap();
    stranger.begin().unwrap();
    let of = PartitionOffsets { partition: 0, next: PerInput::default(), metadata: "hello".into() };
    stranger.commit(&Offsets::new(of, Vec::new())).unwrap();
    drop(stranger);
    let refusal = scene.refusal("b");
    assert!(refusal.contains("not committed by tributary") && refusal.contains("hello"), "{refusal}");
}

/// A record that panics only when its many rows are produced is set aside too, and nothing of it stays.
#[cfg(feature = "planted")]
#[test]
fn a_giant_that_panics_is_set_aside() {
    crate::quiet();
    let scene = Scene { rows_bytes: 1_500, ..Scene::new() };
    let mut worker = scene.worker("a");
    for number in 0..20 {
        scene.convert(&format!("c{number}"), 0);
    }
    scene.turns(&mut worker, 40).unwrap();
    let rows = scene.broker.ends(Topic::Attributions);
    scene.touch("panic: producing", 1_000);
    scene.touch("t", 2_000);
    scene.turns(&mut worker, 8).unwrap();
    assert_eq!(scene.dead_letters(), ["panic: while its rows were produced"]);
    assert!(scene.broker.ends(Topic::Attributions) > rows, "what came after it is answered");
    let compacted = scene.broker.compacted(Topic::Attributions, 0).unwrap();
    assert!(compacted.iter().all(|row| !String::from_utf8_lossy(row.key.as_ref().unwrap()).contains("panic")));
    assert_eq!(scene.committed(), PerInput { touchpoints: 2, conversions: 20 });
}

/// A build that panics over everything must not empty a topic into the dead letters.
#[cfg(feature = "planted")]
#[test]
fn many_panics_in_a_row_end_the_process() {
    crate::quiet();
    let scene = Scene::new();
    let mut worker = scene.worker("a");
    for _ in 0..40 {
        scene.touch("panic: decoding", 1_000);
    }
    scene.touch("t", 1_000);
    for _ in 0..60 {
        scene.touch("panic: decoding", 1_000);
    }
    let end = scene.turns(&mut worker, 400).expect_err("it goes on");
    assert!(end.contains("50 records in a row"), "{end}");
    assert_eq!(scene.dead_letters().len(), 90, "what came between them begins the count again");
    assert_eq!(scene.committed().touchpoints, 91);
}
