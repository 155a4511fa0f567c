//! The observer of a worker: notes what came about, and lets the process die between the engine's own steps.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;

use tributary::core::Millis;
use tributary::store;
use tributary::stream::{BatchReport, Moment, Observer};
use tributary::topics::{Error, Input, Offset, PerInput};

use crate::events::Meaning;
use crate::situations::Situation;
use crate::stage::{Scene, Who, applied};

/// An input with more records than this to read is waited for.
const FAR: Offset = 1_000;
/// For how long, in milliseconds.
const PATIENCE: Millis = 200;
/// How much earlier than its predecessor a record may be logged, in milliseconds.
const BACKDATED: Millis = 5_000;

/// What a dying process unwinds with.
pub struct Death;

/// What a worker's log, its observer and the world know of it together.
#[derive(Debug, Default)]
pub struct Life {
    /// Whether its process has died.
    pub dead: Cell<bool>,
    /// The partition whose giant is prepared.
    pub giant: Cell<Option<u32>>,
    /// Partitions of the last commit that have yet to be written.
    pub unwritten: Cell<usize>,
    /// Partitions whose flush began in this turn.
    pub flushed: RefCell<Vec<u32>>,
    /// Partitions that went live in this turn.
    pub went_live: RefCell<Vec<u32>>,
    /// How many records a partition has read and not used.
    pub read: RefCell<BTreeMap<u32, usize>>,
    /// What comes after the last record that was read of an input, and when that was.
    pub fetched: RefCell<BTreeMap<(u32, Input), (Offset, Millis)>>,
}

#[derive(Default)]
struct Replay {
    records: PerInput<u64>,
    batches: u64,
    skips: bool,
    skips_panic: bool,
}

/// The observer of one worker.
pub struct Watcher {
    scene: Scene,
    who: Who,
    partitions: Arc<store::Partitions>,
    life: Rc<Life>,
    replays: BTreeMap<u32, Replay>,
    /// Partitions that have said that they wait for the registry.
    waiting: BTreeSet<u32>,
}

impl Watcher {
    /// The observer of `who`.
    pub fn new(scene: Scene, who: Who, partitions: Arc<store::Partitions>, life: Rc<Life>) -> Self {
        Self { scene, who, partitions, life, replays: BTreeMap::new(), waiting: BTreeSet::new() }
    }

    fn meet(&self, situation: Situation) {
        self.scene.borrow_mut().meet(situation);
    }

    fn say(&self, what: String) {
        self.scene.borrow_mut().say(self.who, what);
    }

    fn may_die(&self, situation: Situation) {
        if self.scene.borrow_mut().strikes(|faults| faults.crash * 2) {
            self.meet(situation);
            self.say(format!("dies: {}", situation.text()));
            self.life.dead.set(true);
            resume_unwind(Box::new(Death));
        }
    }

    fn replay_starts(&mut self, partition: u32, left: u64) {
        let applied = self.partitions.get(partition).and_then(|open| applied(&open));
        let mut stage = self.scene.borrow_mut();
        let stage = &mut *stage;
        stage.say(self.who, format!("p{partition}: {left} to replay, applied {applied:?}"));
        let mut replay = Replay::default();
        if left > 0 {
            let book = stage.ledger.book(partition);
            let other = stage.last_owner[partition as usize] != Some(self.who.0);
            let lost = stage.lost_disk[self.who.0];
            for input in Input::ALL {
                let from = applied.map_or(0, |applied| *applied.get(input));
                for offset in from..*book.committed.get(input) {
                    replay.skips |= book.is_aside(input, offset);
                    replay.skips_panic |= book.written.get(input)[offset as usize].meaning == Meaning::Bad("panic");
                }
            }
            let met = [
                (Situation::DiskLost, applied.is_none() && lost),
                (Situation::EmptyFolder, applied.is_none() && other && !lost),
                (Situation::OlderFolder, applied.is_some() && other),
                (Situation::ReadAfterTrim, stage.trimmed[partition as usize]),
            ];
            met.into_iter().filter(|(_, met)| *met).for_each(|(situation, _)| stage.met.meet(situation));
        }
        self.replays.insert(partition, replay);
    }

    fn live(&mut self, partition: u32, replayed: u64) {
        self.say(format!("p{partition}: live, {replayed} replayed"));
        self.life.went_live.borrow_mut().push(partition);
        let Some(replay) = self.replays.remove(&partition) else {
            return;
        };
        let met = [
            (Situation::ReplayOfBoth, replay.records.touchpoints > 0 && replay.records.conversions > 0),
            (Situation::ReplayInSteps, replay.batches > 1),
            (Situation::ReplaySkips, replay.skips),
            (Situation::PanicReplayed, replay.skips_panic),
        ];
        met.into_iter().filter(|(_, met)| *met).for_each(|(situation, _)| self.meet(situation));
    }

    /// While an input is far behind, nothing of the other is answered that was logged after what comes next of it.
    fn in_order(&self, report: &BatchReport) {
        let mut stage = self.scene.borrow_mut();
        let (now, stage) = (stage.now(), &mut *stage);
        let book = stage.ledger.book(report.partition);
        let fetched = |input| self.life.fetched.borrow().get(&(report.partition, input)).copied().unwrap_or_default();
        for (ahead, behind) in [Input::ALL, [Input::Conversions, Input::Touchpoints]].map(|[a, b]| (a, b)) {
            let (next, applied) = (*report.applied.get(behind), *report.applied.get(ahead));
            if report.ends.get(behind).is_none_or(|end| end - next <= FAR) {
                continue;
            }
            if fetched(ahead).0 > applied && fetched(behind).0 == next {
                stage.met.meet(Situation::HeldBack);
            }
            // What is behind is waited for, but not for ever.
            if now - fetched(behind).1 >= PATIENCE || *report.records.get(ahead) == 0 {
                continue;
            }
            let last = book.written.get(ahead)[applied as usize - 1].logged_at;
            let waiting = book.written.get(behind)[next as usize].logged_at;
            if last > waiting + BACKDATED {
                let (ahead, behind) = (ahead.name(), behind.name());
                return stage
                    .violate(format!("{ahead} of {last} are answered while {behind} of {waiting} lie far behind"));
            }
        }
    }

    fn batch(&mut self, report: &BatchReport) {
        let records = report.records.touchpoints + report.records.conversions;
        let line = format!(
            "p{}: {} {records} records, applied [{} {}]",
            report.partition,
            if report.suppressed { "replays" } else { "writes" },
            report.applied.touchpoints,
            report.applied.conversions
        );
        self.say(line);
        if self.waiting.contains(&report.partition) {
            let what = format!("p{} writes and still says that it waits for the registry", report.partition);
            self.scene.borrow_mut().violate(what);
        }
        let read = self.life.read.borrow_mut().remove(&report.partition).unwrap_or(0);
        let left = read.saturating_sub(records as usize);
        self.life.read.borrow_mut().insert(report.partition, left);
        if report.suppressed {
            if let Some(replay) = self.replays.get_mut(&report.partition) {
                replay.batches += 1;
                replay.records.touchpoints += report.records.touchpoints;
                replay.records.conversions += report.records.conversions;
            }
            self.may_die(Situation::CrashInReplay);
            return;
        }
        self.in_order(report);
        let most = self.scene.borrow().plan.batch.records;
        let counts = report.counts;
        let met = [
            (Situation::Halved, records as usize + 1 < read.min(most)),
            (Situation::AdjustedBefore, counts.waiting < 0),
            (Situation::ConflictingTouchpoint, counts.conflicting_touchpoints > 0),
            (Situation::ConflictingConversion, counts.conflicting_conversions > 0),
            (Situation::ConflictingAdjustment, counts.conflicting_adjustments > 0),
            (Situation::Duplicate, counts.duplicates > 0),
            (Situation::Late, counts.late > 0 && counts.upserts > 0 && report.records.conversions == 0),
            (Situation::Misplaced, report.misplaced > 0),
        ];
        met.into_iter().filter(|(_, met)| *met).for_each(|(situation, _)| self.meet(situation));
        let unwritten = self.life.unwritten.get().saturating_sub(1);
        self.life.unwritten.set(unwritten);
        self.may_die(if unwritten > 0 { Situation::CrashBetweenWrites } else { Situation::CrashAfterWrite });
    }
}

impl Observer for Watcher {
    fn notice(&mut self, moment: Moment<'_>) {
        match moment {
            Moment::Gained { partition } => {
                self.say(format!("p{partition}: gained"));
                if self.partitions.get(partition).is_some() {
                    self.meet(Situation::FolderBusy);
                }
            }
            Moment::Lost { partition } => {
                self.say(format!("p{partition}: lost"));
                self.waiting.remove(&partition);
                if self.replays.remove(&partition).is_some() {
                    self.meet(Situation::MovedInReplay);
                }
            }
            Moment::ReplayStarted { partition, left } => self.replay_starts(partition, left),
            Moment::Live { partition, replayed } => self.live(partition, replayed),
            Moment::Batch(report) => self.batch(report),
            Moment::Panicked { partition, records } => {
                self.say(format!("p{partition}: a panic among {records}"));
                if records > 1 {
                    self.meet(Situation::Panicked);
                }
            }
            Moment::SetAside { fault, .. } if fault.reason == "while its rows were produced" => {
                self.meet(Situation::GiantPanicked);
            }
            Moment::Giant { partition } => self.life.giant.set(Some(partition)),
            Moment::Failed(Error::Unreachable(_)) => {}
            Moment::Failed(error) => self.say(format!("takes again: {error}")),
            Moment::Flushed { partition } => {
                self.life.flushed.borrow_mut().push(partition);
                self.meet(Situation::FlushedByAge);
            }
            Moment::RegistryUnreachable { partition, .. } => {
                self.waiting.insert(partition);
                self.meet(Situation::RegistryUnreachable);
            }
            Moment::RegistryReachable { partition } => drop(self.waiting.remove(&partition)),
            Moment::Refused { partition, refusal } => self.say(format!("p{partition}: refused: {refusal}")),
            _ => {}
        }
    }

    fn tick(&mut self, _in_log_call: bool) {}
}
