//! The log as one worker sees it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rocksdb::WriteBatch;

use super::broker::{Broker, State};
use super::group::{Epoch, Instance};
use super::rows::{Commit, Draft, committed_key, record_key};
use super::{Error, Topic};
use crate::topics::{
    self, Assignment, Bounds, Committed, Head, Input, Limit, LogIdentity, Offset, Offsets, Outgoing, Output, PerInput,
    Receipt, Record, Records, TopicLog, headers, origin,
};

/// A transaction's rows are written in chunks of this many bytes to where they belong, beyond the end that anybody sees;
/// the last chunk moves the end. So a transaction of any size takes this much memory, and no appender waits for more.
const CHUNK: usize = 4 << 20;

/// A member of the group. Leaving is dropping it.
pub struct Member {
    broker: Arc<Broker>,
    instance: Instance,
    /// The changes of the group that the last poll saw; none before the first one.
    seen: Option<u64>,
    held: BTreeMap<u32, Held>,
    transaction: Option<Transaction>,
    row: Vec<u8>,
}

/// A partition that the last poll left with this member.
struct Held {
    epoch: Epoch,
    next: Option<PerInput<Offset>>,
}

#[derive(Default)]
struct Transaction {
    batch: WriteBatch,
    /// By slot: partition, topic, and where the next record goes.
    ends: BTreeMap<usize, (u32, Topic, Offset)>,
}

impl Member {
    pub(super) fn new(broker: Arc<Broker>, instance: Instance) -> Self {
        Self { broker, instance, seen: None, held: BTreeMap::new(), transaction: None, row: Vec::new() }
    }

    /// Whether the last poll's view of a partition still holds.
    fn fence(&self, state: &State, partition: u32) -> Result<(), Error> {
        let held = self.held.get(&partition);
        if held.is_some_and(|held| state.group.holds(self.instance, partition, held.epoch)) {
            return Ok(());
        }
        Err(Error::Fenced(format!("partition {partition} is another member's by now")))
    }

    /// Whether there is anything to fetch.
    fn behind(&self) -> bool {
        self.held.iter().any(|(partition, held)| {
            let behind = |next, input| self.known_end(*partition, input).is_some_and(|end| next < end);
            held.next.is_some_and(|next| Input::ALL.into_iter().any(|input| behind(*next.get(input), input)))
        })
    }

    /// Writes what the transaction has so far beyond the ends that readers see.
    fn spill(&mut self) -> Result<(), Error> {
        let Some(transaction) = &mut self.transaction else {
            return Ok(());
        };
        let batch = std::mem::take(&mut transaction.batch);
        let mut state = self.broker.lock();
        // An overtaken member must not write over its successor's rows, so this is asked under the lock.
        for (partition, _, _) in transaction.ends.values() {
            let held = self.held.get(partition);
            if !held.is_some_and(|held| state.group.holds(self.instance, *partition, held.epoch)) {
                return Err(Error::Fenced(format!("partition {partition} is another member's by now")));
            }
        }
        self.broker.put(&mut state, batch)
    }

    fn place(&mut self, outgoing: &Outgoing<'_>) -> Result<(), Error> {
        let Outgoing { output, partition, key, value, headers } = *outgoing;
        let topic = Topic::from(output);
        let slot = self.broker.slot(topic, partition)?;
        if !self.held.contains_key(&partition) {
            return Err(Error::Fenced(format!("partition {partition} is not this member's")));
        }
        let Some(transaction) = &mut self.transaction else {
            return Err(none_open());
        };
        let broker = &self.broker;
        let (_, _, end) = transaction.ends.entry(slot).or_insert_with(|| (partition, topic, broker.lock().end(slot)));
        self.row.clear();
        Draft { timestamp: broker.newest(), key, value, headers }.encode(&mut self.row);
        broker.storage.put(&mut transaction.batch, &record_key(topic, partition, *end), &self.row)?;
        *end += 1;
        if transaction.batch.size_in_bytes() >= CHUNK { self.spill() } else { Ok(()) }
    }

    fn finish(&mut self, offsets: &Offsets) -> Result<Receipt, Error> {
        let Some(Transaction { mut batch, ends }) = self.transaction.take() else {
            return Err(none_open());
        };
        let mut state = self.broker.lock();
        for partition in ends.values().map(|(partition, _, _)| *partition) {
            self.fence(&state, partition)?;
        }
        let mut commits = Vec::new();
        for of_partition in offsets.iter() {
            self.fence(&state, of_partition.partition)?;
            let commit = Commit { next: of_partition.next, metadata: of_partition.metadata.clone() };
            self.broker.storage.put(&mut batch, &committed_key(of_partition.partition), &commit.encode())?;
            commits.push((of_partition.partition, commit));
        }
        self.broker.write(&mut state, batch, ends.iter().map(|(slot, (_, _, end))| (*slot, *end)))?;
        for (partition, commit) in commits {
            if let Some(slot) = state.commits.get_mut(partition as usize) {
                *slot = Some(commit);
            }
        }
        self.broker.settle(state)?;
        let dead_letter =
            |(partition, topic, end)| (topic == Topic::from(Output::DeadLetter)).then_some((partition, end));
        Ok(Receipt { dead_letters_next: ends.into_values().filter_map(dead_letter).collect() })
    }

    /// Reads rows straight into the arena and says where to read next.
    fn read(
        &self,
        (partition, input): (u32, Input),
        next: Offset,
        limit: Limit,
        into: &mut Records,
    ) -> Result<Offset, Error> {
        let topic = Topic::from(input);
        let Bounds { start, end } = self.broker.bounds(topic, partition)?;
        if next < start || next > end {
            let what = format!("{} partition {partition} has offsets {start} to {end}", topic.name());
            return Err(Error::Refused(format!("{what}; {next} is not there: restore a snapshot or start anew")));
        }
        let stop = next.saturating_add(i64::try_from(limit.records).unwrap_or(i64::MAX)).min(end);
        if next == stop {
            return Ok(next);
        }
        let (mut expected, full, mut gap) = (next, into.bytes().saturating_add(limit.bytes), false);
        self.broker.storage.scan((topic, partition), next..stop, |offset, row| {
            gap = offset != expected;
            if gap {
                return ControlFlow::Break(());
            }
            expected += 1;
            let head = Head { input, offset, logged_at: row.timestamp };
            into.push_record(&Record { head, key: row.key, value: row.value, headers: row.headers });
            if into.bytes() < full { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if gap || expected == next {
            return Err(self.broker.storage.corrupt(&format!("offset {expected} of {} {partition}", topic.name())));
        }
        Ok(expected)
    }
}

fn none_open() -> Error {
    Error::Refused("no transaction is open".to_owned())
}

impl TopicLog for Member {
    fn poll(&mut self, wait: Duration) -> Result<Vec<Assignment>, topics::Error> {
        let mut state = self.broker.lock();
        if !wait.is_zero() {
            let idle = |state: &mut State| Some(state.group.changes()) == self.seen && !self.behind();
            let waited = self.broker.changed.wait_timeout_while(state, wait, idle);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if Some(state.group.changes()) == self.seen {
            return Ok(Vec::new());
        }
        let held = self.held.iter().map(|(partition, held)| (*partition, held.epoch)).collect();
        let before = state.group.changes();
        let news = state.group.poll(self.instance, &held);
        // What this poll itself changed, others must see; and this one must look again at its next.
        self.seen = Some(before);
        if state.group.changes() != before {
            self.broker.changed.notify_all();
        }
        drop(state);
        for (assignment, epoch) in &news {
            match assignment {
                Assignment::Lost(partition) => drop(self.held.remove(partition)),
                Assignment::Gained(partition) => {
                    self.held.insert(*partition, Held { epoch: *epoch, next: None });
                }
            }
        }
        Ok(news.into_iter().map(|(assignment, _)| assignment).collect())
    }

    fn is_member(&self) -> bool {
        self.seen.is_some()
    }

    fn identity(&mut self) -> Result<LogIdentity, topics::Error> {
        Ok(self.broker.identity.clone())
    }

    fn committed(&mut self, partition: u32) -> Result<PerInput<Option<Committed>>, topics::Error> {
        let state = self.broker.lock();
        let told = state.commits.get(partition as usize).cloned().flatten().map(|commit| commit.told());
        // State may be made durable on the strength of this, so it must not be lost any more.
        self.broker.settle(state)?;
        Ok(told.unwrap_or_default())
    }

    fn bounds(&mut self, partition: u32, input: Input) -> Result<Bounds, topics::Error> {
        Ok(self.broker.bounds(input.into(), partition)?)
    }

    fn known_end(&self, partition: u32, input: Input) -> Option<Offset> {
        self.broker.bounds(input.into(), partition).ok().map(|bounds| bounds.end)
    }

    fn set_aside(&mut self, partition: u32, from: Offset) -> Result<(Vec<(Input, Offset)>, Offset), topics::Error> {
        let Bounds { start, end } = self.broker.bounds(Topic::DeadLetter, partition)?;
        let mut origins = Vec::new();
        self.broker.storage.scan((Topic::DeadLetter, partition), from.max(start)..end, |_, row| {
            origins.extend(origin::of(headers(row.headers)));
            ControlFlow::Continue(())
        })?;
        Ok((origins, end))
    }

    fn seek(&mut self, partition: u32, next: PerInput<Offset>) -> Result<(), topics::Error> {
        if let Some(held) = self.held.get_mut(&partition) {
            held.next = Some(next);
        }
        Ok(())
    }

    fn fetch(&mut self, partition: u32, input: Input, limit: Limit, into: &mut Records) -> Result<(), topics::Error> {
        let Some(next) = self.held.get(&partition).and_then(|held| held.next) else {
            return Ok(());
        };
        let next = self.read((partition, input), *next.get(input), limit, into)?;
        if let Some(position) = self.held.get_mut(&partition).and_then(|held| held.next.as_mut()) {
            *position.get_mut(input) = next;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), topics::Error> {
        if self.transaction.replace(Transaction::default()).is_some() {
            return Err(topics::Error::Fatal("a transaction was begun inside another".to_owned()));
        }
        Ok(())
    }

    fn produce(&mut self, record: Outgoing<'_>) -> Result<(), topics::Error> {
        Ok(self.place(&record)?)
    }

    fn commit(&mut self, offsets: &Offsets) -> Result<Receipt, topics::Error> {
        Ok(self.finish(offsets)?)
    }

    fn abort(&mut self) -> Result<(), topics::Error> {
        // What was spilled lies beyond the end, and the next rows go over it.
        self.transaction = None;
        Ok(())
    }

    fn recover(&mut self) -> Result<(), topics::Error> {
        // A commit here always has a known outcome; what a caller gave up in between is given up here too.
        self.abort()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.broker.lock().group.leave(self.instance);
        self.broker.changed.notify_all();
    }
}
