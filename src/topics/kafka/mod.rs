//! Kafka as the log, over librdkafka: the implementation for every real deployment.
//!
//! - [`settings`](Settings): what it needs to know; the client configurations, and what in them cannot be overridden.
//! - `consumer`, `group` and `coverage`: the member of the group. The lead topic is subscribed to, the other inputs are assigned
//!   by hand; where a partition is left without a member, the group is made to share out again.
//! - `queues` and `rights`: the calls into librdkafka that rdkafka has no safe form of; the only `unsafe` here.
//! - `producer`, `slot` and `polled`: two transactional producers in turn, and what is known when something fails.
//! - `reader`: committed records outside the group, for dead letters, [`control`] and [`tail`].
//! - `contact`, `rights` and `permissions`: whether the brokers let this client in, and what its principal may do.
//! - `admin`, `finding` and [`topics`]: questions about topics and brokers; `topics create` and `topics check`.
//!
//! **Architecture invariant:** no automatic offset is used anywhere. Where reading begins is always said by the engine, what is
//! committed always counted from the records it took; `auto.offset.reset=error` turns every gap into a fatal error.

mod admin;
mod consumer;
mod contact;
pub mod control;
mod coverage;
mod errors;
mod finding;
mod group;
mod permissions;
mod polled;
mod producer;
mod queues;
mod reach;
mod reader;
mod rights;
mod settings;
mod slot;
pub mod tail;
pub mod topics;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::{Offset as Position, TopicPartitionList};

use self::consumer::Member;
use self::coverage::Coverage;
use self::errors::number;
use self::producer::Producers;
pub use self::reach::Reach;
use self::reader::Reader;
pub use self::settings::{DEAD_LETTER_HEADROOM, DEFAULT_RECORD, Names, QueueMemory, RESERVED, Settings, Timeouts};
use super::{
    Assignment, Bounds, Committed, Error, Input, Limit, LogIdentity, Offset, Offsets, Outgoing, Output, PerInput,
    Receipt, Records, TopicLog, origin,
};

/// Who is in the group: each member's client, and the host it comes from. Not for the async runtime's threads.
pub fn members(settings: &Settings) -> Result<Vec<String>, Error> {
    admin::Admin::open(settings)?.members(&settings.group)
}

/// Waits until a broker lets this client in.
///
/// # Errors
/// [`Error::Fatal`] when a password or a certificate is refused, by either side; [`Error::Unreachable`] when nobody answers.
pub fn connect(settings: &Settings) -> Result<(), Error> {
    contact::Contact::make(settings).map(drop)
}

/// Kafka as one worker sees it.
pub struct KafkaLog {
    member: Member,
    producers: Producers,
    dead_letters: Option<Reader>,
    identity: LogIdentity,
    reach: Arc<Reach>,
    settings: Settings,
}

impl KafkaLog {
    /// Makes worker number `worker` of this instance: its producers, with whatever an earlier life of their transactional ids
    /// left open settled, and its member of the group.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no broker answers (ask again), [`Error::Fatal`] when the settings or the topics are wrong.
    pub fn join(settings: Settings, worker: usize) -> Result<Self, Error> {
        settings.validate()?;
        let reach = Arc::new(Reach::new());
        let wait = settings.timeouts.request;
        let producers = Producers::start(&settings, worker, &reach)?;
        let identity = producers.ask(|client| admin::identity(client, &settings.topics, wait, &reach))?;
        let queues = identity.partitions as usize * Input::ALL.len();
        let config = settings.member(worker, queues);
        let client = config.get("client.id").unwrap_or_default().to_owned();
        let coverage = Coverage::new(settings.group.clone(), client, identity.partitions, settings.timeouts.session);
        let leave = settings.leave;
        let member = Member::join(config, identity.topics.clone(), coverage, Arc::clone(&reach), wait, leave)?;
        Ok(Self { member, producers, dead_letters: None, identity, reach, settings })
    }

    /// Whether the brokers answer; to be asked from any thread, also while the worker is inside a call.
    pub fn reach(&self) -> Arc<Reach> {
        Arc::clone(&self.reach)
    }

    /// How often a transactional producer was replaced since [`Self::join`], because its last transaction was slow, lost a
    /// connection or failed.
    pub fn renewals(&self) -> u64 {
        self.producers.renewals()
    }

    fn offsets(&self, offsets: &Offsets) -> Result<TopicPartitionList, Error> {
        let mut list = TopicPartitionList::new();
        for of in offsets.iter() {
            for input in Input::ALL {
                let mut element = list.add_partition(self.settings.topics.input(input), number(of.partition));
                element
                    .set_offset(Position::Offset(*of.next.get(input)))
                    .map_err(|error| Error::Fatal(format!("offset {}: {error}", of.next.get(input))))?;
                element.set_metadata(&of.metadata);
            }
        }
        Ok(list)
    }
}

impl TopicLog for KafkaLog {
    fn poll(&mut self, wait: Duration) -> Result<Vec<Assignment>, Error> {
        let polled = self.member.poll(wait);
        if self.member.has_looked_anew() {
            self.producers.renew(); // what one client has lost sight of, the others have as well
            self.dead_letters = None;
        }
        polled
    }

    fn is_member(&self) -> bool {
        self.member.told()
    }

    fn identity(&mut self) -> Result<LogIdentity, Error> {
        let wait = self.settings.timeouts.request;
        self.identity =
            self.producers.ask(|client| admin::identity(client, &self.settings.topics, wait, &self.reach))?;
        Ok(self.identity.clone())
    }

    fn committed(&mut self, partition: u32) -> Result<PerInput<Option<Committed>>, Error> {
        self.member.committed(partition)
    }

    fn bounds(&mut self, partition: u32, input: Input) -> Result<Bounds, Error> {
        self.member.bounds(self.settings.topics.input(input), partition)
    }

    /// The high watermark told with the last fetch. In a topic that is written in transactions it lies beyond the last record
    /// that can be read, by the markers at least, so that a lag counted from it may never be nought.
    fn known_end(&self, partition: u32, input: Input) -> Option<Offset> {
        self.member.known_end(partition, input)
    }

    fn set_aside(&mut self, partition: u32, from: Offset) -> Result<(Vec<(Input, Offset)>, Offset), Error> {
        let reader = match self.dead_letters.take() {
            Some(reader) => reader,
            None => Reader::open(
                &self.settings,
                "dead-letters",
                self.settings.topics.output(Output::DeadLetter),
                &self.reach,
            )?,
        };
        let reader = self.dead_letters.insert(reader);
        let mut origins = Vec::new();
        let end = reader
            .read_to_end(partition, from, &mut |message| origins.extend(origin::of(message.headers().into_iter())))?;
        Ok((origins, end))
    }

    fn seek(&mut self, partition: u32, next: PerInput<Offset>) -> Result<(), Error> {
        self.dead_letters = None; // the partition was taken: its reader is not needed until the next one
        self.member.seek(partition, next)
    }

    fn fetch(&mut self, partition: u32, input: Input, limit: Limit, into: &mut Records) -> Result<(), Error> {
        self.member.fetch(partition, input, limit, into)
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.producers.begin()
    }

    fn produce(&mut self, record: Outgoing<'_>) -> Result<(), Error> {
        self.producers.produce(&record)
    }

    /// The receipt's offsets may be lower than one past the last dead letter while its transaction's marker is still being
    /// written; they are never beyond a later transaction's first.
    fn commit(&mut self, offsets: &Offsets) -> Result<Receipt, Error> {
        // A partition that the group took meanwhile, or a member without a generation: the broker might not refuse it.
        if let Some(lost) = offsets.iter().find(|of| !self.member.owns(of.partition)) {
            let why = format!("partition {} is not assigned to this worker any more", lost.partition);
            return Err(self.producers.give_up_as_zombie(&why));
        }
        let list = match self.offsets(offsets) {
            Ok(list) => list,
            Err(error) => return self.producers.abort().and(Err(error)),
        };
        let Some(credentials) = self.member.credentials() else {
            return Err(self.producers.give_up_as_zombie("this worker is no member of the group any more"));
        };
        self.producers.commit(&list, &credentials)
    }

    fn abort(&mut self) -> Result<(), Error> {
        self.producers.abort()
    }

    fn recover(&mut self) -> Result<(), Error> {
        self.producers.recover()
    }
}
