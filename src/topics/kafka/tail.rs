//! Reading a topic that people look at, committed records only: as they come, or a partition whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Error, Offset};
pub use super::control::Entry;
use super::reach::Reach;
use super::reader::Reader;
use super::settings::Settings;

/// Where a tail begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the oldest rows still there.
    Beginning,
    /// With what comes from now on.
    End,
}

/// Follows every partition of a topic.
pub struct Tail {
    reader: Reader,
    partitions: u32,
}

impl Tail {
    /// Begins to follow a topic.
    pub fn open(settings: &Settings, topic: &str, from: From) -> Result<Self, Error> {
        settings.validate()?;
        let reach = Arc::new(Reach::new());
        let mut reader = Reader::open(settings, "tail", topic, &reach)?;
        let partitions = reader.partitions()?;
        let begin = (0..partitions).map(|partition| {
            let (start, end) = reader.bounds(partition)?;
            Ok((partition, if from == From::Beginning { start } else { end }))
        });
        let begin: Vec<(u32, Offset)> = begin.collect::<Result<_, Error>>()?;
        reader.assign(&begin)?;
        Ok(Self { reader, partitions })
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The oldest offset of a partition that is still there.
    pub fn begin(&self, partition: u32) -> Result<Offset, Error> {
        Ok(self.reader.bounds(partition)?.0)
    }

    /// Hands out what has come, in order within each partition, waiting up to `wait` for it. Whether there was anything.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when no broker answers; poll again.
    pub fn poll(&mut self, wait: Duration, each: &mut dyn FnMut(Entry<'_>)) -> Result<bool, Error> {
        self.reader.follow(wait, &mut |partition, message| each(Entry::of(partition, message)))
    }

    /// Where each partition ends now; the brokers have `wait` to answer for each.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when they do not answer.
    pub fn ends(&self, wait: Duration) -> Result<BTreeMap<u32, Offset>, Error> {
        self.reader.ends(wait)
    }

    /// Whether all was handed out up to these ends.
    pub fn has_reached(&self, ends: &BTreeMap<u32, Offset>) -> bool {
        self.reader.has_reached(ends)
    }

    /// Hands out a partition from its oldest record to its end as it is now, in order; the last record of a key is what the
    /// compacted topic says of it. Returns the offset behind the last record. Ends the following of this topic: polled after
    /// it, this hands out nothing.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the end is not reached in time; what was handed out counts nothing then.
    pub fn read_whole(&mut self, partition: u32, each: &mut dyn FnMut(Entry<'_>)) -> Result<Offset, Error> {
        self.reader.read_to_end(partition, 0, &mut |message| each(Entry::of(partition, message)))
    }
}
