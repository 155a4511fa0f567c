//! The control and audit topics: what instances share, read whole and then followed, and appended to outside transactions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};

use super::super::{Error, Offset};
use super::errors::{self, number};
use super::reach::{self, Reach};
use super::reader::Reader;
use super::settings::Settings;

/// A record of a compacted topic: a key without a value is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The partition it stands in.
    pub partition: u32,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp, in milliseconds.
    pub logged_at: i64,
    /// The key; empty if the record has none.
    pub key: &'a [u8],
    /// The value; none deletes the key.
    pub value: Option<&'a [u8]>,
}

/// Reads a topic from its beginning, and goes on following it.
pub struct Follower {
    reader: Reader,
}

impl Follower {
    /// Reads the topic whole, up to the end it has now, and stands ready to follow it.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no broker answers: open it again; what `each` was given counts nothing then.
    pub fn open(settings: &Settings, topic: &str, each: &mut dyn FnMut(Entry<'_>)) -> Result<Self, Error> {
        settings.validate()?;
        let reach = Arc::new(Reach::new());
        let mut reader = Reader::open(settings, "control", topic, &reach)?;
        let mut next = Vec::new();
        for partition in 0..reader.partitions()? {
            let end = reader.read_to_end(partition, 0, &mut |message| each(Entry::of(partition, message)))?;
            next.push((partition, end));
        }
        reader.assign(&next)?;
        Ok(Self { reader })
    }

    /// Where the topic ends now, by partition; the brokers have `wait` to answer for each. Silence alone would not say whether
    /// nothing was appended or nobody can be asked.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when they do not answer: open it again.
    pub fn ends(&self, wait: Duration) -> Result<BTreeMap<u32, Offset>, Error> {
        self.reader.ends(wait)
    }

    /// Whether all was handed out up to these ends.
    pub fn has_reached(&self, ends: &BTreeMap<u32, Offset>) -> bool {
        self.reader.has_reached(ends)
    }

    /// Hands out what was appended since, waiting up to `wait` for it. Whether there was anything.
    pub fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        self.reader.follow(wait, &mut |partition, message| each(Entry::of(partition, message)))
    }
}

impl<'a> Entry<'a> {
    pub(super) fn of(partition: u32, message: &'a super::queues::Message) -> Self {
        Self {
            partition,
            offset: message.offset(),
            logged_at: message.timestamp(),
            key: message.key().unwrap_or_default(),
            value: message.value(),
        }
    }
}

type Answer = Result<(u32, Offset), Code>;

struct Context(Arc<Reach>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        reach::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = errors::code(&error);
        if code == Code::AllBrokersDown {
            self.0.failed(reason);
        }
        tracing::warn!(%code, reason, "kafka producer");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<SyncSender<Answer>>;

    fn delivery(&self, result: &DeliveryResult<'_>, asked: Self::DeliveryOpaque) {
        let answer = match result {
            Ok(record) => Ok((u32::try_from(record.partition()).unwrap_or(0), record.offset())),
            Err((error, _)) => Err(errors::code(error)),
        };
        if asked.try_send(answer).is_err() {
            tracing::debug!("an append was answered after its time");
        }
    }
}

/// Appends records outside transactions, each acknowledged by all replicas in sync before the call returns. May be shared by
/// threads.
pub struct Appender {
    config: ClientConfig,
    client: Mutex<Arc<ThreadedProducer<Context>>>,
    wait: Duration,
}

impl Appender {
    /// A producer for the control and audit topics.
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        settings.validate()?;
        let config = settings.appender("control");
        let client = Mutex::new(client(&config)?);
        Ok(Self { config, client, wait: settings.timeouts.request + Duration::from_secs(1) })
    }

    fn client(&self) -> Arc<ThreadedProducer<Context>> {
        Arc::clone(&self.client.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What comes next goes through a new client: the last one may have lost sight of the brokers, see [`reach::LOST`].
    fn renew(&self) {
        match client(&self.config) {
            Ok(fresh) => *self.client.lock().unwrap_or_else(PoisonError::into_inner) = fresh,
            Err(error) => tracing::warn!(%error, "no new producer"),
        }
    }

    /// Appends one record, to the partition its key hashes to by murmur2, and returns where it stands.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when it was not acknowledged in time: it may still be there or not, so it must be one that can be
    /// written again. [`Error::Fatal`] when it cannot be written at all.
    pub fn append(&self, topic: &str, key: &[u8], value: Option<&[u8]>) -> Result<(u32, Offset), Error> {
        self.append_at(topic, key, value, None)
    }

    /// As [`Self::append`], with a timestamp in milliseconds.
    pub fn append_at(
        &self,
        topic: &str,
        key: &[u8],
        value: Option<&[u8]>,
        logged_at: Option<i64>,
    ) -> Result<(u32, Offset), Error> {
        let waited = self.enqueue(topic, None, (key, value), logged_at)?;
        self.answer(topic, &waited)
    }

    /// Appends records to one partition of a topic, and returns once all are acknowledged. After an error, too, none is still
    /// on its way: what is appended again does not meet the first attempt.
    pub fn append_all<'a>(
        &self,
        topic: &str,
        partition: u32,
        records: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<Vec<Offset>, Error> {
        let waited: Vec<_> =
            records.into_iter().map(|record| self.enqueue(topic, Some(partition), record, None)).collect();
        let answer = |waited: Result<Receiver<Answer>, Error>| self.answer(topic, &waited?).map(|(_, offset)| offset);
        let answers: Vec<_> = waited.into_iter().map(answer).collect();
        answers.into_iter().collect()
    }

    fn enqueue(
        &self,
        topic: &str,
        partition: Option<u32>,
        (key, value): (&[u8], Option<&[u8]>),
        logged_at: Option<i64>,
    ) -> Result<Receiver<Answer>, Error> {
        let client = self.client();
        let (asked, waited) = sync_channel(1);
        let mut record: BaseRecord<'_, [u8], [u8], Box<SyncSender<Answer>>> =
            BaseRecord::with_opaque_to(topic, Box::new(asked));
        record.key = Some(key);
        record.payload = value;
        record.partition = partition.map(number);
        record.timestamp = logged_at;
        loop {
            match client.send(record) {
                Ok(()) => return Ok(waited),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    super::queues::flushed(client.client(), Duration::from_millis(5));
                    record = back;
                }
                Err((error, _)) => return Err(refused(topic, errors::code(&error))),
            }
        }
    }

    fn answer(&self, topic: &str, waited: &Receiver<Answer>) -> Result<(u32, Offset), Error> {
        match waited.recv_timeout(self.wait) {
            Ok(Ok(at)) => Ok(at),
            Ok(Err(code)) => {
                if code == Code::MessageTimedOut {
                    self.renew();
                }
                Err(refused(topic, code))
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(Error::Unreachable(format!("{topic}: not acknowledged in time")))
            }
        }
    }
}

fn client(config: &ClientConfig) -> Result<Arc<ThreadedProducer<Context>>, Error> {
    let made = config.create_with_context(Context(Arc::new(Reach::new())));
    made.map(Arc::new).map_err(|error| errors::unmade("producer", &error))
}

fn refused(topic: &str, code: Code) -> Error {
    match code {
        Code::MessageSizeTooLarge | Code::InvalidRecord | Code::InvalidTimestamp | Code::InvalidMessage => {
            Error::Fatal(format!("{topic}: the record is refused ({code})"))
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            Error::Fatal(format!("{topic}: writing is not permitted; grant Write on topic {topic}"))
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            Error::Fatal(format!("topic {topic} does not exist; `tributary topics create` makes it"))
        }
        _ => Error::Unreachable(format!("{topic}: {code}")),
    }
}
