//! The embedded log: Kafka's topics as rows of one RocksDB in the same process.
//!
//! A record is a row, a transaction ends in one write batch, and here the write-ahead log is on, for here it *is* the
//! log: an append or a commit returns only after a group fsync. One machine, no broker, durable and exact.
//!
//! ```text
//! Broker ── storage ── rows        what a row's key and value look like, and the RocksDB under it
//!   ├─ resealing                   sealing everything anew after a rotation of keys
//!   ├─ sync                        who waits for which fsync
//!   ├─ group                       who owns which partition, and since when
//!   ├─ retention, compaction       what may go, in bounded steps
//!   └─ Member                      the log as one worker sees it
//! Glimpse                          the log as it lies on disk, looked at beside whoever has it open
//! ```
//!
//! There is no thread, no clock and no randomness here besides RocksDB's own background work and the cluster's id at the
//! first opening, so that a simulation with an in-memory [`Place`] runs the same way each time.

mod broker;
mod compaction;
mod glimpse;
mod group;
mod member;
mod opening;
mod resealing;
mod retention;
mod rows;
mod storage;
mod sync;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Input, Offset, Output, PerInput};
use crate::core::Millis;
use crate::seal::{self, Keks};

pub use broker::Broker;
pub use compaction::Cleaning;
pub use glimpse::Glimpse;
pub use member::Member;

/// The topics of an embedded log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// The lead input.
    Touchpoints,
    /// Conversions and adjustments.
    Conversions,
    /// Attribution rows: compacted, written by the partition's owner alone.
    Attributions,
    /// Records that could not be used, written by the partition's owner alone.
    DeadLetter,
    /// What instances share: one partition, compacted.
    Control,
    /// Who did what: one partition.
    Audit,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 6] =
        [Self::Touchpoints, Self::Conversions, Self::Attributions, Self::DeadLetter, Self::Control, Self::Audit];

    /// The topic's usual name, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Touchpoints => "touchpoints",
            Self::Conversions => "conversions",
            Self::Attributions => "attributions",
            Self::DeadLetter => "attributions.dead-letter",
            Self::Control => "tributary.control",
            Self::Audit => "tributary.audit",
        }
    }

    /// Whether only the newest record of a key counts.
    pub const fn compacted(self) -> bool {
        matches!(self, Self::Attributions | Self::Control)
    }

    /// Whether only transactions write it.
    const fn transactional(self) -> bool {
        matches!(self, Self::Attributions | Self::DeadLetter)
    }

    /// How many partitions it has where the inputs and outputs have so many.
    const fn partitions(self, of_inputs: NonZeroU32) -> u32 {
        if matches!(self, Self::Control | Self::Audit) { 1 } else { of_inputs.get() }
    }

    /// Its number in the keys of rows; 0 stands for what is kept about the log itself.
    const fn number(self) -> u8 {
        match self {
            Self::Touchpoints => 1,
            Self::Conversions => 2,
            Self::Attributions => 3,
            Self::DeadLetter => 4,
            Self::Control => 5,
            Self::Audit => 6,
        }
    }
}

impl From<Input> for Topic {
    fn from(input: Input) -> Self {
        match input {
            Input::Touchpoints => Self::Touchpoints,
            Input::Conversions => Self::Conversions,
        }
    }
}

impl From<Output> for Topic {
    fn from(output: Output) -> Self {
        match output {
            Output::Attributions => Self::Attributions,
            Output::DeadLetter => Self::DeadLetter,
        }
    }
}

/// Where the log lies.
#[derive(Clone)]
pub enum Place {
    /// In this folder, made if it is missing.
    Folder(PathBuf),
    /// In memory: what one broker wrote is there for the next that is opened with the same environment.
    Memory(rocksdb::Env),
}

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Partitions of each input and output topic; fixed when the log is made.
    pub partitions: NonZeroU32,
    /// The input topics' names, which are part of the log's identity; fixed when the log is made.
    pub topics: PerInput<String>,
    /// Whether appends and commits wait for an fsync. Without it they survive the process, but not the machine.
    pub sync: bool,
    /// The cluster's id if the log is made now; a random one if there is none.
    pub cluster: Option<String>,
    /// What its write buffers and its block cache may take, in bytes; more than 56 MiB is not made use of.
    pub memory_bytes: usize,
    /// The keys that everything in it is sealed under, if it is.
    pub seal: Option<Arc<Keks>>,
}

impl Settings {
    /// The usual names, synced, with a random cluster id.
    pub fn new(partitions: NonZeroU32) -> Self {
        let topics = PerInput::from_fn(|input| input.name().to_owned());
        Self { partitions, topics, sync: true, cluster: None, memory_bytes: 56 << 20, seal: None }
    }
}

/// A record to be appended.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Its partition; [`Broker::partition_of`] its key.
    pub partition: u32,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value; none deletes the key on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Headers in order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// When it is logged, in milliseconds.
    pub timestamp: Millis,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Its offset.
    pub offset: Offset,
    /// When it was logged, in milliseconds.
    pub timestamp: Millis,
    /// The key, if any.
    pub key: Option<Vec<u8>>,
    /// The value, if any.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// What went wrong, by what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another process has the folder open.
    #[error("the log in {0} is open in another process: stop that one, or choose another data folder")]
    InUse(String),
    /// The log was made otherwise than it is opened now.
    #[error("the log in {place} was made with {what} {made}, not {asked}: set it back, or choose another data folder")]
    Differs {
        /// Where the log lies.
        place: String,
        /// Which setting.
        what: &'static str,
        /// Its value when the log was made.
        made: String,
        /// Its value now.
        asked: String,
    },
    /// The log is sealed otherwise than it is opened now.
    #[error("the log in {place} {why}{}", no_way_around(.why))]
    Sealed {
        /// Where the log lies.
        place: String,
        /// What is wrong and what to do.
        why: seal::Error,
    },
    /// The caller asked for what cannot be; nothing was written.
    #[error("{0}")]
    Refused(String),
    /// The partition belongs to another member by now; nothing of the transaction is visible.
    #[error("{0}")]
    Fenced(String),
    /// The disk is full or broken, or what it holds is corrupt. The process must end.
    #[error("embedded log: {0}")]
    Storage(String),
}

/// Other than a state, which is made again from its log, an embedded log is all there is of its events.
const fn no_way_around(why: &seal::Error) -> &'static str {
    match why {
        seal::Error::NotSealed => {
            ", or begin with another data folder; a log that was begun without a key is never sealed"
        }
        _ => "; without that key nobody reads it, and nothing makes it again: an empty data folder begins another log",
    }
}

impl From<Error> for super::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Fenced(message) => Self::Fenced(message),
            other => Self::Fatal(other.to_string()),
        }
    }
}
