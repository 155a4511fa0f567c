//! The producer: sends the events of a seed at a steady rate for as long as it is let, and writes what it sent as files
//! for the batch pass.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tributary::topics::{Input, PerInput};

use crate::events::{Events, Record};
use crate::stage::Stage;

/// Marks records that cannot be used, to be found again in the log.
pub const BAD: &str = "cannot-be-used";

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub records: u64,
    pub bad: u64,
}

/// The producer, running. Stopped on drop.
pub struct Feed {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: Option<JoinHandle<Sent>>,
    /// Files of touchpoints and conversions.
    pub files: [PathBuf; 2],
}

/// Keeps what the broker did not take, to be sent again. One that is just back may say for a moment that it knows no such topic,
/// which librdkafka takes for an answer.
#[derive(Default)]
struct Losses(Mutex<Vec<Lost>>);

/// A record that was not taken, and why.
type Lost = (KafkaError, Box<Record>);

impl rdkafka::ClientContext for Losses {}

impl ProducerContext for Losses {
    type DeliveryOpaque = Box<Record>;

    fn delivery(&self, result: &DeliveryResult<'_>, record: Box<Record>) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap().push((error.clone(), record));
        }
    }
}

impl Feed {
    /// Starts to send, `rate` records a second.
    pub fn start(stage: &Stage, mut events: Events, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let files = ["touchpoints", "conversions"].map(|name| stage.path(&format!("{name}.ndjson")));
        let mut wire = Wire::new(stage, &files);
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&count));
        let thread = std::thread::spawn(move || {
            let (began, mut sent) = (Instant::now(), Sent::default());
            while !told.load(Ordering::Relaxed) {
                let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
                while sent.records < due && !told.load(Ordering::Relaxed) {
                    let record = events.next();
                    sent.records += 1;
                    sent.bad += u64::from(record.line.is_none());
                    wire.write_down(&record);
                    wire.send(record);
                    counted.store(sent.records, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            wire.finish();
            sent
        });
        Self { stop, count, thread: Some(thread), files }
    }

    /// Records sent so far.
    pub fn sent(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends it, once the broker has all.
    pub fn finish(mut self) -> (Sent, [PathBuf; 2]) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.thread.take().unwrap().join().unwrap();
        (sent, self.files.clone())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

struct Wire {
    producer: ThreadedProducer<Losses>,
    topics: PerInput<String>,
    files: PerInput<BufWriter<File>>,
}

impl Wire {
    fn new(stage: &Stage, files: &[PathBuf; 2]) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", stage.broker.address())
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "120000")
            .create_with_context(Losses::default())
            .unwrap();
        let [touchpoints, conversions] = files.each_ref().map(|file| BufWriter::new(File::create(file).unwrap()));
        Self {
            producer,
            topics: PerInput::from_fn(|input: Input| stage.topic(input.name())),
            files: PerInput { touchpoints, conversions },
        }
    }

    /// Adds it to the files, unless it cannot be used.
    fn write_down(&mut self, record: &Record) {
        if let Some(line) = &record.line {
            writeln!(self.files.get_mut(record.input), "{line}").unwrap();
        }
    }

    fn send(&self, record: Record) {
        let (key, value) = (record.key.clone(), record.value.clone());
        let mut headers = OwnedHeaders::new();
        if record.line.is_none() {
            headers = headers.insert(Header { key: BAD, value: Some("") });
        }
        let topic = self.topics.get(record.input);
        let mut message: BaseRecord<'_, [u8], [u8], Box<Record>> = BaseRecord::with_opaque_to(topic, Box::new(record));
        message.headers = Some(headers);
        message.key = key.as_deref();
        message.payload = value.as_deref();
        while let Err((error, again)) = self.producer.send(message) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            std::thread::sleep(Duration::from_millis(10));
            message = again;
        }
    }

    fn finish(&mut self) {
        for _ in 0..10 {
            self.producer.flush(Duration::from_secs(120)).unwrap();
            let lost = std::mem::take(&mut *self.producer.context().0.lock().unwrap());
            let Some((why, _)) = lost.first() else { break };
            println!("{} records that the broker did not take are sent again: {why}", lost.len());
            lost.into_iter().for_each(|(_, record)| self.send(*record));
        }
        self.producer.flush(Duration::from_secs(120)).unwrap();
        assert_eq!(self.producer.context().0.lock().unwrap().len(), 0, "records that the broker did not take");
        self.files.touchpoints.flush().unwrap();
        self.files.conversions.flush().unwrap();
    }
}
