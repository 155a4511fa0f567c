//! One partition that this worker owns: taken, replayed, live.

use std::path::Path;
use std::sync::Arc;

use super::apply;
use super::dead_letter;
use super::intake::Intake;
use super::late::LateFilter;
use super::meta::Meta;
use super::observe::{BatchReport, Moment, Observer};
use super::planted::Bug;
use super::prepare::{Engine, Mode, Prepared, Skip, Source, Trouble};
use super::taking::{self, Evidence, Refusal};
use super::worker::Error;
use crate::core::Millis;
use crate::store;
use crate::topics::{self, Input, Limit, LogIdentity, Offset, Outgoing, Output, PartitionOffsets, PerInput, TopicLog};

/// How long the group's offsets may be missing before the state is refused, in milliseconds: a coordinator that has just
/// moved may answer "none" for a moment.
const OFFSETS_PATIENCE: Millis = 10_000;

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
    target: PerInput<Offset>,
    skip: Skip,
    dead_letters_end: Offset,
    replayed: u64,
}

/// An assigned partition with its state.
pub struct Owned {
    /// The partition's number.
    pub number: u32,
    /// Where it stands.
    pub phase: Phase,
    store: Arc<store::Partition>,
    log: LogIdentity,
    meta: Meta,
    late: LateFilter,
    intake: Intake,
    /// The batch that is prepared, if `taken` is not 0.
    pub prepared: Prepared,
    /// How many records the next batch may have: halved where a batch was too much, grown again slowly.
    most: usize,
    /// When its offsets were last committed, on the worker's clock.
    committed_at: Millis,
    /// The conversions' offset that was committed last; only a planted bug asks.
    stale_conversions: Offset,
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
            store,
            log,
            late: LateFilter::new(0),
            intake: Intake::default(),
            prepared: Prepared::default(),
            most: usize::MAX,
            committed_at: 0,
            stale_conversions: 0,
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

    /// Tries to take the partition: judges what state, group and log say, and starts the replay.
    pub fn take(
        &mut self,
        log: &mut impl TopicLog,
        engine: &Engine,
        now: Millis,
        observer: &mut impl Observer,
    ) -> Result<(), Error> {
        let committed = log.committed(self.number)?;
        let bounds = PerInput::try_from_fn(|input| log.bounds(self.number, input))?;
        let stored = self.store.view().meta()?;
        let meta = stored.as_deref().map(Meta::decode).transpose().map_err(|why| {
            Error::Refused(format!("partition {}: the state's account cannot be read: {why}", self.number))
        })?;
        let evidence = Evidence {
            meta: meta.as_ref(),
            committed: &committed,
            bounds: &bounds,
            log: &self.log,
            rules: &engine.rules,
        };
        let plan = match taking::judge(&evidence) {
            Ok(plan) => plan,
            Err(refusal @ Refusal::OffsetsMissing { .. }) if self.may_yet_come(now) => {
                observer.notice(Moment::LogUnreachable(&refusal.to_string()));
                return Ok(());
            }
            Err(refusal) => {
                observer.notice(Moment::Refused { partition: self.number, refusal: &refusal });
                return Err(Error::Refused(format!("partition {}: {refusal}", self.number)));
            }
        };
        self.committed_at = now;
        self.start_replay(log, engine, plan, &bounds, observer)
    }

    fn may_yet_come(&mut self, now: Millis) -> bool {
        let Phase::Taking { missing_since } = &mut self.phase else {
            return false;
        };
        now - *missing_since.get_or_insert(now) < OFFSETS_PATIENCE
    }

    fn start_replay(
        &mut self,
        log: &mut impl TopicLog,
        engine: &Engine,
        plan: taking::Plan,
        bounds: &PerInput<topics::Bounds>,
        observer: &mut impl Observer,
    ) -> Result<(), Error> {
        let taking::Plan { meta, mut target } = plan;
        if engine.planted.is(Bug::SuppressionOff) {
            target = meta.applied;
        }
        let behind = target != meta.applied;
        let (aside, dead_letters_end) =
            if behind { log.set_aside(self.number, meta.dead_letters)? } else { (Vec::new(), meta.dead_letters) };
        // The last applied record is read once more, where it is still there, to be compared.
        let expected = PerInput::from_fn(|input| {
            meta.last.get(input).filter(|_| *meta.applied.get(input) > bounds.get(input).start)
        });
        let first = PerInput::from_fn(|input| meta.applied.get(input) - Offset::from(expected.get(input).is_some()));
        log.seek(self.number, first)?;
        self.intake.restart(meta.applied, expected);
        self.intake.hold_from(Some(target));
        if engine.planted.is(Bug::NoReplayBarrier) {
            self.intake.hold_from(Some(PerInput { touchpoints: Offset::MAX, conversions: target.conversions }));
        }
        self.late = LateFilter::new(meta.latest_conversion);
        self.stale_conversions = target.conversions;
        self.meta = meta;
        let replay = Replay { target, skip: aside.into_iter().collect(), dead_letters_end, replayed: 0 };
        observer.notice(Moment::ReplayStarted { partition: self.number, left: self.left(&replay) });
        self.phase = Phase::Replaying(replay);
        Ok(())
    }

    fn left(&self, replay: &Replay) -> u64 {
        let next = self.intake.next();
        let left = |input| (*replay.target.get(input) - *next.get(input)).max(0);
        Input::ALL.into_iter().map(left).sum::<Offset>().unsigned_abs()
    }

    /// Applies the next batch of the replay, or goes live when every input has arrived. Returns whether there was
    /// anything to do.
    pub fn replay(
        &mut self,
        log: &mut impl TopicLog,
        engine: &mut Engine,
        limit: Limit,
        now: Millis,
        observer: &mut impl Observer,
    ) -> Result<bool, Error> {
        self.read(log, limit)?;
        let Phase::Replaying(replay) = &mut self.phase else {
            return Ok(false);
        };
        let skip = std::mem::take(&mut replay.skip);
        let prepared = self.prepare(log, engine, limit, now, Mode::Replay(&skip), observer)?;
        let Phase::Replaying(replay) = &mut self.phase else {
            return Ok(false);
        };
        replay.skip = skip;
        if prepared {
            replay.replayed += self.prepared.taken as u64;
            self.write(log, true, observer)?;
        }
        let Phase::Replaying(replay) = &self.phase else {
            return Ok(true);
        };
        let left = self.left(replay);
        if left > 0 || self.intake.is_unproved() {
            observer.notice(Moment::Replaying { partition: self.number, left });
            return Ok(prepared);
        }
        observer.notice(Moment::Live { partition: self.number, replayed: replay.replayed });
        self.meta.dead_letters = replay.dead_letters_end;
        self.intake.hold_from(None);
        self.phase = Phase::Live;
        Ok(true)
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
        self.read(log, limit)?;
        self.prepare(log, engine, limit, now, Mode::Live, observer)
    }

    fn read(&mut self, log: &mut impl TopicLog, limit: Limit) -> Result<(), Error> {
        match self.intake.fill(log, self.number, limit)? {
            None => Ok(()),
            Some(differs) => {
                let refusal = Refusal::RecordDiffers { input: differs.input, offset: differs.offset };
                Err(Error::Refused(format!("partition {}: {refusal}", self.number)))
            }
        }
    }

    fn prepare(
        &mut self,
        log: &impl TopicLog,
        engine: &mut Engine,
        limit: Limit,
        now: Millis,
        mode: Mode<'_>,
        observer: &mut impl Observer,
    ) -> Result<bool, Error> {
        let partition = self.number;
        let Self { store, intake, late, log: identity, prepared, most, .. } = self;
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
                    if prepared.giant {
                        observer.notice(Moment::Giant { partition });
                    }
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
                    observer.notice(Moment::RegistryUnreachable { partition, why: &why });
                    return Ok(false);
                }
                Err(Trouble::Fatal(why)) => return Err(Error::Fatal(format!("partition {partition}: {why}"))),
            }
        }
    }

    /// The offsets that a transaction over the prepared batch commits (those of now, when there is none).
    pub fn offsets(&self, engine: &Engine) -> PartitionOffsets {
        let meta = self.prepared.advance(&self.meta, &self.intake);
        let mut next = meta.applied;
        if engine.planted.is(Bug::OffsetsLeftOut) {
            next.conversions = self.stale_conversions;
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
            let Self { store, intake, late, log: identity, prepared, .. } = &mut *self;
            let view = store.view();
            let source = Source { intake, view: &view, late, partition, partitions: identity.partitions };
            let outcome = prepared.apply_giant(engine, &source, &mut |key, value| row(log, key, value));
            outcome.map_err(|error| match error {
                apply::Error::Log(error) => error,
                other => topics::Error::Fatal(format!("partition {partition}: {other}")),
            })?;
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

    /// Writes the prepared batch, with the offsets it covers, and moves on. Called when its transaction has committed,
    /// or when it is a replay.
    pub fn write(&mut self, log: &impl TopicLog, suppressed: bool, observer: &mut impl Observer) -> Result<(), Error> {
        let meta = self.prepared.advance(&self.meta, &self.intake);
        self.prepared.batch.set_meta(&meta.encode());
        self.store.write(&mut self.prepared.batch)?;
        self.meta = meta;
        self.prepared.teach(&mut self.late);
        self.report(log, suppressed, observer);
        self.intake.consume(self.prepared.taken);
        self.prepared.taken = 0;
        Ok(())
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

    /// Remembers what a committed transaction told.
    pub fn committed(&mut self, dead_letters_next: Option<Offset>, now: Millis) {
        self.committed_at = now;
        if let Some(next) = dead_letters_next {
            self.meta.dead_letters = self.meta.dead_letters.max(next);
        }
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
