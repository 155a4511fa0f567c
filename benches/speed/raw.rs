//! The ceilings: what librdkafka alone can do with the same topics, in as few calls as it allows.

#![allow(unsafe_code)] // batches of messages and produce by topic handle have no safe form in rdkafka

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tributary::topics::Input;

use crate::Figure;
use crate::stage::{PARTITIONS, Stage, topic};
use crate::usage;

type Client = ThreadedProducer<DefaultProducerContext>;

/// Messages of one call.
const CHUNK: usize = 1_000;

/// The rows of one partition, in one piece of memory.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    /// Where a row begins, where its value begins (none: it deletes), where it ends.
    entries: Vec<(usize, Option<usize>, usize)>,
    next: usize,
}

/// The rows of a topic, by partition.
pub struct Captured(Vec<Rows>);

/// Reads all rows of an output topic.
pub fn rows_of(stage: &Stage, topic: &str) -> Captured {
    let consumer = consumer(stage);
    let mut list = TopicPartitionList::new();
    let mut ends = Vec::new();
    for partition in 0..PARTITIONS as i32 {
        ends.push(consumer.fetch_watermarks(topic, partition, Duration::from_secs(10)).unwrap().1);
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut all: Vec<Rows> = ends.iter().map(|_| Rows::default()).collect();
    // The end of a partition is a marker of a transaction, which is never handed out; the end of partition tells of it.
    let mut open = ends.iter().filter(|end| **end > 0).count();
    while open > 0 {
        match consumer.poll(Duration::from_secs(10)).unwrap_or_else(|| panic!("{topic}: nothing to read for 10 s")) {
            Ok(record) => all[record.partition() as usize].push(record.key().unwrap(), record.payload()),
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{topic}: {error}"),
        }
    }
    Captured(all)
}

impl Rows {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = value.map(|_| self.bytes.len());
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.entries.push((start, middle, self.bytes.len()));
    }

    fn next(&mut self) -> (&[u8], Option<&[u8]>) {
        let (start, middle, end) = self.entries[self.next % self.entries.len()];
        self.next += 1;
        (&self.bytes[start..middle.unwrap_or(end)], middle.map(|middle| &self.bytes[middle..end]))
    }
}

fn consumer(stage: &Stage) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", stage.broker.address())
        .set("group.id", "bench-ceiling")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        // As the job has it; with the default, a full queue is looked at again after a second.
        .set("fetch.queue.backoff.ms", "5")
        .create()
        .unwrap()
}

fn assign_inputs(consumer: &BaseConsumer, partitions: &[u32]) {
    let mut list = TopicPartitionList::new();
    for input in Input::ALL {
        for partition in partitions {
            list.add_partition_offset(topic(input), *partition as i32, Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&list).unwrap();
}

/// Time and CPU from the first event to the last.
struct Clock {
    began: Instant,
    own: usage::Spent,
    broker: usage::Spent,
    broker_pid: u32,
}

impl Clock {
    fn start(stage: &Stage) -> Self {
        let broker_pid = stage.broker.pid();
        Self { began: Instant::now(), own: usage::own(), broker: usage::spent(broker_pid), broker_pid }
    }

    fn figure(&self, events: u64) -> Figure {
        let took = self.began.elapsed();
        Figure::of(events, took, usage::own() - self.own, usage::spent(self.broker_pid) - self.broker)
    }
}

/// Reads every event and does nothing.
pub fn read(stage: &Stage, events: u64) -> Figure {
    let all: Vec<u32> = (0..PARTITIONS).collect();
    let run = Run::new(events);
    each_batch(stage, &run, &all, |_, _| {});
    run.figure()
}

/// Reads every event and writes as many of the rows to another topic, in transactions that carry the offsets: with as many
/// threads as the job has workers, each with its share of the partitions. A transaction has `batch` events.
pub fn read_and_write(stage: &Stage, captured: &mut Captured, events: u64, batch: u64) -> Figure {
    let rows: usize = captured.0.iter().map(|rows| rows.entries.len()).sum();
    let per_event = rows as f64 / events as f64;
    let workers = stage.workers;
    let mut shares: Vec<BTreeMap<u32, &mut Rows>> = (0..workers).map(|_| BTreeMap::new()).collect();
    for (partition, rows) in (0..).zip(&mut captured.0) {
        shares[partition as usize % workers].insert(partition, rows);
    }
    let run = Run::new(events);
    std::thread::scope(|scope| {
        for (number, share) in shares.into_iter().enumerate() {
            let run = &run;
            scope.spawn(move || {
                let partitions: Vec<u32> = share.keys().copied().collect();
                let mut writer = Writer::new(stage, number, share, (per_event, batch));
                each_batch(stage, run, &partitions, |consumer, messages| writer.take(consumer, messages));
            });
        }
    });
    run.figure()
}

/// What the threads of one ceiling share.
struct Run {
    events: u64,
    seen: AtomicU64,
    clock: OnceLock<Clock>,
}

impl Run {
    fn new(events: u64) -> Self {
        Self { events, seen: AtomicU64::new(0), clock: OnceLock::new() }
    }

    fn figure(&self) -> Figure {
        self.clock.get().unwrap().figure(self.events)
    }
}

/// What one message tells: its topic is the lead one, its partition, its offset.
struct Seen {
    lead: bool,
    partition: i32,
    offset: i64,
}

/// Reads the events of some partitions until all are read; `each` is told of what every call brought, and once more of nothing
/// at the end.
fn each_batch(stage: &Stage, run: &Run, partitions: &[u32], mut each: impl FnMut(&BaseConsumer, &[Seen])) {
    let consumer = consumer(stage);
    assign_inputs(&consumer, partitions);
    let mut messages = [ptr::null_mut(); CHUNK];
    let mut seen = Vec::with_capacity(CHUNK);
    // SAFETY: the queue belongs to the consumer, which outlives it; every message is destroyed once, after its last use.
    unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        let lead = CString::new(topic(Input::Touchpoints)).unwrap();
        while run.seen.load(Ordering::Relaxed) < run.events {
            let count = sys::rd_kafka_consume_batch_queue(queue, 50, messages.as_mut_ptr(), CHUNK);
            seen.clear();
            for message in &messages[..usize::try_from(count).unwrap()] {
                let raw = &**message;
                if raw.err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    run.clock.get_or_init(|| Clock::start(stage));
                    let name = std::ffi::CStr::from_ptr(sys::rd_kafka_topic_name(raw.rkt));
                    seen.push(Seen { lead: name == lead.as_c_str(), partition: raw.partition, offset: raw.offset });
                }
                sys::rd_kafka_message_destroy(*message);
            }
            run.seen.fetch_add(seen.len() as u64, Ordering::Relaxed);
            if !seen.is_empty() {
                each(&consumer, &seen);
            }
        }
        each(&consumer, &[]);
        sys::rd_kafka_queue_destroy(queue);
    }
}

/// Two transactional producers in turn, as the job has them.
struct Writer<'r> {
    producers: [(Client, *mut sys::rd_kafka_topic_t); 2],
    turn: usize,
    rows: BTreeMap<u32, &'r mut Rows>,
    per_event: f64,
    batch: u64,
    due: f64,
    pending: u64,
    next: [[i64; PARTITIONS as usize]; 2],
}

impl<'r> Writer<'r> {
    fn new(stage: &Stage, number: usize, rows: BTreeMap<u32, &'r mut Rows>, (per_event, batch): (f64, u64)) -> Self {
        let producers = ["a", "b"].map(|id| {
            let producer: Client = ClientConfig::new()
                .set("bootstrap.servers", stage.broker.address())
                .set("transactional.id", format!("bench-ceiling-{number}-{id}"))
                .set("compression.type", "lz4")
                .set("linger.ms", "0")
                .set("retry.backoff.ms", "2")
                .set("queue.buffering.max.messages", "500000")
                .set("delivery.report.only.error", "true")
                .create()
                .unwrap();
            producer.init_transactions(Duration::from_secs(30)).unwrap();
            let name = CString::new(Stage::CEILING).unwrap();
            // SAFETY: the client is alive and the name terminated.
            let topic =
                unsafe { sys::rd_kafka_topic_new(producer.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
            assert!(!topic.is_null());
            producer.begin_transaction().unwrap();
            (producer, topic)
        });
        Self { producers, turn: 0, rows, per_event, batch, due: 0.0, pending: 0, next: [[0; PARTITIONS as usize]; 2] }
    }

    fn take(&mut self, consumer: &BaseConsumer, messages: &[Seen]) {
        for message in messages {
            self.next[usize::from(!message.lead)][message.partition as usize] = message.offset + 1;
            self.due += self.per_event;
            while self.due >= 1.0 {
                self.due -= 1.0;
                self.produce(message.partition);
            }
        }
        self.pending += messages.len() as u64;
        if self.pending >= self.batch || messages.is_empty() {
            self.commit(consumer);
        }
    }

    fn produce(&mut self, partition: i32) {
        let (key, value) = self.rows.get_mut(&(partition as u32)).unwrap().next();
        let (value, length) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
        let (producer, topic) = &self.producers[self.turn];
        loop {
            // SAFETY: topic and client are alive; key and value are copied before the call returns.
            let answer = unsafe {
                sys::rd_kafka_produce(
                    *topic,
                    partition,
                    sys::RD_KAFKA_MSG_F_COPY,
                    value.cast_mut().cast(),
                    length,
                    key.as_ptr().cast(),
                    key.len(),
                    ptr::null_mut(),
                )
            };
            if answer == 0 {
                return;
            }
            flush(producer, 1); // the queue is full
        }
    }

    fn commit(&mut self, consumer: &BaseConsumer) {
        let mut offsets = TopicPartitionList::new();
        for (input, next) in Input::ALL.iter().zip(&self.next) {
            for partition in self.rows.keys() {
                let next = Offset::Offset(next[*partition as usize]);
                offsets.add_partition_offset(topic(*input), *partition as i32, next).unwrap();
            }
        }
        let (producer, _) = &self.producers[self.turn];
        let group = consumer.group_metadata().unwrap();
        producer.send_offsets_to_transaction(&offsets, &group, Duration::from_secs(30)).unwrap();
        flush(producer, 30_000);
        producer.commit_transaction(Duration::from_secs(30)).unwrap();
        producer.begin_transaction().unwrap();
        self.turn = 1 - self.turn;
        self.pending = 0;
    }
}

/// Waits until all is delivered; rdkafka's own waits in steps of 100 ms.
fn flush(producer: &Client, millis: i32) {
    // SAFETY: the client is alive.
    unsafe { sys::rd_kafka_flush(producer.client().native_ptr(), millis) };
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        for (_, topic) in &self.producers {
            // SAFETY: each was made here and is given up once, before its client.
            unsafe { sys::rd_kafka_topic_destroy(*topic) }
        }
    }
}
