//! One seed: the scheduler that lets producers, workers, the group and fate take their turns, and the peace at the end in
//! which everything must come out even.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tributary::core::Millis;
use tributary::store::{self, Budget};
use tributary::stream::Planted;
use tributary::topics::embedded::{Broker, Cleaning, NewRecord, Place, Settings, Topic};
use tributary::topics::{Input, PerInput};

use crate::check;
use crate::dice::Dice;
use crate::events::Producers;
use crate::plan::{Plan, START};
use crate::process::{Process, Turned};
use crate::sealing;
use crate::situations::{Met, Situation};
use crate::stage::{Scene, Stage, applied};

/// How many rounds of turns the peace may last.
const ROUNDS: usize = 400;

/// How far apart the records of a backlog lie, a few at a time, in milliseconds.
const BETWEEN: Millis = 20_000;

/// What a seed came to.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// The hash of everything that happened.
    pub hash: u64,
    /// What it met.
    pub met: Met,
    /// Records written.
    pub records: usize,
}

/// Why a seed failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Which law is broken.
    pub what: String,
    /// The last of what happened.
    pub trace: String,
}

/// Runs a seed with a planted bug, or with none.
pub fn run(seed: u64, planted: Planted) -> Result<Summary, Failure> {
    let plan = Plan::new(seed);
    let mut world = World::new(plan, planted);
    let outcome = world.live().and_then(|()| world.peace());
    world.processes.iter_mut().for_each(Process::bury);
    let stage = world.scene.borrow();
    match outcome.and(stage.violation.clone().map_or(Ok(()), Err)) {
        Ok(()) => Ok(Summary { hash: stage.trace.hash(), met: stage.met, records: world.produced }),
        Err(what) => Err(Failure { seed, what, trace: stage.trace.tail() }),
    }
}

/// The world of a seed.
pub struct World {
    plan: Plan,
    scene: Scene,
    broker: Arc<Broker>,
    dice: Dice,
    producers: Producers,
    processes: Vec<Process>,
    produced: usize,
}

#[derive(Clone, Copy)]
enum Act {
    Produce,
    Turn,
    Move,
    Stop,
    Start,
    Flush,
    Jump,
    LoseDisk,
    Upkeep,
    Registry,
}

impl World {
    fn new(plan: Plan, planted: Planted) -> Self {
        sealing::begin(plan.seed);
        let settings = Settings {
            sync: false,
            cluster: Some("simulation".into()),
            seal: sealing::keks(&plan, 1),
            ..Settings::new(plan.partitions.try_into().unwrap())
        };
        let place = Place::Memory(rocksdb::Env::mem_env().unwrap());
        let broker = Broker::open(&place, &settings).unwrap();
        let scene = Stage::new(&plan, Arc::clone(&broker));
        let budget = Budget { lose_unflushed_on_close: true, ..Budget::default() };
        let shared = store::Shared::in_memory(&budget).unwrap();
        let process = |number| Process::new(number, &scene, &shared, planted);
        let processes = (0..plan.processes.len()).map(process).collect();
        let dice = Dice::new(plan.seed, 3);
        Self { producers: Producers::new(&plan), scene, broker, dice, processes, produced: 0, plan }
    }

    /// The life of the world: everything that may happen.
    fn live(&mut self) -> Result<(), String> {
        self.scene.borrow_mut().trace.say(format!("{:?}", self.plan));
        while self.produced < self.plan.backlog {
            self.scene.borrow().pass(BETWEEN);
            self.produce();
        }
        self.processes.iter_mut().for_each(Process::start);
        self.broker.spread().unwrap();
        let weights = self.plan.weights;
        let acts = [
            (weights.produce, Act::Produce),
            (weights.turn, Act::Turn),
            (weights.move_partition, Act::Move),
            (weights.stop, Act::Stop),
            (weights.start, Act::Start),
            (weights.flush, Act::Flush),
            (weights.jump, Act::Jump),
            (weights.lose_disk, Act::LoseDisk),
            (weights.upkeep, Act::Upkeep),
            (weights.registry, Act::Registry),
        ];
        while self.produced < self.plan.events {
            let act = self.dice.weighted(&acts);
            self.act(act);
            self.verdict()?;
        }
        Ok(())
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Produce => self.produce(),
            Act::Turn => self.turn(),
            Act::Move => self.move_partition(),
            Act::Stop => self.stop(),
            Act::Start => self.start(),
            Act::Flush => self.flush(),
            Act::Jump => self.jump(),
            Act::LoseDisk => self.lose_disk(),
            Act::Upkeep => self.upkeep(),
            Act::Registry => {
                self.scene.borrow().registry.fetch_not(Ordering::Relaxed);
            }
        }
    }

    fn verdict(&self) -> Result<(), String> {
        let stage = self.scene.borrow();
        stage.violation.clone().map_or(Ok(()), Err)?;
        stage.ledger.nothing_else()
    }

    fn produce(&mut self) {
        let now = self.scene.borrow().now();
        let most = self.dice.weighted(&[(4, 3), (1, 30)]);
        let count = 1 + self.dice.index(most);
        for _ in 0..count {
            let written = self.producers.next(&mut self.dice, now);
            let misplaced = self.dice.chance(self.plan.misplaced);
            let partition = match &written.key {
                Some(key) if !misplaced => self.broker.partition_of(key),
                _ => self.dice.below(u64::from(self.plan.partitions)) as u32,
            };
            let record = NewRecord {
                partition,
                key: written.key.as_deref(),
                value: written.value.as_deref(),
                headers: &[("source", b"simulation")],
                timestamp: written.logged_at,
            };
            let positions = self.broker.append(written.input, &[record]).unwrap();
            let mut stage = self.scene.borrow_mut();
            let book = stage.ledger.book_mut(partition);
            assert_eq!(positions, [(partition, book.end(written.input))]);
            book.written.get_mut(written.input).push(written);
            self.produced += 1;
        }
        self.scene.borrow_mut().trace.say(format!("{count} records are written"));
    }

    fn workers(&self) -> Vec<(usize, usize)> {
        let of = |(number, process): (usize, &Process)| (0..process.workers()).map(move |worker| (number, worker));
        self.processes.iter().enumerate().flat_map(of).collect()
    }

    fn turn(&mut self) {
        let workers = self.workers();
        if workers.is_empty() {
            return self.start();
        }
        let (process, worker) = *self.dice.pick(&workers);
        let pass = self.dice.between(0, 30);
        self.scene.borrow().pass(pass);
        self.turn_of(process, worker);
    }

    fn turn_of(&mut self, process: usize, worker: usize) {
        if let Turned::On(live) = self.processes[process].turn(worker) {
            for partition in live {
                self.scene.borrow_mut().lost_disk[process] = false;
                let checked =
                    check::state(&mut self.scene.borrow_mut(), &self.processes[process].partitions, partition);
                if let Err(what) = checked {
                    self.scene.borrow_mut().violate(what);
                }
            }
        }
    }

    /// Orphans first; else any partition goes to anyone, as planned or at once.
    fn move_partition(&mut self) {
        let workers = self.workers();
        if workers.is_empty() {
            return;
        }
        let (process, worker) = *self.dice.pick(&workers);
        let name = self.processes[process].name(worker);
        let owners = self.broker.owners();
        let orphan = owners.iter().position(Option::is_none);
        let partition = orphan.unwrap_or_else(|| self.dice.index(owners.len())) as u32;
        let planned = orphan.is_none() && self.dice.chance(500);
        if planned {
            self.broker.hand_over(partition, &name).unwrap();
            self.scene.borrow_mut().meet(Situation::HandedOver);
        } else {
            self.broker.assign(partition, &name).unwrap();
        }
        let how = if planned { "is handed over" } else { "is given" };
        self.scene.borrow_mut().trace.say(format!("p{partition} {how} to {name}"));
    }

    fn stop(&mut self) {
        let number = self.dice.index(self.processes.len());
        if !self.processes[number].is_up() {
            return;
        }
        if self.dice.chance(300) {
            self.processes[number].stop();
        } else {
            self.processes[number].die();
        }
    }

    fn start(&mut self) {
        let down: Vec<usize> = (0..self.processes.len()).filter(|number| !self.processes[*number].is_up()).collect();
        if down.is_empty() {
            return;
        }
        let number = *self.dice.pick(&down);
        self.processes[number].start();
        if self.dice.chance(700) {
            self.broker.spread().unwrap();
            self.scene.borrow_mut().trace.say("the group is spread".into());
        }
    }

    fn flush(&mut self) {
        let number = self.dice.index(self.processes.len());
        let partition = self.dice.below(u64::from(self.plan.partitions)) as u32;
        self.processes[number].flush(partition);
    }

    fn jump(&mut self) {
        let millis = *self.dice.pick(&[250, 5_000, 12 * 3_600_000]);
        self.scene.borrow().pass(millis);
        self.scene.borrow_mut().trace.say(format!("{millis} ms pass"));
    }

    fn lose_disk(&mut self) {
        let number = self.dice.index(self.processes.len());
        if !self.processes[number].is_up() {
            self.processes[number].lose_disk();
        }
    }

    /// Compacts the output a little; trims what every folder holds durably, where there is one folder only.
    fn upkeep(&mut self) {
        let records = 1 + self.dice.index(40);
        let forget_before: Millis = if self.dice.chance(500) { START } else { Millis::MAX };
        if self.broker.clean(Cleaning { records, forget_before }).unwrap() {
            self.scene.borrow_mut().meet(Situation::Compacted);
        }
        for (_, open) in self.processes.iter().flat_map(|process| process.partitions.all()) {
            open.compact_resealed().unwrap();
        }
        if !self.plan.trims {
            return;
        }
        for (number, open) in self.processes[0].partitions.all() {
            let Some(durable) = open.durable_meta().unwrap() else {
                continue;
            };
            let durable = tributary::stream::meta::Meta::decode(&durable).unwrap();
            for input in Input::ALL {
                let start = self.broker.trim(input, number, *durable.applied.get(input) - 1).unwrap();
                if start > 0 {
                    let mut stage = self.scene.borrow_mut();
                    stage.trimmed[number as usize] = true;
                    stage.meet(Situation::Trimmed);
                }
            }
            self.broker.trim(Topic::DeadLetter, number, durable.dead_letters).unwrap();
        }
    }

    /// Faults end, everybody lives: everything must drain, and then be right.
    fn peace(&mut self) -> Result<(), String> {
        self.scene.borrow_mut().calm = true;
        self.scene.borrow().registry.store(true, Ordering::Relaxed);
        self.scene.borrow_mut().trace.say("peace".into());
        for number in 0..self.processes.len() {
            if !self.processes[number].is_up() {
                self.processes[number].start();
            }
        }
        self.drain()?;
        check::end(&self.scene)?;
        for partition in 0..self.plan.partitions {
            self.check_owner(partition)?;
        }
        if self.plan.seed.is_multiple_of(4) { self.once_more() } else { Ok(()) }
    }

    /// A restart after the end says nothing: nothing has changed.
    fn once_more(&mut self) -> Result<(), String> {
        let ends = self.broker.ends(Topic::Attributions);
        for process in &mut self.processes {
            if self.dice.chance(500) {
                process.stop()
            } else {
                process.die()
            }
            process.start();
        }
        self.drain()?;
        if self.broker.ends(Topic::Attributions) != ends {
            return Err("rows are written after a restart although nothing changed".into());
        }
        (0..self.plan.partitions).try_for_each(|partition| self.check_owner(partition))
    }

    fn drain(&mut self) -> Result<(), String> {
        for round in 0..ROUNDS {
            if round % 4 == 0 {
                self.broker.spread().unwrap();
            }
            self.scene.borrow().pass(45);
            for (process, worker) in self.workers() {
                self.turn_of(process, worker);
            }
            self.verdict()?;
            if round > 3 && self.waits_for().is_none() {
                return Ok(());
            }
        }
        Err(format!("does not come to rest: {}", self.waits_for().unwrap_or_default()))
    }

    fn waits_for(&self) -> Option<String> {
        let owners = self.broker.owners();
        let stage = self.scene.borrow();
        (0..self.plan.partitions).find_map(|partition| {
            let book = stage.ledger.book(partition);
            let ends = PerInput::from_fn(|input| book.end(input));
            if book.committed != ends {
                return Some(format!(
                    "partition {partition} of {owners:?} is committed to {:?} of {ends:?}",
                    book.committed
                ));
            }
            let owner = self.owner(partition);
            owner.is_none().then(|| format!("partition {partition} is live nowhere, assigned {owners:?}"))
        })
    }

    /// The process that answers a partition live, if it is the one whom the group gave it to.
    fn owner(&self, partition: u32) -> Option<usize> {
        let owners = self.broker.owners();
        let name = owners.get(partition as usize)?.as_deref()?;
        self.workers().into_iter().find_map(|(process, worker)| {
            let of = &self.processes[process];
            (of.name(worker) == name && of.live(worker).contains(&partition)).then_some(process)
        })
    }

    fn check_owner(&self, partition: u32) -> Result<(), String> {
        let owner = self.owner(partition).ok_or("nobody owns a partition")?;
        let partitions = &self.processes[owner].partitions;
        let open = partitions.get(partition).ok_or("the state of a live partition is not open")?;
        let mut stage = self.scene.borrow_mut();
        let ends = PerInput::from_fn(|input| stage.ledger.book(partition).end(input));
        if applied(&open).is_some_and(|applied| applied != ends) {
            return Err(format!("partition {partition} has applied {:?} of {ends:?}", applied(&open)));
        }
        check::state(&mut stage, partitions, partition)
    }
}
