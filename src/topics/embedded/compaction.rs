//! Log compaction: of a compacted topic's records, only the newest of each key stays.
//!
//! It goes as Kafka's log cleaner goes: notes the newest offset of each key in what is new since the last cleaning, then
//! sweeps from the start over what those records supersede. Each call does a bounded step; a partition is due when what is
//! new is at least half of it. Offsets stay what they were, so a reader anywhere sees gaps, and still the newest of all.

use std::ops::ControlFlow;

use rocksdb::WriteBatch;
use xxhash_rust::xxh3::xxh3_128;

use hashbrown::HashMap;

use super::broker::Broker;
use super::rows::{Extent, bounds_key, record_key};
use super::{Error, Topic};
use crate::core::Millis;
use crate::topics::Offset;

/// Keys noted in one cleaning: 2^20 of them take about 40 MB.
const KEYS: usize = 1 << 20;

/// How far [`Broker::clean`] goes in one call.
#[derive(Clone, Copy, Debug)]
pub struct Cleaning {
    /// Read at most so many records.
    pub records: usize,
    /// Deletions logged before this are removed too; a reader must not be further behind than that.
    pub forget_before: Millis,
}

/// The cleaning under way, if any.
#[derive(Default)]
pub(super) struct Cleaner {
    job: Option<Job>,
    /// The partition looked at last, so that all have their turn.
    last: Option<(Topic, u32)>,
}

struct Job {
    topic: Topic,
    partition: u32,
    /// The newest offset by the hash of the key.
    newest: HashMap<u128, Offset, foldhash::fast::FixedState>,
    /// Read up to here.
    at: Offset,
    /// Up to where `newest` is to reach, then reaches.
    until: Offset,
    /// Records that the sweep left.
    kept: i64,
    sweeping: bool,
}

impl Broker {
    /// Does a step of cleaning the compacted topics, and says whether there is more to do.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn clean(&self, cleaning: Cleaning) -> Result<bool, Error> {
        let mut cleaner = self.cleaner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if cleaner.job.is_none() {
            cleaner.job = self.due(cleaner.last);
        }
        let Some(job) = &mut cleaner.job else { return Ok(false) };
        let place = (job.topic, job.partition);
        let done = if job.sweeping { self.sweep(job, cleaning)? } else { self.note(job, cleaning)? };
        if done {
            (cleaner.job, cleaner.last) = (None, Some(place));
        }
        Ok(true)
    }

    /// The next partition after `last` of which at least half is new.
    fn due(&self, last: Option<(Topic, u32)>) -> Option<Job> {
        let compacted = Topic::ALL.into_iter().filter(|topic| topic.compacted());
        let all: Vec<_> =
            compacted.flat_map(|topic| (0..topic.partitions(self.partitions())).map(move |p| (topic, p))).collect();
        let after = all.partition_point(|place| last.is_some_and(|last| *place <= last));
        let (before, rest) = all.split_at_checked(after)?;
        let state = self.lock();
        rest.iter().chain(before).copied().find_map(|(topic, partition)| {
            let slot = self.slot(topic, partition).ok()?;
            let Extent { cleaned, kept, .. } = *state.extents.get(slot)?;
            let until = self.end(slot);
            let fresh = until - cleaned;
            let job =
                Job { topic, partition, newest: HashMap::default(), at: cleaned, until, kept: 0, sweeping: false };
            (fresh > 0 && fresh >= kept).then_some(job)
        })
    }

    /// Notes the newest offset of each key; never ends the cleaning.
    fn note(&self, job: &mut Job, cleaning: Cleaning) -> Result<bool, Error> {
        let mut left = cleaning.records.max(1);
        let Job { newest, at, .. } = job;
        self.storage.scan((job.topic, job.partition), *at..job.until, |offset, row| {
            if left == 0 || newest.len() >= KEYS {
                return ControlFlow::Break(());
            }
            left -= 1;
            *at = offset + 1;
            if let Some(key) = row.key {
                newest.insert(xxh3_128(key), offset);
            }
            ControlFlow::Continue(())
        })?;
        if left > 0 {
            // All is read, or no more keys go in.
            if newest.len() >= KEYS {
                job.until = *at;
            }
            *at = 0;
            job.sweeping = true;
        }
        Ok(false)
    }

    /// Removes what is superseded; says when it has come to the end.
    fn sweep(&self, job: &mut Job, cleaning: Cleaning) -> Result<bool, Error> {
        let Job { topic, partition, newest, at, until, kept, .. } = job;
        let mut left = cleaning.records.max(1);
        let mut batch = WriteBatch::default();
        self.storage.scan((*topic, *partition), *at..*until, |offset, row| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            *at = offset + 1;
            let newest = row.key.and_then(|key| newest.get(&xxh3_128(key)));
            let superseded = newest.is_some_and(|newest| offset < *newest);
            let forgotten = row.value.is_none() && row.timestamp < cleaning.forget_before;
            if superseded || forgotten {
                batch.delete(record_key(*topic, *partition, offset));
            } else {
                *kept += 1;
            }
            ControlFlow::Continue(())
        })?;
        let done = left > 0;
        let mut state = self.lock();
        if done {
            let slot = self.slot(*topic, *partition)?;
            if let Some(extent) = state.extents.get_mut(slot) {
                (extent.cleaned, extent.kept) = (*until, *kept);
                self.storage.put(&mut batch, &bounds_key(*topic, *partition), &extent.encode())?;
            }
        }
        self.put(&mut state, batch)?;
        Ok(done)
    }
}
