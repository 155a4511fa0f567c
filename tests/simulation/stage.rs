//! What the actors of one seed share: the chance of faults, the books, the trace, what was met, the first violation.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tributary::core::Millis;
use tributary::store;
use tributary::stream::meta::Meta;
use tributary::topics::embedded::Broker;
use tributary::topics::{Input, Offset, PerInput};

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::plan::{Faults, Plan, START};
use crate::situations::{Met, Situation};
use crate::trace::Trace;

/// A worker, by process and number within it.
pub type Who = (usize, usize);

/// The shared part of one seed's world.
pub struct Stage {
    /// What the seed drew.
    pub plan: Plan,
    /// The log.
    pub broker: Arc<Broker>,
    /// The books.
    pub ledger: Ledger,
    /// Chance of faults.
    pub dice: Dice,
    /// What happened.
    pub trace: Trace,
    /// What came about.
    pub met: Met,
    /// Whether faults are over.
    pub calm: bool,
    /// The first violation.
    pub violation: Option<String>,
    /// Who has an undecided transaction over a partition.
    pub undecided: BTreeMap<u32, Who>,
    /// The process that committed last for each partition.
    pub last_owner: Vec<Option<usize>>,
    /// The processes whose disk was lost since they last answered a partition.
    pub lost_disk: Vec<bool>,
    /// Partitions whose input was trimmed.
    pub trimmed: Vec<bool>,
    /// Whether the schema registry answers.
    pub registry: Arc<AtomicBool>,
    clock: Arc<AtomicI64>,
}

/// A handle of it.
pub type Scene = Rc<RefCell<Stage>>;

impl Stage {
    /// The stage of a seed.
    pub fn new(plan: &Plan, broker: Arc<Broker>) -> Scene {
        let partitions = plan.partitions as usize;
        Rc::new(RefCell::new(Self {
            ledger: Ledger::new(Arc::clone(&broker), plan),
            dice: Dice::new(plan.seed, 2),
            trace: Trace::default(),
            met: Met::default(),
            calm: false,
            violation: None,
            undecided: BTreeMap::new(),
            last_owner: vec![None; partitions],
            lost_disk: vec![false; plan.processes.len()],
            trimmed: vec![false; partitions],
            registry: Arc::new(AtomicBool::new(true)),
            clock: Arc::new(AtomicI64::new(START)),
            plan: plan.clone(),
            broker,
        }))
    }

    /// The clock, for workers.
    pub fn clock(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.clock)
    }

    /// The time.
    pub fn now(&self) -> Millis {
        self.clock.load(Ordering::Relaxed)
    }

    /// Lets time pass.
    pub fn pass(&self, millis: Millis) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    /// Adds a line to the trace.
    pub fn say(&mut self, who: Who, what: String) {
        let line = format!("{} w{}{} {what}", self.now() - START, who.0, ["a", "b", "c"][who.1]);
        self.trace.say(line);
    }

    /// A situation has come about.
    pub fn meet(&mut self, situation: Situation) {
        self.met.meet(situation);
    }

    /// A law is broken; the first time counts.
    pub fn violate(&mut self, what: String) {
        self.trace.say(format!("VIOLATION {what}"));
        self.violation.get_or_insert(what);
    }

    /// Whether a fault with this chance strikes now.
    pub fn strikes(&mut self, per_mille: impl Fn(&Faults) -> u64) -> bool {
        !self.calm && self.dice.chance(per_mille(&self.plan.faults))
    }

    /// The state is never ahead of what is committed.
    pub fn never_ahead(&mut self, partitions: &store::Partitions) {
        for (number, partition) in partitions.all() {
            let Some(applied) = applied(&partition) else { continue };
            let committed = self.ledger.book(number).committed;
            for input in Input::ALL {
                if applied.get(input) > committed.get(input) {
                    self.violate(format!(
                        "partition {number}: the state has applied {} up to {}, beyond the committed offset {}",
                        input.name(),
                        applied.get(input),
                        committed.get(input)
                    ));
                }
            }
        }
    }
}

/// What a state has applied.
pub fn applied(partition: &store::Partition) -> Option<PerInput<Offset>> {
    let meta = partition.view().meta().unwrap()?;
    Some(Meta::decode(&meta).unwrap().applied)
}
