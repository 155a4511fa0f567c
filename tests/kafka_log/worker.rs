//! What the tests share: topics of a test's own, and the smallest engine there is, which answers every record with a row that
//! names it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tributary::topics::kafka::control::Appender;
use tributary::topics::kafka::tail::{From, Tail};
use tributary::topics::kafka::topics::{Creation, create};
use tributary::topics::kafka::{KafkaLog, Names, Settings};
use tributary::topics::{
    Assignment, Error, Input, Limit, Offset, Offsets, Outgoing, Output, PartitionOffsets, PerInput, Records, TopicLog,
};

pub const METADATA: &str = "rules=1;core=1;log=x";

/// Settings with topics that carry the test's name, made with so many partitions.
pub fn settings(brokers: &str, test: &str, partitions: u32) -> Settings {
    let mut settings = bare_settings(brokers, test);
    let creation = Creation { partitions, replicas: 1, retention: None, audit_retention: Duration::from_secs(86_400) };
    for finding in create(&settings, &creation).unwrap() {
        assert!(finding.is_ok(), "{finding}");
    }
    settings.timeouts.request = Duration::from_secs(10);
    settings
}

/// The same settings without making the topics.
pub fn bare_settings(brokers: &str, test: &str) -> Settings {
    let mut settings = Settings::new(brokers, test, &format!("{test}-1"));
    settings.topics = Names {
        touchpoints: format!("{test}.touchpoints"),
        conversions: format!("{test}.conversions"),
        attributions: format!("{test}.attributions"),
        dead_letter: format!("{test}.dead"),
        control: format!("{test}.control"),
        audit: format!("{test}.audit"),
    };
    settings.timeouts.session = Duration::from_secs(6);
    settings
}

/// Appends so many records to one partition of an input; each says what it is.
pub fn append(settings: &Settings, input: Input, partition: u32, count: usize) {
    let appender = Appender::open(settings).unwrap();
    let values: Vec<String> = (0..count).map(|n| format!("{}-{partition}-{n}", input.name())).collect();
    let records = values.iter().map(|value| (b"user".as_slice(), Some(value.as_bytes())));
    assert_eq!(appender.append_all(settings.topics.input(input), partition, records).unwrap().len(), count);
}

/// Every committed row: (partition, value).
pub fn rows(settings: &Settings, output: Output) -> Vec<(u32, String)> {
    let mut tail = Tail::open(settings, settings.topics.output(output), From::Beginning).unwrap();
    let mut rows = Vec::new();
    for partition in 0..tail.partitions() {
        tail.read_whole(partition, &mut |entry| {
            rows.push((entry.partition, String::from_utf8(entry.value.unwrap().to_vec()).unwrap()));
        })
        .unwrap();
    }
    rows
}

/// Repeats until it answers, or fails naming what it waited for.
pub fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {within:?} for: {what}");
    }
}

pub const LIMIT: Limit = Limit { records: 1000, bytes: 1 << 20 };

/// One worker over a log.
pub struct Worker {
    pub log: KafkaLog,
    pub next: BTreeMap<u32, PerInput<Offset>>,
    pub handled: usize,
    taking: Vec<u32>,
    batch: Records,
}

impl Worker {
    pub fn join(settings: &Settings, worker: usize) -> Self {
        // RUST_LOG=librdkafka=debug and TRIBUTARY_TEST_DEBUG=cgrp,eos show what a failing test did.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        drop(tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init());
        let mut settings = settings.clone();
        if let Ok(debug) = std::env::var("TRIBUTARY_TEST_DEBUG") {
            settings.properties.insert("debug".into(), debug);
        }
        let log = KafkaLog::join(settings, worker).unwrap();
        Self { log, next: BTreeMap::new(), handled: 0, taking: Vec::new(), batch: Records::default() }
    }

    /// A worker that has taken this many partitions.
    pub fn with_partitions(settings: &Settings, worker: usize, count: usize) -> Self {
        let mut worker = Self::join(settings, worker);
        eventually("partitions", Duration::from_secs(30), || {
            worker.take(Duration::from_millis(50));
            (worker.next.len() == count).then_some(())
        });
        worker
    }

    /// Polls, and takes or gives up what the group says.
    pub fn take(&mut self, wait: Duration) {
        self.try_take(wait).unwrap();
    }

    /// As [`Self::take`]; what could not be taken yet is taken the next time.
    pub fn try_take(&mut self, wait: Duration) -> Result<(), Error> {
        for change in self.log.poll(wait)? {
            match change {
                Assignment::Lost(partition) => {
                    self.next.remove(&partition);
                    self.taking.retain(|taking| *taking != partition);
                }
                Assignment::Gained(partition) => self.taking.push(partition),
            }
        }
        while let Some(partition) = self.taking.last().copied() {
            let committed = self.log.committed(partition)?;
            let next = PerInput::from_fn(|input| committed.get(input).as_ref().map_or(0, |at| at.next));
            self.log.seek(partition, next)?;
            self.next.insert(partition, next);
            self.taking.pop();
        }
        Ok(())
    }

    /// Reads what there is and answers it, one transaction a partition; what was aborted is read again.
    pub fn step(&mut self) -> Result<(), Error> {
        self.take(Duration::from_millis(20));
        match self.answer_some(LIMIT.records) {
            Err(Error::Aborted(_)) => {
                self.next.iter().try_for_each(|(partition, next)| self.log.seek(*partition, *next))
            }
            done => done,
        }
    }

    /// As [`Self::step`] without a poll, with at most so many records of an input in a transaction.
    pub fn answer_some(&mut self, records: usize) -> Result<(), Error> {
        for partition in self.next.keys().copied().collect::<Vec<_>>() {
            self.batch.clear();
            for input in Input::ALL {
                self.log.fetch(partition, input, Limit { records, ..LIMIT }, &mut self.batch)?;
            }
            if !self.batch.is_empty() {
                self.answer(partition)?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, partition: u32) -> Result<(), Error> {
        let mut next = self.next[&partition];
        self.log.begin()?;
        for record in self.batch.iter() {
            *next.get_mut(record.head.input) = record.head.offset + 1;
            self.log.produce(row(partition, record.value.unwrap()))?;
        }
        self.log.commit(&offsets(partition, next))?;
        self.handled += self.batch.len();
        self.next.insert(partition, next);
        Ok(())
    }
}

pub fn row(partition: u32, value: &[u8]) -> Outgoing<'_> {
    Outgoing { output: Output::Attributions, partition, key: Some(value), value: Some(value), headers: &[] }
}

pub fn offsets(partition: u32, next: PerInput<Offset>) -> Offsets {
    Offsets::new(PartitionOffsets { partition, next, metadata: METADATA.into() }, Vec::new())
}

pub fn both(next: Offset) -> PerInput<Offset> {
    PerInput::from_fn(|_| next)
}
