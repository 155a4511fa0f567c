//! Taking old records away. The caller says what the state holds durably; nothing newer goes.

use std::ops::{ControlFlow, Range};

use rocksdb::WriteBatch;

use super::broker::Broker;
use super::rows::{Extent, bounds_key, record_key};
use super::{Error, Topic};
use crate::core::Millis;
use crate::topics::Offset;

impl Broker {
    /// Removes the records of a partition before an offset, and returns where it begins now. An input is never trimmed
    /// past what the group has committed, nor anything past its end.
    ///
    /// `before` must be what the state holds *durably*: after a crash it reads on from there.
    ///
    /// # Errors
    /// [`Error::Refused`] for a compacted topic or a partition that is not there; [`Error::Storage`].
    pub fn trim(&self, topic: impl Into<Topic>, partition: u32, before: Offset) -> Result<Offset, Error> {
        let topic = topic.into();
        if topic.compacted() {
            return Err(Error::Refused(format!("{} is compacted, not trimmed", topic.name())));
        }
        let slot = self.slot(topic, partition)?;
        let mut state = self.lock();
        let committed = state.commits.get(partition as usize).and_then(Option::as_ref);
        let bound = match topic {
            Topic::Touchpoints => committed.map_or(0, |commit| commit.next.touchpoints),
            Topic::Conversions => committed.map_or(0, |commit| commit.next.conversions),
            _ => Offset::MAX,
        };
        let extent = state.extents.get(slot).copied().unwrap_or_default();
        let start = before.min(bound).min(self.end(slot));
        if start <= extent.start {
            return Ok(extent.start);
        }
        let trimmed = Extent { start, ..extent };
        let mut batch = WriteBatch::default();
        self.storage.put(&mut batch, &bounds_key(topic, partition), &trimmed.encode())?;
        self.put(&mut state, batch)?;
        if let Some(extent) = state.extents.get_mut(slot) {
            *extent = trimmed;
        }
        self.hide(slot, start);
        drop(state);
        self.forget((topic, partition), extent.start..start)?;
        Ok(start)
    }

    /// Gives back the room of records that are before the start by now.
    fn forget(&self, place: (Topic, u32), range: Range<Offset>) -> Result<(), Error> {
        // Files go at once, not by way of the write-ahead log: the start must be durable before them.
        if self.sync {
            self.storage.sync()?;
        }
        self.storage.drop_files(place, range.clone())?;
        let (topic, partition) = place;
        let mut batch = WriteBatch::default();
        batch.delete_range(record_key(topic, partition, range.start), record_key(topic, partition, range.end));
        self.put(&mut self.lock(), batch)
    }

    /// The offset of the first record logged at `time` or later, or the end: for retention by age. Timestamps that go
    /// back make it one of several such offsets.
    ///
    /// # Errors
    /// [`Error::Refused`] for a partition that is not there; [`Error::Storage`].
    pub fn offset_at(&self, topic: impl Into<Topic>, partition: u32, time: Millis) -> Result<Offset, Error> {
        let topic = topic.into();
        let bounds = self.bounds(topic, partition)?;
        let (mut low, mut high) = (bounds.start, bounds.end);
        while low < high {
            let middle = low + (high - low) / 2;
            // Offsets of a compacted topic have gaps: the next record there is stands for them.
            let mut found = None;
            self.storage.scan((topic, partition), middle..high, |offset, row| {
                found = Some((offset, row.timestamp));
                ControlFlow::Break(())
            })?;
            match found {
                Some((offset, timestamp)) if timestamp < time => low = offset + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
