//! The producer: sends the events of a seed at a steady rate for as long as it is let, and writes what it sent as files
//! for the batch pass.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// Counts what the broker did not take: it must be nothing.
struct Losses(AtomicU64);

impl rdkafka::ClientContext for Losses {}

impl ProducerContext for Losses {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
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
                    wire.send(&record);
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
            .create_with_context(Losses(AtomicU64::new(0)))
            .unwrap();
        let [touchpoints, conversions] = files.each_ref().map(|file| BufWriter::new(File::create(file).unwrap()));
        Self {
            producer,
            topics: PerInput::from_fn(|input: Input| stage.topic(input.name())),
            files: PerInput { touchpoints, conversions },
        }
    }

    fn send(&mut self, record: &Record) {
        let file = match record.input {
            Input::Touchpoints => &mut self.files.touchpoints,
            Input::Conversions => &mut self.files.conversions,
        };
        let mut headers = OwnedHeaders::new();
        match &record.line {
            Some(line) => writeln!(file, "{line}").unwrap(),
            None => headers = headers.insert(Header { key: BAD, value: Some("") }),
        }
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(self.topics.get(record.input)).headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        while let Err((error, again)) = self.producer.send(message) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            std::thread::sleep(Duration::from_millis(10));
            message = again;
        }
    }

    fn finish(&mut self) {
        self.producer.flush(Duration::from_secs(120)).unwrap();
        assert_eq!(self.producer.context().0.load(Ordering::Relaxed), 0, "records that the broker did not take");
        self.files.touchpoints.flush().unwrap();
        self.files.conversions.flush().unwrap();
    }
}
