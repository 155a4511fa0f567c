//! One partition that this worker owns: taken, replayed, live.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::apply;
use super::dead_letter;
use super::intake::{self, Intake};
use super::late::LateFilter;
use super::meta::Meta;
use super::observe::{BatchReport, Lag, Moment, Observer};
use super::panics::Panics;
use super::planted::Bug;
use super::prepare::{Engine, Mode, Place, Prepared, Produce, Skip, Source, Trouble};
use super::taking::Refusal;
use super::worker::Error;
use crate::core::Millis;
use crate::store;
use crate::topics::{self, Limit, LogIdentity, Offset, Outgoing, Output, PartitionOffsets, PerInput, TopicLog};

/// Where a partition stands.
#[derive(Debug)]
pub enum Phase {
    /// Assigned; nothing is read yet.
    Taking {
        /// Since when the group's offsets are missing.
        missing_since: Option<Millis>,
    },
    /// The log's tail is applied again, suppressed.
    Replaying(Replay),
    /// Records are answered.
    Live,
}

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    pub(super) target: PerInput<Offset>,
    pub(super) skip: Skip,
    pub(super) dead_letters_end: Offset,
    pub(super) replayed: u64,
}

/// An assigned partition with its state.
pub struct Owned {
    /// The partition's number.
    pub number: u32,
    /// Where it stands.
    pub phase: Phase,
    pub(super) store: Arc<store::Partition>,
    pub(super) log: LogIdentity,
    pub(super) meta: Meta,
    pub(super) late: LateFilter,
    pub(super) intake: Intake,
    /// The batch that is prepared, if `taken` is not 0.
    pub prepared: Prepared,
    /// How many records the next batch may have: halved where a batch was too much, grown again slowly.
    pub(super) most: usize,
    /// When its offsets were last committed, on the worker's clock.
    pub(super) committed_at: Millis,
    /// A record whose rows made our code panic when they were produced: it is set aside when it is met again.
    poisoned: Option<Place>,
    /// Whether it waits for the registry.
    registry_silent: bool,
}

impl Owned {
    /// Opens the state of an assigned partition. `log` must be the log it is assigned from.
    pub fn open(
        shared: &store::Shared,
        dir: &Path,
        number: u32,
        log: LogIdentity,
        engine: &Engine,
    ) -> Result<Self, Error> {
        let store = Arc::new(store::Partition::open(shared, dir)?);
        Ok(Self {
            number,
            phase: Phase::Taking { missing_since: None },
            meta: Meta::new(PerInput::default(), log.clone(), &engine.rules),
            log,
            late: LateFilter::new(0),
            intake: Intake::default(),
            prepared: Prepared::of(store.hasher()),
            store,
            most: usize::MAX,
            committed_at: 0,
            poisoned: None,
            registry_silent: false,
        })
    }

    /// The state, for queries.
    pub fn store(&self) -> &Arc<store::Partition> {
        &self.store
    }

    /// Gives the state up; what is in memory may be lost, since the log has it.
    pub fn into_store(self) -> Arc<store::Partition> {
        self.store
    }

    /// Begins taking again, from what the group has committed; whatever was read or prepared is dropped.
    pub fn retake(&mut self) {
        self.phase = Phase::Taking { missing_since: None };
        self.prepared.clear();
    }

    /// Prepares the next live batch. Returns whether there is one.
    pub fn prepare_live(
        &mut self,
        log: &mut impl TopicLog,
        engine: &mut Engine,
        limit: Limit,
        now: Millis,
        observer: &mut impl Observer,
    ) -> Result<bool, Error> {
        match self.read(log, limit) {
            Ok(()) => {}
            // Retention may have passed what is to be read next: then it is judged again, which says so.
            Err(error @ Error::Log(topics::Error::Fatal(_))) => {
                return self.overtaken(log).and_then(|overtaken| if overtaken { Ok(false) } else { Err(error) });
            }
            Err(error) => return Err(error),
        }
        let mode = Mode::Live { poisoned: self.poisoned };
        self.prepare(log, engine, limit, now, mode, observer)
    }

    pub(super) fn read(&mut self, log: &mut impl TopicLog, limit: Limit) -> Result<(), Error> {
        match self.intake.fill(log, self.number, limit)? {
            None => Ok(()),
            Some(differs) => {
                let refusal = Refusal::RecordDiffers { input: differs.input, offset: differs.offset };
                Err(Error::Refused(format!("partition {}: {refusal}", self.number)))
            }
        }
    }

    pub(super) fn prepare(
        &mut self,
        log: &impl TopicLog,
        engine: &mut Engine,
        limit: Limit,
        now: Millis,
        mode: Mode<'_>,
        observer: &mut impl Observer,
    ) -> Result<bool, Error> {
        let partition = self.number;
        let Self { store, intake, late, log: identity, meta, prepared, most, registry_silent, .. } = self;
        *most = most.saturating_mul(2).clamp(1, limit.records);
        prepared.clear();
        let mut count = intake.pick(log, partition, *most, now);
        if count == 0 {
            return Ok(false);
        }
        let view = store.view();
        let source = Source { intake, view: &view, late, partition, partitions: identity.partitions };
        loop {
            match prepared.fill(engine, &source, count, mode) {
                Ok(()) => {
                    if std::mem::take(registry_silent) {
                        observer.notice(Moment::RegistryReachable { partition });
                    }
                    if prepared.giant {
                        observer.notice(Moment::Giant { partition });
                    }
                    prepared.advance(meta, intake);
                    return Ok(prepared.taken > 0);
                }
                Err(Trouble::Halve { panicked }) => {
                    if panicked {
                        observer.notice(Moment::Panicked { partition, records: count });
                    }
                    count = (count / 2).max(1);
                    *most = count;
                }
                Err(Trouble::Registry(why)) => {
                    prepared.taken = 0;
                    *registry_silent = true;
                    observer.notice(Moment::RegistryUnreachable { partition, why: &why });
                    return Ok(false);
                }
                Err(Trouble::Fatal(why)) => return Err(Error::Fatal(format!("partition {partition}: {why}"))),
            }
        }
    }

    /// The offsets that a transaction over the prepared batch commits (those of now, when there is none).
    pub fn offsets(&self, engine: &Engine) -> PartitionOffsets {
        let meta = self.prepared.meta.as_ref().unwrap_or(&self.meta);
        let mut next = meta.applied;
        if engine.planted.is(Bug::OffsetsLeftOut) {
            next.conversions = self.meta.applied.conversions;
        }
        PartitionOffsets { partition: self.number, next, metadata: meta.stamp().encode() }
    }

    /// Produces what the prepared batch says: its rows, and its dead letters whole.
    pub fn produce<L: TopicLog>(&mut self, log: &mut L, engine: &Engine, room: usize) -> Result<u64, topics::Error> {
        let mut produced = 0;
        let partition = self.number;
        let mut row = |log: &mut L, key: &[u8], value: Option<&[u8]>| {
            produced += 1;
            log.produce(Outgoing { output: Output::Attributions, partition, key: Some(key), value, headers: &[] })
        };
        if self.prepared.giant {
            self.produce_giant(engine, &mut |key, value| row(log, key, value))?;
        }
        for (key, value) in self.prepared.rows.iter() {
            row(log, key, value)?;
        }
        for dead in &self.prepared.dead {
            if let Some(record) = self.intake.picks().get(dead.pick).and_then(|pick| self.intake.record(*pick)) {
                produced += 1;
                dead_letter::produce(log, partition, &record, &dead.fault, room)?;
            }
        }
        Ok(produced)
    }

    /// Produces a giant's rows as they are computed. After a panic the transaction must be dropped, with what it has of
    /// them; the record is set aside when it is met again, or it would come back for ever.
    fn produce_giant(&mut self, engine: &Engine, produce: &mut Produce<'_>) -> Result<(), topics::Error> {
        let place = self.place();
        let Self { number, store, intake, late, log: identity, prepared, poisoned, .. } = self;
        let partition = *number;
        let view = store.view();
        let source = Source { intake, view: &view, late, partition, partitions: identity.partitions };
        match catch_unwind(AssertUnwindSafe(|| prepared.apply_giant(engine, &source, produce))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(apply::Error::Log(error))) => Err(error),
            Ok(Err(other)) => Err(topics::Error::Fatal(format!("partition {partition}: {other}"))),
            Err(_) => {
                let record = intake.picks().first().and_then(|pick| intake.record(*pick));
                *poisoned = record.map(|record| (record.head.input, record.head.offset));
                Err(topics::Error::Aborted(format!("a panic over the rows of {place}")))
            }
        }
    }

    /// Writes the prepared batch, with the offsets it covers, and moves on. Called when its transaction has committed,
    /// or when it is a replay.
    pub fn write(&mut self, log: &impl TopicLog, suppressed: bool, observer: &mut impl Observer) -> Result<(), Error> {
        let Some(mut meta) = self.prepared.account() else {
            return Ok(()); // nothing is prepared
        };
        meta.dead_letters = meta.dead_letters.max(self.meta.dead_letters); // its transaction's, known since
        self.prepared.batch.set_meta(&meta.encode());
        self.store.write(&mut self.prepared.batch)?;
        self.meta = meta;
        self.prepared.teach(&mut self.late);
        self.report(log, suppressed, observer);
        self.intake.consume(self.prepared.taken);
        self.prepared.clear();
        Ok(())
    }

    /// Counts, of the prepared batch, how many records in a row made our code panic.
    pub fn count_panics(&self, panics: &mut Panics) {
        let mut dead = self.prepared.dead.iter().peekable();
        for (index, pick) in self.intake.picks().iter().take(self.prepared.taken).enumerate() {
            let fault = dead.next_if(|dead| dead.pick == index).map(|dead| &dead.fault);
            if let Some(record) = self.intake.record(*pick) {
                panics.count(self.number, (record.head.input, record.head.offset), fault);
            }
        }
    }

    fn report(&self, log: &impl TopicLog, suppressed: bool, observer: &mut impl Observer) {
        if !suppressed {
            for dead in &self.prepared.dead {
                if let Some(record) = self.intake.picks().get(dead.pick).and_then(|pick| self.intake.record(*pick)) {
                    let (input, offset) = (record.head.input, record.head.offset);
                    observer.notice(Moment::SetAside { partition: self.number, input, offset, fault: &dead.fault });
                }
            }
        }
        observer.notice(Moment::Batch(&BatchReport {
            partition: self.number,
            records: self.prepared.records,
            set_aside: self.prepared.dead.len() as u64,
            misplaced: self.prepared.misplaced,
            counts: self.prepared.counts,
            suppressed,
            applied: self.meta.applied,
            ends: PerInput::from_fn(|input| log.known_end(self.number, input)),
            logged: self.prepared.logged,
        }));
    }

    /// Where the first record of the batch lies, for messages.
    pub fn place(&self) -> String {
        let record = self.intake.picks().first().and_then(|pick| self.intake.record(*pick));
        let place = |head: &topics::Head| {
            format!("{} of partition {} at offset {}", head.input.name(), self.number, head.offset)
        };
        record.map_or_else(String::new, |record| place(&record.head))
    }

    /// Tells how far it is behind the log.
    pub fn tell_lag(&self, log: &impl TopicLog, observer: &mut impl Observer) {
        let lag = PerInput::from_fn(|input| {
            let next = *self.intake.next().get(input);
            let left = log.known_end(self.number, input).map_or(0, |end| end - next).max(0);
            // A few that cannot be had are no lag: the markers of transactions, which count as offsets too.
            let since = self.intake.oldest(input).or_else(|| (left > intake::NEAR_END).then_some(self.meta.as_of));
            Lag { records: left.unsigned_abs(), since }
        });
        observer.notice(Moment::Lag { partition: self.number, lag: &lag });
    }

    /// Remembers what a committed transaction told.
    pub fn committed(&mut self, dead_letters_next: Option<Offset>, now: Millis) {
        self.committed_at = now;
        if let Some(next) = dead_letters_next {
            self.meta.dead_letters = self.meta.dead_letters.max(next);
        }
    }

    /// Whether the registry was silent when it was asked last.
    pub fn waits_for_registry(&self) -> bool {
        self.registry_silent
    }

    /// Whether the group's offsets must be committed again lest the broker lets them expire.
    pub fn needs_keepalive(&self, now: Millis, after: Millis) -> bool {
        matches!(self.phase, Phase::Live) && now - self.committed_at >= after
    }

    /// Lets what is in memory go to disk where it is older than `age`, so that the tail to read again stays bounded.
    pub fn flush_if_older(&self, now: Millis, age: Millis, observer: &mut impl Observer) -> Result<(), Error> {
        if self.store.flush_if_older(now, age)? {
            observer.notice(Moment::Flushed { partition: self.number });
        }
        Ok(())
    }
}
