//! The log itself: opening, appending, reading, waiting.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rocksdb::WriteBatch;

use super::compaction::Cleaner;
use super::group::Group;
use super::opening::{commits, identify, recover, slots};
use super::rows::{Commit, Draft, Extent, Row, bounds_key, record_key};
use super::storage::Storage;
use super::sync::Progress;
use super::{Error, Member, NewRecord, OwnedRecord, Place, Settings, Topic};
use crate::core::Millis;
use crate::seal::Reseal;
use crate::topics::{Bounds, LogIdentity, Offset, headers, partitioner};

/// One embedded log, open. Everything that reads or writes it in this process shares it.
pub struct Broker {
    pub(super) storage: Storage,
    pub(super) identity: LogIdentity,
    partitions: NonZeroU32,
    pub(super) sync: bool,
    /// What readers see, by slot; changed only under the lock, read without it.
    shown: Vec<Shown>,
    /// The newest timestamp of any input record: what rows are stamped with, for there is no clock here.
    newest: AtomicI64,
    state: Mutex<State>,
    /// Something to read, or an assignment, changed.
    pub(super) changed: Condvar,
    /// A sync ended.
    pub(super) synced: Condvar,
    pub(super) cleaner: Mutex<Cleaner>,
    /// A rotation of keys that is not finished.
    pub(super) reseal: Mutex<Option<Reseal>>,
}

struct Shown {
    topic: Topic,
    partition: u32,
    start: AtomicI64,
    end: AtomicI64,
}

/// What is written, durable or not yet.
pub(super) struct State {
    /// By slot.
    pub(super) extents: Vec<Extent>,
    /// By partition.
    pub(super) commits: Vec<Option<Commit>>,
    pub(super) progress: Progress,
    pub(super) group: Group,
}

impl Broker {
    /// Opens the log, making it if there is none.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Differs`] if it was made with other partitions or names, [`Error::Storage`].
    pub fn open(place: &Place, settings: &Settings) -> Result<Arc<Self>, Error> {
        let storage = Storage::open(place, settings)?;
        let identity = identify(&storage, settings)?;
        let slots = slots(settings.partitions);
        let mut extents = Vec::with_capacity(slots.len());
        let mut newest = 0;
        for (topic, partition) in slots.iter().copied() {
            let extent = recover(&storage, (topic, partition))?;
            if matches!(topic, Topic::Touchpoints | Topic::Conversions) {
                newest = newest.max(storage.last((topic, partition), extent.start..extent.end)?.unwrap_or(0));
            }
            extents.push(extent);
        }
        let commits = commits(&storage, settings.partitions)?;
        let reseal = match &storage.keyring {
            None => None,
            Some(keyring) => Reseal::resume(&storage.db, keyring).map_err(|error| storage.sealed(error))?,
        };
        let shown = slots.into_iter().zip(&extents).map(|((topic, partition), extent)| Shown {
            topic,
            partition,
            start: AtomicI64::new(extent.start),
            end: AtomicI64::new(extent.end),
        });
        Ok(Arc::new(Self {
            shown: shown.collect(),
            storage,
            identity,
            partitions: settings.partitions,
            sync: settings.sync,
            newest: AtomicI64::new(newest),
            state: Mutex::new(State {
                extents,
                commits,
                progress: Progress::default(),
                group: Group::new(settings.partitions),
            }),
            changed: Condvar::new(),
            synced: Condvar::new(),
            cleaner: Mutex::default(),
            reseal: Mutex::new(reseal),
        }))
    }

    /// Which log this is.
    pub fn identity(&self) -> &LogIdentity {
        &self.identity
    }

    /// How many partitions each input and output topic has.
    pub fn partitions(&self) -> NonZeroU32 {
        self.partitions
    }

    /// The partition of a key, as every producer must choose it.
    pub fn partition_of(&self, key: &[u8]) -> u32 {
        partitioner::partition_of(key, self.partitions)
    }

    /// Joins the group. A member that joined under this id before is fenced, and what it held is the new one's.
    pub fn join(self: &Arc<Self>, member: &str) -> Member {
        let instance = self.lock().group.join(member);
        self.changed.notify_all();
        Member::new(Arc::clone(self), instance)
    }

    /// Appends records to an input, the control or the audit topic, all or none, and returns once they are durable:
    /// partition and offset of each, in order.
    ///
    /// # Errors
    /// [`Error::Refused`] for a partition that is not there or a topic that only transactions write;
    /// [`Error::Storage`], after which it is not known whether they are in the log.
    pub fn append(&self, topic: impl Into<Topic>, records: &[NewRecord<'_>]) -> Result<Vec<(u32, Offset)>, Error> {
        let topic = topic.into();
        if topic.transactional() {
            return Err(Error::Refused(format!("{} is written by transactions only", topic.name())));
        }
        let rows = self.encode(topic, records)?;
        let mut state = self.lock();
        let mut batch = WriteBatch::default();
        let mut ends = BTreeMap::new();
        let mut positions = Vec::with_capacity(records.len());
        for ((slot, row), record) in rows.iter().zip(records) {
            let end = ends.entry(slot).or_insert_with(|| state.end(slot));
            self.storage.put(&mut batch, &record_key(topic, record.partition, *end), row)?;
            positions.push((record.partition, *end));
            *end += 1;
        }
        self.write(&mut state, batch, ends.into_iter())?;
        self.settle(state)?;
        Ok(positions)
    }

    fn encode(&self, topic: Topic, records: &[NewRecord<'_>]) -> Result<Encoded, Error> {
        let mut encoded = Encoded { bytes: Vec::new(), rows: Vec::with_capacity(records.len()) };
        for record in records {
            let slot = self.slot(topic, record.partition)?;
            let NewRecord { key, value, headers, timestamp, .. } = *record;
            let start = encoded.bytes.len();
            Draft { timestamp, key, value, headers }.encode(&mut encoded.bytes);
            encoded.rows.push((slot, start..encoded.bytes.len()));
        }
        if matches!(topic, Topic::Touchpoints | Topic::Conversions) {
            let newest = records.iter().map(|record| record.timestamp).max();
            self.newest.fetch_max(newest.unwrap_or(0), Ordering::Relaxed);
        }
        Ok(encoded)
    }

    /// Up to `limit` records from `from` on, or from the oldest that is still there. On a compacted topic offsets have
    /// gaps: go on one past the last record's own.
    ///
    /// # Errors
    /// [`Error::Refused`] for a partition that is not there; [`Error::Storage`].
    pub fn read(&self, topic: Topic, partition: u32, from: Offset, limit: usize) -> Result<Vec<OwnedRecord>, Error> {
        let bounds = self.bounds(topic, partition)?;
        let mut records = Vec::new();
        if limit == 0 {
            return Ok(records);
        }
        self.storage.scan((topic, partition), from.max(bounds.start)..bounds.end, |offset, row| {
            records.push(owned(offset, row));
            if records.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(records)
    }

    /// Where a partition begins and ends for readers.
    ///
    /// # Errors
    /// [`Error::Refused`] for a partition that is not there.
    pub fn bounds(&self, topic: Topic, partition: u32) -> Result<Bounds, Error> {
        let slot = self.slot(topic, partition)?;
        let shown = self.shown.get(slot);
        let read = |offset: fn(&Shown) -> &AtomicI64| shown.map_or(0, |shown| offset(shown).load(Ordering::Acquire));
        Ok(Bounds { start: read(|shown| &shown.start), end: read(|shown| &shown.end) })
    }

    /// The end of every partition of a topic, for readers.
    pub fn ends(&self, topic: Topic) -> Vec<Offset> {
        let of_topic = self.shown.iter().filter(|shown| shown.topic == topic);
        of_topic.map(|shown| shown.end.load(Ordering::Acquire)).collect()
    }

    /// Waits until a partition has a record at `from` or later, or the time is over; says whether it has.
    ///
    /// # Errors
    /// [`Error::Refused`] for a partition that is not there.
    pub fn wait(&self, topic: Topic, partition: u32, from: Offset, time: Duration) -> Result<bool, Error> {
        let slot = self.slot(topic, partition)?;
        let behind = |_: &mut State| self.end(slot) <= from;
        let waited = self.changed.wait_timeout_while(self.lock(), time, behind);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        Ok(self.end(slot) > from)
    }

    /// Puts a value on the control topic, or deletes it, and returns its offset once it is durable.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn control_put(&self, key: &[u8], value: Option<&[u8]>, timestamp: Millis) -> Result<Offset, Error> {
        let record = NewRecord { partition: 0, key: Some(key), value, headers: &[], timestamp };
        let positions = self.append(Topic::Control, &[record])?;
        Ok(positions.first().map_or(0, |(_, offset)| *offset))
    }

    /// Every record of the control topic from `from` on; [`Self::wait`] tells when there are more.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn control_read(&self, from: Offset) -> Result<Vec<OwnedRecord>, Error> {
        self.read(Topic::Control, 0, from, usize::MAX)
    }

    /// The newest record of every key of a partition, in the order of the keys, deleted ones left out.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn compacted(&self, topic: Topic, partition: u32) -> Result<Vec<OwnedRecord>, Error> {
        let bounds = self.bounds(topic, partition)?;
        let mut newest = BTreeMap::new();
        self.storage.scan((topic, partition), bounds.start..bounds.end, |offset, row| {
            match (row.key, row.value) {
                (Some(key), None) => drop(newest.remove(key)),
                (Some(key), Some(_)) => drop(newest.insert(key.to_vec(), owned(offset, row))),
                (None, _) => {}
            }
            ControlFlow::Continue(())
        })?;
        Ok(newest.into_values().collect())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here leaves the state half changed when it panics: there is nothing that panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number under which a partition of a topic is kept.
    pub(super) fn slot(&self, topic: Topic, partition: u32) -> Result<usize, Error> {
        let at = self.shown.binary_search_by_key(&(topic, partition), |shown| (shown.topic, shown.partition));
        at.map_err(|_| Error::Refused(format!("{} has no partition {partition}", topic.name())))
    }

    pub(super) fn newest(&self) -> Millis {
        self.newest.load(Ordering::Relaxed)
    }

    /// The end that readers see.
    pub(super) fn end(&self, slot: usize) -> Offset {
        self.shown.get(slot).map_or(0, |shown| shown.end.load(Ordering::Acquire))
    }

    /// Lets readers see a partition up to here. Under the lock only.
    pub(super) fn show(&self, slot: usize, end: Offset) {
        if let Some(shown) = self.shown.get(slot) {
            shown.end.store(end, Ordering::Release);
        }
    }

    /// Lets readers see a partition from here on only. Under the lock only.
    pub(super) fn hide(&self, slot: usize, start: Offset) {
        if let Some(shown) = self.shown.get(slot) {
            shown.start.store(start, Ordering::Release);
        }
    }

    /// Writes a batch and, in it, the new ends of partitions. Visible after [`Self::settle`].
    pub(super) fn write(
        &self,
        state: &mut State,
        mut batch: WriteBatch,
        ends: impl Iterator<Item = (usize, Offset)>,
    ) -> Result<(), Error> {
        let mut moved = Vec::new();
        for (slot, end) in ends {
            if let (Some(shown), Some(extent)) = (self.shown.get(slot), state.extents.get(slot)) {
                let key = bounds_key(shown.topic, shown.partition);
                self.storage.put(&mut batch, &key, &Extent { end, ..*extent }.encode())?;
                moved.push((slot, end));
            }
        }
        self.put(state, batch)?;
        for (slot, end) in moved {
            if let Some(extent) = state.extents.get_mut(slot) {
                extent.end = end;
                state.progress.moved.push(slot);
            }
        }
        state.progress.written += 1;
        Ok(())
    }

    /// Writes a batch as it is, unless an earlier write failed.
    pub(super) fn put(&self, state: &mut State, batch: WriteBatch) -> Result<(), Error> {
        if let Some(error) = &state.progress.broken {
            return Err(error.clone());
        }
        self.storage.write(batch).inspect_err(|error| state.progress.broken = Some(error.clone()))
    }
}

impl State {
    /// Where the next record of a partition goes.
    pub(super) fn end(&self, slot: usize) -> Offset {
        self.extents.get(slot).map_or(0, |extent| extent.end)
    }
}

/// Rows encoded before the lock is taken, in one arena: the slot and bytes of each.
struct Encoded {
    bytes: Vec<u8>,
    rows: Vec<(usize, Range<usize>)>,
}

impl Encoded {
    fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.rows.iter().map(|(slot, row)| (*slot, self.bytes.get(row.clone()).unwrap_or_default()))
    }
}

pub(super) fn owned(offset: Offset, row: Row<'_>) -> OwnedRecord {
    OwnedRecord {
        offset,
        timestamp: row.timestamp,
        key: row.key.map(<[u8]>::to_vec),
        value: row.value.map(<[u8]>::to_vec),
        headers: headers(row.headers).map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
    }
}
