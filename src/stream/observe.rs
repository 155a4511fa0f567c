//! The noteworthy moments of a worker, as values: the engine names them, someone else logs, counts or checks them.

use super::apply::Counts;
use super::taking::Refusal;
use crate::core::{Fault, Millis};
use crate::topics::{Error, Input, Offset, PerInput};

/// A moment worth telling.
#[derive(Debug)]
pub enum Moment<'a> {
    /// Every turn: whether the group counts this worker in and has told it its share, which may be empty.
    Member(bool),
    /// The group gave this worker a partition.
    Gained {
        /// The partition.
        partition: u32,
    },
    /// A partition that was gained waits: queries or a compaction still read the state that was given up here.
    StillRead {
        /// The partition.
        partition: u32,
        /// How many they are.
        readers: usize,
    },
    /// The group took it away.
    Lost {
        /// The partition.
        partition: u32,
    },
    /// The partition is read again, suppressed, up to the committed offsets.
    ReplayStarted {
        /// The partition.
        partition: u32,
        /// How many offsets lie before it, over all inputs.
        left: u64,
    },
    /// So many are left.
    Replaying {
        /// The partition.
        partition: u32,
        /// How many offsets lie before it.
        left: u64,
    },
    /// The partition answers live.
    Live {
        /// The partition.
        partition: u32,
        /// How many records were applied again.
        replayed: u64,
    },
    /// A batch of one partition has committed and is written.
    Batch(&'a BatchReport),
    /// Every second: how far a partition is behind the log.
    Lag {
        /// The partition.
        partition: u32,
        /// By input.
        lag: &'a PerInput<Lag>,
    },
    /// A transaction has committed.
    Committed {
        /// How long it took from begin to the commit's answer, in milliseconds.
        took: Millis,
        /// How many records it wrote.
        records: u64,
    },
    /// A record is set aside.
    SetAside {
        /// The partition.
        partition: u32,
        /// Its topic.
        input: Input,
        /// Its offset.
        offset: Offset,
        /// Why.
        fault: &'a Fault,
    },
    /// A panic was caught; the batch is halved until its record is found.
    Panicked {
        /// The partition.
        partition: u32,
        /// How many records the batch had.
        records: usize,
    },
    /// One record's rows go out as they are computed.
    Giant {
        /// The partition.
        partition: u32,
    },
    /// A transaction did not go through (the error says how); its records are read again.
    Failed(&'a Error),
    /// The log cannot be asked just now.
    LogUnreachable(&'a str),
    /// The log answers again.
    LogReachable,
    /// The registry cannot be asked just now; the partition waits.
    RegistryUnreachable {
        /// The partition.
        partition: u32,
        /// Why.
        why: &'a str,
    },
    /// The partition waits for the registry no longer.
    RegistryReachable {
        /// The partition.
        partition: u32,
    },
    /// The state must not go on; the process ends.
    Refused {
        /// The partition.
        partition: u32,
        /// Why.
        refusal: &'a Refusal,
    },
    /// The state's memory went to disk.
    Flushed {
        /// The partition.
        partition: u32,
    },
}

/// How far an input of a partition is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Offsets up to the log's end; on Kafka the markers of transactions are among them.
    pub records: u64,
    /// The log timestamp (in milliseconds) of what is to be used next, or where it has not been read yet, of what was used last.
    /// None where there is nothing to wait for.
    pub since: Option<Millis>,
}

/// What a batch of one partition did.
#[derive(Clone, Debug, Default)]
pub struct BatchReport {
    /// The partition.
    pub partition: u32,
    /// Records used up, by input.
    pub records: PerInput<u64>,
    /// Records set aside.
    pub set_aside: u64,
    /// Records on another partition than murmur2 gives their key.
    pub misplaced: u64,
    /// What it changed.
    pub counts: Counts,
    /// Whether it was a replay, its output suppressed.
    pub suppressed: bool,
    /// The next offset of each input.
    pub applied: PerInput<Offset>,
    /// The log's end of each input, as far as known.
    pub ends: PerInput<Option<Offset>>,
    /// The log timestamp of the oldest and of the newest record, in milliseconds.
    pub logged: Option<(Millis, Millis)>,
}

/// Takes the moments.
pub trait Observer {
    /// A moment has come.
    fn notice(&mut self, moment: Moment<'_>);

    /// The worker's loop is alive; `in_log_call` while it waits inside a call to the log.
    fn tick(&mut self, in_log_call: bool);
}
