//! Single scenes on the embedded log where chance would not do: states that must be refused, a disk that fails, a partition
//! that comes back while it is read, and records that make the engine panic.

mod disk;
mod held;
#[cfg(feature = "planted")]
mod panics;
mod refused;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tributary::core::Rules;
use tributary::store::{self, Budget};
use tributary::stream::decode::Decoder;
use tributary::stream::{Engine, Error, Moment, Observer, Options, Parts, Planted, RowFormat, Worker};
use tributary::topics::embedded::{Broker, Member, NewRecord, Place, Settings, Topic};
use tributary::topics::{Input, Limit, PerInput, TopicLog};

use crate::answer::Rows;

/// The time of every record.
const NOW: i64 = 1_700_000_000_000;
/// How long a partition that was given up may be read on.
const READ_FOR: i64 = 1_000;

pub struct Silent;

impl Observer for Silent {
    fn notice(&mut self, _moment: Moment<'_>) {}
    fn tick(&mut self, _in_log_call: bool) {}
}

/// A log of one partition, states, a clock.
struct Scene {
    broker: Arc<Broker>,
    shared: store::Shared,
    /// Where the folders of states lie.
    root: PathBuf,
    clock: Arc<AtomicI64>,
    rules: Rules,
    batch: usize,
    rows_bytes: usize,
}

/// A worker, and the states that it has open.
struct Running {
    worker: Worker<Member, Silent>,
    partitions: Arc<store::Partitions>,
    clock: Arc<AtomicI64>,
}

impl Running {
    fn turns(&mut self, count: usize) -> Result<(), Error> {
        for _ in 0..count {
            self.clock.fetch_add(100, Ordering::Relaxed);
            self.worker.turn(Duration::ZERO)?;
        }
        Ok(())
    }

    fn is_live(&self) -> bool {
        self.worker.live().count() == 1
    }
}

fn budget() -> Budget {
    Budget { lose_unflushed_on_close: true, ..Budget::default() }
}

fn broker(cluster: &str) -> Arc<Broker> {
    let settings =
        Settings { sync: false, cluster: Some(cluster.into()), ..Settings::new(NonZeroU32::new(1).unwrap()) };
    Broker::open(&Place::Memory(rocksdb::Env::mem_env().unwrap()), &settings).unwrap()
}

impl Scene {
    fn new() -> Self {
        Self {
            broker: broker("one"),
            shared: store::Shared::in_memory(&budget()).unwrap(),
            root: PathBuf::from("/"),
            clock: Arc::new(AtomicI64::new(NOW)),
            rules: Rules::default(),
            batch: 100,
            rows_bytes: 1 << 20,
        }
    }

    /// A worker with the folder of that name, who owns the partition.
    fn worker(&self, folder: &str) -> Running {
        let options = Options {
            dir: self.root.join(folder),
            batch: Limit { records: self.batch, bytes: 1 << 20 },
            batch_latency: 0,
            flush_interval: 1 << 40,
            offsets_keepalive: 1 << 40,
            dead_letter_bytes: 1 << 20,
            transaction_timeout: i64::MAX,
            read_for: READ_FOR,
        };
        let (clock, partitions) = (Arc::clone(&self.clock), Arc::new(store::Partitions::new()));
        let parts = Parts {
            shared: Arc::new(self.shared.clone()),
            partitions: Arc::clone(&partitions),
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
        let worker = Worker::new(member, engine, options, parts, Silent);
        Running { worker, partitions, clock: Arc::clone(&self.clock) }
    }

    fn touch(&self, event_id: &str, age: i64) {
        self.append(Input::Touchpoints, event_id, age);
    }

    fn convert(&self, event_id: &str, age: i64) {
        self.append(Input::Conversions, event_id, age);
    }

    fn append(&self, input: Input, event_id: &str, age: i64) {
        let value = format!(r#"{{"event_id":"{event_id}","user_id":"u","occurred_at":{}}}"#, NOW - age);
        let (key, value) = (Some(b"u".as_slice()), Some(value.as_bytes()));
        let record = NewRecord { partition: 0, key, value, headers: &[], timestamp: NOW };
        self.broker.append(input, &[record]).unwrap();
    }

    /// A state on disk that has applied three touchpoints and a conversion.
    fn settled(&self, folder: &str) {
        let mut worker = self.worker(folder);
        for number in 0..3 {
            self.touch(&format!("t{number}"), 1_000 + number);
        }
        self.convert("c", 0);
        worker.turns(6).unwrap();
        assert!(worker.is_live());
        worker.worker.close().unwrap();
    }

    fn committed(&self) -> PerInput<i64> {
        let committed = self.broker.join("auditor").committed(0).unwrap();
        PerInput::from_fn(|input| committed.get(input).as_ref().map_or(0, |committed| committed.next))
    }

    /// The output as a reader has it.
    fn rows(&self) -> Rows {
        let compacted = self.broker.compacted(Topic::Attributions, 0).unwrap();
        compacted.into_iter().map(|row| (row.key.unwrap(), row.value.unwrap())).collect()
    }
}
