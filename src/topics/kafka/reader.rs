//! Reading committed records of any topic, outside the group: dead letters, control records, rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientConfig, ClientContext, Offset as Position, TopicPartitionList};

use super::super::{Error, Offset};
use super::errors::{self, number};
use super::queues::{self, Message, Queue, Wake};
use super::reach::{self, Reach};
use super::settings::Settings;

pub(super) struct Context(Arc<Reach>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        reach::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match errors::code(&error) {
            Code::AllBrokersDown => self.0.failed(reason),
            code => tracing::debug!(%code, reason, "kafka reader"),
        }
    }
}

impl ConsumerContext for Context {}

/// A reader of some partitions of one topic.
pub(super) struct Reader {
    topic: String,
    queues: BTreeMap<u32, Queue<Context>>,
    /// Up to where each of them was handed out.
    next: BTreeMap<u32, Offset>,
    own: Queue<Context>,
    wake: Arc<Wake>,
    request: Duration,
    reach: Arc<Reach>,
    /// When something last came, or a broker was last asked for a sign of life.
    heard: Instant,
    config: ClientConfig,
    consumer: Arc<BaseConsumer<Context>>,
}

impl Reader {
    /// A reader of this topic that reads nothing yet.
    pub(super) fn open(settings: &Settings, role: &str, topic: &str, reach: &Arc<Reach>) -> Result<Self, Error> {
        let config = settings.reader(role);
        let (consumer, own) = client(&config, reach)?;
        Ok(Self {
            topic: topic.into(),
            queues: BTreeMap::new(),
            next: BTreeMap::new(),
            own,
            wake: Arc::default(),
            request: settings.timeouts.request,
            reach: Arc::clone(reach),
            heard: Instant::now(),
            config,
            consumer,
        })
    }

    /// Goes on as a new client, where it was, if nothing has come for long and nobody answers: see [`reach::LOST`].
    fn look_for_brokers(&mut self) -> Result<(), Error> {
        if self.heard.elapsed() < reach::LOST {
            return Ok(());
        }
        self.heard = Instant::now();
        if self.reach.probe(&self.consumer, &self.topic) {
            return Ok(());
        }
        tracing::warn!(topic = self.topic, "no broker has answered for long: looking for them anew");
        let from: Vec<_> = self.next.iter().map(|(partition, next)| (*partition, *next)).collect();
        self.queues.clear();
        (self.consumer, self.own) = client(&self.config, &self.reach)?;
        self.assign(&from)
    }

    /// How many partitions the topic has.
    pub(super) fn partitions(&self) -> Result<u32, Error> {
        super::admin::partitions(self.consumer.client(), &self.topic, self.request, &self.reach)
    }

    /// The first offset and the last stable offset of a partition.
    pub(super) fn bounds(&self, partition: u32) -> Result<(Offset, Offset), Error> {
        self.bounds_within(partition, self.request)
    }

    fn bounds_within(&self, partition: u32, wait: Duration) -> Result<(Offset, Offset), Error> {
        self.consumer
            .fetch_watermarks(&self.topic, number(partition), wait)
            .map_err(|error| super::errors::unreachable(&self.reach, &format!("offsets of {}", self.topic), &error))
    }

    /// Where the assigned partitions end now; the brokers have `wait` to answer for each.
    pub(super) fn ends(&self, wait: Duration) -> Result<BTreeMap<u32, Offset>, Error> {
        self.next.keys().map(|partition| Ok((*partition, self.bounds_within(*partition, wait)?.1))).collect()
    }

    /// Whether all was handed out up to these ends.
    pub(super) fn has_reached(&self, ends: &BTreeMap<u32, Offset>) -> bool {
        ends.iter().all(|(partition, end)| self.next.get(partition).is_some_and(|next| next >= end))
    }

    /// Reads these partitions from these offsets, and no others.
    pub(super) fn assign(&mut self, from: &[(u32, Offset)]) -> Result<(), Error> {
        let fatal = |error: KafkaError| Error::Fatal(format!("kafka consumer: {error}"));
        self.queues.clear();
        self.next = from.iter().copied().collect();
        self.consumer.unassign().map_err(fatal)?;
        let mut list = TopicPartitionList::new();
        for (partition, next) in from {
            let queue = Queue::of_partition(&self.consumer, &self.topic, number(*partition), &self.wake)
                .ok_or_else(|| Error::Fatal(format!("kafka consumer: no queue for {}-{partition}", self.topic)))?;
            list.add_partition_offset(&self.topic, number(*partition), Position::Offset(*next)).map_err(fatal)?;
            self.queues.insert(*partition, queue);
        }
        self.consumer.assign(&list).map_err(fatal)
    }

    /// Hands out what there is of every assigned partition, waiting up to `wait` for the first of it. Whether there was anything.
    pub(super) fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(u32, Event<'_>)) -> Result<bool, Error> {
        const CHUNK: usize = 512;
        let deadline = Instant::now() + wait;
        loop {
            let _: bool = self.wake.take();
            self.serve();
            let mut any = false;
            for (partition, queue) in &mut self.queues {
                for _ in 0..CHUNK {
                    let Some(message) = queue.next(CHUNK, Duration::ZERO) else {
                        break;
                    };
                    any = true;
                    let event = event(&self.topic, *partition, &message)?;
                    self.next.insert(*partition, event.next());
                    each(*partition, event);
                }
            }
            if any {
                self.heard = Instant::now();
                self.reach.answered();
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.wake.wait(deadline.min(Instant::now() + Duration::from_millis(200)));
        }
    }

    /// Hands out the records that have come, waiting up to `wait` for them. Whether there was any; with none, and no broker
    /// that answers, [`Error::Unreachable`].
    pub(super) fn follow(&mut self, wait: Duration, each: &mut dyn FnMut(u32, &Message)) -> Result<bool, Error> {
        let mut any = false;
        self.poll(wait, &mut |partition, event| {
            if let Event::Record(message) = event {
                any = true;
                each(partition, message);
            }
        })?;
        if !any {
            self.look_for_brokers()?;
        }
        match self.reach.trouble() {
            Some(trouble) if !any => Err(Error::Unreachable(trouble)),
            _ => Ok(any),
        }
    }

    /// Errors and log lines; a reader has no rebalances.
    fn serve(&self) {
        loop {
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                tracing::debug!(%error, topic = self.topic, "kafka reader");
            }
            if self.own.len() == 0 {
                return;
            }
        }
    }

    /// Reads a partition from an offset to the end that the log has now, and returns the offset after what was handed out.
    /// Waits for transactions that are still open before that end: one that is decided may not have its marker here yet.
    pub(super) fn read_to_end(
        &mut self,
        partition: u32,
        from: Offset,
        each: &mut dyn FnMut(&Message),
    ) -> Result<Offset, Error> {
        let (start, _) = self.bounds(partition)?;
        let mut next = from.max(start);
        self.assign(&[(partition, next)])?;
        let mut target = None;
        let mut deadline = Instant::now() + self.request;
        loop {
            let before = next;
            self.poll(Duration::from_millis(50), &mut |_, event| match event {
                Event::Record(message) => {
                    next = message.offset() + 1;
                    each(message);
                }
                Event::End(end) => next = next.max(end),
            })?;
            if next > before {
                deadline = Instant::now() + self.request;
            }
            // Known once the first fetch since the assignment was answered, which is when anything was handed out.
            let high = queues::known_end(&self.consumer, &self.topic, number(partition));
            target = target.or(high);
            if target.is_some_and(|target| next >= target) {
                self.assign(&[])?;
                return Ok(next);
            }
            if Instant::now() >= deadline {
                let topic = &self.topic;
                return Err(Error::Unreachable(format!(
                    "{topic}-{partition}: read up to {next} only, {} is its end; a transaction may still be open",
                    target.unwrap_or(-1)
                )));
            }
        }
    }
}

type Client = (Arc<BaseConsumer<Context>>, Queue<Context>);

fn client(config: &ClientConfig, reach: &Arc<Reach>) -> Result<Client, Error> {
    let consumer: BaseConsumer<Context> =
        config.create_with_context(Context(Arc::clone(reach))).map_err(|error| errors::unmade("consumer", &error))?;
    let consumer = Arc::new(consumer);
    let own = Queue::of_consumer(&consumer).ok_or_else(|| Error::Fatal("kafka consumer without a queue".into()))?;
    Ok((consumer, own))
}

/// What a reader comes upon.
pub(super) enum Event<'a> {
    /// A record.
    Record(&'a Message),
    /// The end, at this offset, of what is committed now.
    End(Offset),
}

impl Event<'_> {
    /// Where reading goes on.
    fn next(&self) -> Offset {
        match self {
            Self::Record(message) => message.offset() + 1,
            Self::End(end) => *end,
        }
    }
}

fn event<'a>(topic: &str, partition: u32, message: &'a Message) -> Result<Event<'a>, Error> {
    match message.error() {
        None => Ok(Event::Record(message)),
        Some((Code::PartitionEOF, _)) => Ok(Event::End(message.offset())),
        Some((Code::AutoOffsetReset | Code::OffsetOutOfRange, text)) => Err(Error::Fatal(format!(
            "{topic}-{partition}: the offset to read from is not in the log ({text}); was the topic made anew?"
        ))),
        Some((Code::TopicAuthorizationFailed, _)) => {
            Err(Error::Fatal(format!("{topic}: reading is not permitted; grant Read on topic {topic}")))
        }
        Some((_, text)) => Err(Error::Unreachable(format!("{topic}-{partition}: {text}"))),
    }
}
