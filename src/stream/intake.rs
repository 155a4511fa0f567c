//! What a partition has read and not yet used: one chunk an input, picked from in the order of the records' timestamps.
//!
//! Order cannot change a result, but it changes the work: conversions read long before their touchpoints are answered
//! again and again. So while the partition is behind, the input that is ahead is held back.

use crate::core::Millis;
use crate::topics::{Error, Input, Limit, Offset, PerInput, Record, Records, TopicLog};

/// An input this many records from its end, or nearer, is not waited for: what is missing may be transaction markers.
pub(super) const NEAR_END: Offset = 1_000;
/// How long an input that is behind may be waited for, in milliseconds, until it has something again: what lies before its end
/// may be of a transaction that was aborted, or hangs, and never come.
const PATIENCE: Millis = 200;

/// One record of a batch, by where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    input: Input,
    index: usize,
}

#[derive(Debug, Default)]
struct Chunk {
    records: Records,
    /// How many of them are used up.
    used: usize,
    /// The offset that the next record read will have, at least.
    next: Offset,
    /// The last applied record as the state remembers it, to be met again before anything is used.
    expected: Option<u64>,
    /// Records from this offset on are not to be picked yet.
    until: Option<Offset>,
}

impl Chunk {
    fn is_used_up(&self) -> bool {
        self.used >= self.records.len()
    }
}

/// The chunks of one partition.
#[derive(Debug, Default)]
pub struct Intake {
    chunks: PerInput<Chunk>,
    picks: Vec<Pick>,
    starving_since: Option<Millis>,
}

/// The record that the state says it applied last is not the record that the log has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The input.
    pub input: Input,
    /// The record's offset.
    pub offset: Offset,
}

impl Intake {
    /// Begins anew: `next` is what to apply first, `expected` the hash of the record before it, where that record is
    /// read again to be compared.
    pub fn restart(&mut self, next: PerInput<Offset>, expected: PerInput<Option<u64>>) {
        for input in Input::ALL {
            let chunk = self.chunks.get_mut(input);
            chunk.records.clear();
            chunk.used = 0;
            chunk.expected = *expected.get(input);
            chunk.next = *next.get(input);
            chunk.until = None;
        }
        self.picks.clear();
        self.starving_since = None;
    }

    /// Holds back every record from these offsets on, or none any more.
    pub fn hold_from(&mut self, until: Option<PerInput<Offset>>) {
        for input in Input::ALL {
            self.chunks.get_mut(input).until = until.map(|u| *u.get(input));
        }
    }

    /// The offset that an input was to be read from: the last applied record's, while it has yet to be met again.
    pub fn reads_from(&self, input: Input) -> Offset {
        let chunk = self.chunks.get(input);
        chunk.next - Offset::from(chunk.expected.is_some())
    }

    /// Whether an input's last applied record has yet to be met again.
    pub fn is_unproved(&self) -> bool {
        Input::ALL.iter().any(|input| self.chunks.get(*input).expected.is_some())
    }

    /// Reads on where a chunk is used up. The record before the first is compared with what the state remembers.
    pub fn fill(&mut self, log: &mut impl TopicLog, partition: u32, limit: Limit) -> Result<Option<Differs>, Error> {
        for input in Input::ALL {
            let chunk = self.chunks.get_mut(input);
            if !chunk.is_used_up() {
                continue;
            }
            chunk.records.clear();
            chunk.used = 0;
            log.fetch(partition, input, limit, &mut chunk.records)?;
            if let Some(differs) = prove(chunk, input) {
                return Ok(Some(differs));
            }
        }
        Ok(None)
    }

    /// Picks the next batch: at most `most` records, oldest first by their timestamps. Returns how many there are.
    pub fn pick(&mut self, log: &impl TopicLog, partition: u32, most: usize, now: Millis) -> usize {
        self.picks.clear();
        let mut at = PerInput::from_fn(|input| self.chunks.get(input).used);
        while self.picks.len() < most {
            let heads = PerInput::from_fn(|input| self.head(input, *at.get(input)).map(|record| record.head.logged_at));
            let (input, silent) = match (heads.touchpoints, heads.conversions) {
                (Some(t), Some(c)) if t <= c => (Input::Touchpoints, None),
                (Some(_), Some(_)) => (Input::Conversions, None),
                (Some(_), None) => (Input::Touchpoints, Some(Input::Conversions)),
                (None, Some(_)) => (Input::Conversions, Some(Input::Touchpoints)),
                (None, None) => break,
            };
            match silent {
                Some(silent) if self.is_behind(log, partition, silent) => {
                    if !self.has_starved(now) {
                        break;
                    }
                }
                // Whoever was waited for has something again, or nothing to come.
                _ => self.starving_since = None,
            }
            self.picks.push(Pick { input, index: *at.get(input) });
            *at.get_mut(input) += 1;
        }
        self.picks.len()
    }

    fn head(&self, input: Input, index: usize) -> Option<Record<'_>> {
        let chunk = self.chunks.get(input);
        let record = chunk.records.get(index)?;
        chunk.until.is_none_or(|until| record.head.offset < until).then_some(record)
    }

    /// Whether an input that has nothing to pick has much to read.
    fn is_behind(&self, log: &impl TopicLog, partition: u32, input: Input) -> bool {
        let chunk = self.chunks.get(input);
        let end = chunk.until.or_else(|| log.known_end(partition, input));
        // Held back, an input is waited for to the last record: a replay is done when every input has arrived.
        let near = if chunk.until.is_some() { 0 } else { NEAR_END };
        end.is_some_and(|end| end - chunk.next > near)
    }

    fn has_starved(&mut self, now: Millis) -> bool {
        now - *self.starving_since.get_or_insert(now) >= PATIENCE
    }

    /// The record of a pick of the current batch.
    pub fn record(&self, pick: Pick) -> Option<Record<'_>> {
        self.chunks.get(pick.input).records.get(pick.index)
    }

    /// The current batch.
    pub fn picks(&self) -> &[Pick] {
        &self.picks
    }

    /// Marks the first `count` records of the current batch as used, and returns what comes next of each input.
    pub fn consume(&mut self, count: usize) -> PerInput<Offset> {
        for pick in self.picks.iter().take(count) {
            let chunk = self.chunks.get_mut(pick.input);
            if let Some(record) = chunk.records.get(pick.index) {
                chunk.next = record.head.offset + 1;
            }
            chunk.used = pick.index + 1;
        }
        self.picks.clear();
        self.next()
    }

    /// The log timestamp of the next record, where it has been read already.
    pub fn oldest(&self, input: Input) -> Option<Millis> {
        let chunk = self.chunks.get(input);
        chunk.records.get(chunk.used).map(|record| record.head.logged_at)
    }

    /// What comes next of each input.
    pub fn next(&self) -> PerInput<Offset> {
        PerInput::from_fn(|input| self.chunks.get(input).next)
    }
}

/// Compares the first record read with what the state remembers of it, where it lies before what is to be applied.
fn prove(chunk: &mut Chunk, input: Input) -> Option<Differs> {
    let expected = chunk.expected?;
    let first = chunk.records.get(0)?;
    chunk.expected = None;
    let offset = first.head.offset;
    if offset >= chunk.next {
        return None; // the log holds it no longer
    }
    let differs = hash(&first) != expected;
    chunk.used = 1;
    differs.then_some(Differs { input, offset })
}

/// What the state remembers of the last record that it applied.
pub fn hash(record: &Record<'_>) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    hasher.update(&record.head.offset.to_le_bytes());
    hasher.update(&record.head.logged_at.to_le_bytes());
    for part in [record.key, record.value] {
        hasher.update(&part.map_or(-1, |bytes| bytes.len() as i64).to_le_bytes());
        hasher.update(part.unwrap_or_default());
    }
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::topics::{Assignment, Bounds, Committed, Head, LogIdentity, Offsets, Outgoing, Receipt};

    /// A log of one partition: touchpoints that are there, conversions whose end lies far ahead of what can be read.
    struct Silent(usize);

    #[rustfmt::skip]
    impl TopicLog for Silent {
        fn known_end(&self, _: u32, _: Input) -> Option<Offset> { Some(100_000) }
        fn fetch(&mut self, _: u32, input: Input, _: Limit, into: &mut Records) -> Result<(), Error> {
            let there = if input == Input::Touchpoints { std::mem::take(&mut self.0) } else { 0 };
            (0..there as i64).for_each(|at| into.push(Head { input, offset: at, logged_at: at }, None, None, &[]));
            Ok(())
        }
        fn poll(&mut self, _: Duration) -> Result<Vec<Assignment>, Error> { unreachable!() }
        fn is_member(&self) -> bool { unreachable!() }
        fn identity(&mut self) -> Result<LogIdentity, Error> { unreachable!() }
        fn committed(&mut self, _: u32) -> Result<PerInput<Option<Committed>>, Error> { unreachable!() }
        fn bounds(&mut self, _: u32, _: Input) -> Result<Bounds, Error> { unreachable!() }
        fn set_aside(&mut self, _: u32, _: Offset) -> Result<(Vec<(Input, Offset)>, Offset), Error> { unreachable!() }
        fn seek(&mut self, _: u32, _: PerInput<Offset>) -> Result<(), Error> { unreachable!() }
        fn begin(&mut self) -> Result<(), Error> { unreachable!() }
        fn produce(&mut self, _: Outgoing<'_>) -> Result<(), Error> { unreachable!() }
        fn commit(&mut self, _: &Offsets) -> Result<Receipt, Error> { unreachable!() }
        fn abort(&mut self) -> Result<(), Error> { unreachable!() }
        fn recover(&mut self) -> Result<(), Error> { unreachable!() }
    }

    /// Records of an aborted transaction are never handed out: who waits for them must not trickle.
    #[test]
    fn an_input_that_stays_silent_is_waited_for_once() {
        let (mut log, mut intake) = (Silent(1_000), Intake::default());
        intake.fill(&mut log, 0, Limit { records: 1_000, bytes: usize::MAX }).unwrap();
        assert_eq!(intake.pick(&log, 0, 400, 10_000), 0, "its records may be on their way");
        assert_eq!(intake.pick(&log, 0, 400, 10_000 + PATIENCE - 1), 0);
        for picked in [400, 400, 200, 0] {
            assert_eq!(intake.pick(&log, 0, 400, 10_000 + PATIENCE), picked);
            intake.consume(picked);
        }
    }
}
