//! Reads over store snapshots: what the sidecar answers from.
//!
//! | file | holds |
//! | --- | --- |
//! | `freshness` | up to where the answer's partitions had been applied |
//! | `journey` | the touchpoints and conversions of a user, page by page |
//! | `cursor` | where a page goes on |
//! | `attributions` | the rows of one conversion, from the same core as the stream's |
//! | `report` | sums over all partitions held here, from integer rollups |
//!
//! Every call blocks on RocksDB: call it on a thread for that.
//!
//! **Architecture invariant:** nothing here writes, and nothing here knows HTTP, keys or roles.

mod attributions;
mod cursor;
mod freshness;
mod journey;
mod report;
#[cfg(test)]
pub(crate) mod samples;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::record::Corrupt;
use crate::core::Rules;
use crate::store::{self, Partition, Partitions};
use crate::topics::partitioner;

pub use attributions::{AttributionRow, Attributions};
pub use cursor::Cursor;
pub use freshness::{Applied, Freshness};
pub use journey::{Entry, Journey, JourneyAdjustment, JourneyConversion, JourneyTouchpoint, MAX_PAGE, Page, Status};
pub use report::{GroupBy, Line, Report, ReportQuery};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing of that name is in the state, which is as fresh as this.
    #[error("not found")]
    NotFound(Freshness),
    /// The partition that would know is not held by this instance now.
    #[error("partition {partition} of {of} is not held by this instance; ask the one that holds it")]
    Elsewhere {
        /// The partition.
        partition: u32,
        /// How many there are.
        of: u32,
    },
    /// Any of the partitions that are not held here might know.
    #[error("not found in the {held} of {of} partitions that this instance holds; ask the other instances")]
    Partly {
        /// How many are held here.
        held: u32,
        /// How many there are.
        of: u32,
    },
    /// It takes longer than whoever asks will wait.
    #[error("the read was given up: its time was over")]
    TooLong,
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The state holds bytes that are no record.
    #[error(transparent)]
    Record(#[from] Corrupt),
    /// The state's account of itself cannot be read.
    #[error("the state's meta record cannot be read: {0}")]
    Meta(String),
}

/// An answer, and how fresh it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// How fresh it is.
    pub freshness: Freshness,
}

/// Reads over the partitions that this process holds.
#[derive(Clone)]
pub struct Reader {
    partitions: Arc<Partitions>,
    rules: Arc<Rules>,
    count: NonZeroU32,
    /// When nobody waits for the answer any more.
    until: Option<Instant>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Reader {
    /// Reads over `partitions`, of which there are `count` in all; rows by `rules`.
    pub fn new(partitions: Arc<Partitions>, rules: Arc<Rules>, count: NonZeroU32) -> Self {
        Self { partitions, rules, count, until: None }
    }

    /// The same, but for reads that are given up then: [`Error::TooLong`].
    pub fn until(&self, then: Instant) -> Self {
        Self { until: Some(then), ..self.clone() }
    }

    /// How many partitions there are, on all instances together.
    pub fn count(&self) -> NonZeroU32 {
        self.count
    }

    /// The rules that rows are by.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The partition that a user's events are on: murmur2 of the user_id, as every producer must have it.
    pub fn partition_of(&self, user_id: &str) -> u32 {
        partitioner::partition_of(user_id.as_bytes(), self.count)
    }

    /// How fresh all partitions held here are together.
    pub fn freshness(&self) -> Result<Freshness, Error> {
        let mut freshness = Freshness::default();
        for (number, partition) in self.each() {
            freshness.add(number, &partition.view())?;
        }
        Ok(freshness)
    }

    /// The partitions held here, one at a time: while one is read, the others can be given up.
    fn each(&self) -> impl Iterator<Item = (u32, Arc<Partition>)> {
        (0..self.count.get()).filter_map(|number| Some((number, self.partitions.get(number)?)))
    }

    /// An error once the time is over. It asks the clock: not for every cell.
    fn in_time(&self) -> Result<(), Error> {
        if self.until.is_some_and(|until| Instant::now() >= until) { Err(Error::TooLong) } else { Ok(()) }
    }

    fn of_user(&self, user_id: &str) -> Result<(u32, Arc<Partition>), Error> {
        let number = self.partition_of(user_id);
        let partition = self.partitions.get(number);
        let partition = partition.ok_or(Error::Elsewhere { partition: number, of: self.count.get() })?;
        Ok((number, partition))
    }
}
