//! The log, twice: one small trait that the engine reads and writes through, and its two real implementations.
//!
//! - `kafka/`: every real deployment. Scaling out, failing over and storing the log are Kafka's job, never ours.
//! - `embedded/`: topics as rows of a RocksDB in the same process: `tributary demo`, one-machine installations, and where
//!   the engine is tested by simulation.
//!
//! A log is used by one worker thread. Rebalances are seen only inside [`TopicLog::poll`], which a worker calls only
//! between batches: there is never an open transaction or an unwritten batch when a partition comes or goes.
//!
//! **Architecture invariant:** nothing here knows what an event or a row is; keys and values are bytes.

pub mod embedded;
pub mod kafka;
pub mod origin;
pub mod partitioner;
mod records;

use std::time::Duration;

pub use records::{Head, Record, Records, headers};

/// A position in a partition of a topic: the offset of the record to be read next, unless a name says otherwise.
pub type Offset = i64;

/// The input topics. Those of one partition number belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// Touchpoints: the lead topic, which the consumer group is about.
    Touchpoints,
    /// Conversions and adjustments.
    Conversions,
}

impl Input {
    /// Every input, the lead first.
    pub const ALL: [Self; 2] = [Self::Touchpoints, Self::Conversions];

    /// The name in metrics, metadata and messages (a topic's own name is configuration).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Touchpoints => "touchpoints",
            Self::Conversions => "conversions",
        }
    }
}

/// One value for each input topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PerInput<T> {
    /// The value of the touchpoints topic.
    pub touchpoints: T,
    /// The value of the conversions topic.
    pub conversions: T,
}

impl<T> PerInput<T> {
    /// The value that `make` gives for each input.
    pub fn from_fn(mut make: impl FnMut(Input) -> T) -> Self {
        Self { touchpoints: make(Input::Touchpoints), conversions: make(Input::Conversions) }
    }

    /// As [`Self::from_fn`], stopping at the first error.
    pub fn try_from_fn<E>(mut make: impl FnMut(Input) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self { touchpoints: make(Input::Touchpoints)?, conversions: make(Input::Conversions)? })
    }

    /// The value of one input.
    pub fn get(&self, input: Input) -> &T {
        match input {
            Input::Touchpoints => &self.touchpoints,
            Input::Conversions => &self.conversions,
        }
    }

    /// The value of one input, to change it.
    pub fn get_mut(&mut self, input: Input) -> &mut T {
        match input {
            Input::Touchpoints => &mut self.touchpoints,
            Input::Conversions => &mut self.conversions,
        }
    }
}

/// The topics that a worker writes in its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// Attribution rows.
    Attributions,
    /// Records that could not be used.
    DeadLetter,
}

/// One record to be written in the open transaction.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The topic.
    pub output: Output,
    /// The partition: always that of the input it comes from.
    pub partition: u32,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value; none deletes the key on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Headers in order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// The offsets of one partition number that a transaction commits, of every input, moved or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// The partition number.
    pub partition: u32,
    /// The next offset to read of each input.
    pub next: PerInput<Offset>,
    /// What travels with each committed offset: rules digest, core version, log identity.
    pub metadata: String,
}

/// What a transaction commits. Never empty: offsets are what fences a zombie by group generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets {
    first: PartitionOffsets,
    rest: Vec<PartitionOffsets>,
}

impl Offsets {
    /// The offsets of at least one partition.
    pub fn new(first: PartitionOffsets, rest: Vec<PartitionOffsets>) -> Self {
        Self { first, rest }
    }

    /// Every partition's offsets.
    pub fn iter(&self) -> impl Iterator<Item = &PartitionOffsets> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// An offset that the group has committed, with what was committed beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub next: Offset,
    /// The metadata, as [`PartitionOffsets::metadata`] was.
    pub metadata: String,
}

/// Where a partition of an input begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The offset of the oldest record still there.
    pub start: Offset,
    /// One past the newest record that a reader of committed data sees.
    pub end: Offset,
}

/// Which log this is. State made from one log never continues on another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LogIdentity {
    /// The cluster's id.
    pub cluster: String,
    /// The input topics' names.
    pub topics: PerInput<String>,
    /// Their common number of partitions.
    pub partitions: u32,
}

/// A partition number that the group gave to this worker or took from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// It is this worker's from now on: nothing is read before [`TopicLog::seek`].
    Gained(u32),
    /// It is this worker's no longer; what was not committed must be dropped.
    Lost(u32),
}

/// How much [`TopicLog::fetch`] may hand out.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// At most so many records.
    pub records: usize,
    /// Stop after so many bytes of keys and values (the record that crosses it is still handed out).
    pub bytes: usize,
}

impl Limit {
    /// The part of each where so many share it; never nothing.
    pub fn shared_by(self, count: usize) -> Self {
        let count = count.max(1);
        Self { records: (self.records / count).max(1), bytes: (self.bytes / count).max(1) }
    }
}

/// What a transaction that committed tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// For each partition whose dead-letter partition got records: one past the last of them.
    pub dead_letters_next: Vec<(u32, Offset)>,
}

/// What went wrong, by what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The log cannot be asked just now; nothing changed. Say so in readiness and ask again.
    #[error("log not reachable: {0}")]
    Unreachable(String),
    /// The transaction is gone, and nothing of it is in the log. Process its records again.
    #[error("transaction aborted: {0}")]
    Aborted(String),
    /// It is not known whether the transaction committed. Drop it, [`TopicLog::recover`]; the committed offsets are the truth.
    #[error("outcome of the transaction unknown: {0}")]
    Unknown(String),
    /// Another worker owns these partitions by now. Drop the transaction and give them up.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The process must end with this message.
    #[error("{0}")]
    Fatal(String),
}

/// The log as one worker sees it.
pub trait TopicLog {
    /// Waits up to `wait` for something to do (records to fetch, an assignment that changed) and returns what the group
    /// gave or took since the last call, in order. Called at least every few seconds; never inside a transaction.
    fn poll(&mut self, wait: Duration) -> Result<Vec<Assignment>, Error>;

    /// Whether the group counts this worker in and the last poll has told all of its share, which may be empty.
    fn is_member(&self) -> bool;

    /// Which log this is.
    fn identity(&mut self) -> Result<LogIdentity, Error>;

    /// The committed offset of every input of a partition, once no transaction over them is undecided.
    fn committed(&mut self, partition: u32) -> Result<PerInput<Option<Committed>>, Error>;

    /// Where an input's partition begins and ends now.
    fn bounds(&mut self, partition: u32, input: Input) -> Result<Bounds, Error>;

    /// The end of an input's partition as far as it is known without asking; for lag and for aligned reading.
    fn known_end(&self, partition: u32, input: Input) -> Option<Offset>;

    /// The origins (input and offset) of every record in the partition's dead-letter partition from `from` on, and the
    /// dead-letter partition's end.
    fn set_aside(&mut self, partition: u32, from: Offset) -> Result<(Vec<(Input, Offset)>, Offset), Error>;

    /// Reads a gained partition from these offsets on; what was fetched ahead is dropped.
    fn seek(&mut self, partition: u32, next: PerInput<Offset>) -> Result<(), Error>;

    /// Appends records that are there already (committed ones only, in offset order) to `into`, without waiting.
    fn fetch(&mut self, partition: u32, input: Input, limit: Limit, into: &mut Records) -> Result<(), Error>;

    /// Begins a transaction.
    fn begin(&mut self) -> Result<(), Error>;

    /// Writes one record in the open transaction. May return before the broker has it; waits where queues are full.
    fn produce(&mut self, record: Outgoing<'_>) -> Result<(), Error>;

    /// Commits the open transaction with these offsets, waiting for as long as it takes. Whatever the outcome, the
    /// transaction is open no longer.
    fn commit(&mut self, offsets: &Offsets) -> Result<Receipt, Error>;

    /// Gives the open transaction up: nothing of it stays.
    fn abort(&mut self) -> Result<(), Error>;

    /// After [`Error::Unknown`]: settles what an earlier transaction left open, with new producers.
    fn recover(&mut self) -> Result<(), Error>;
}
