//! From assigned to live: a partition is judged, replayed up to the committed offsets, and only then answered.

use super::late::LateFilter;
use super::meta::Meta;
use super::observe::{Moment, Observer};
use super::partition::{Owned, Phase, Replay};
use super::planted::Bug;
use super::prepare::{Engine, Mode};
use super::taking::{self, Evidence, Refusal};
use super::worker::Error;
use crate::core::Millis;
use crate::topics::{self, Input, Limit, Offset, PerInput, TopicLog};

/// How long the group's offsets may be missing before the state is refused, in milliseconds: a coordinator that has just
/// moved may answer "none" for a moment.
const OFFSETS_PATIENCE: Millis = 10_000;

impl Owned {
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
        if let Err(error) = self.read(log, limit) {
            return self.overtaken(log).and_then(|overtaken| if overtaken { Ok(true) } else { Err(error) });
        }
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

    /// Whether retention has passed what was to be read since the partition was judged; then it is judged again.
    pub(super) fn overtaken(&mut self, log: &mut impl TopicLog) -> Result<bool, Error> {
        for input in Input::ALL {
            if log.bounds(self.number, input)?.start > self.intake.reads_from(input) {
                self.retake();
                return Ok(true);
            }
        }
        Ok(false)
    }
}
