//! A process of the world: its folder, its workers, how it starts, stops and dies.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tributary::store;
use tributary::stream::decode::Decoder;
use tributary::stream::{Engine, Options, Parts, Planted, Worker};

use crate::log::SimLog;
use crate::plan::Plan;
use crate::sealing;
use crate::situations::Situation;
use crate::stage::{Scene, applied};
use crate::watcher::{Death, Life, Watcher};
use crate::wire;

struct Running {
    worker: Worker<SimLog, Watcher>,
    life: Rc<Life>,
}

/// How a turn ended.
pub enum Turned {
    /// It goes on; these partitions went live.
    On(Vec<u32>),
    /// Its process died.
    Died,
}

/// A process.
pub struct Process {
    number: usize,
    count: usize,
    scene: Scene,
    shared: store::Shared,
    /// How many disks it has lost.
    disks: u32,
    planted: Planted,
    /// How many keys it has had; each start may bring another.
    keys: u8,
    /// The states of it that are to be sealed anew.
    resealing: Vec<u32>,
    /// The states it has open.
    pub partitions: Arc<store::Partitions>,
    workers: Vec<Running>,
}

impl Process {
    /// A process that is down, with an empty disk.
    pub fn new(number: usize, scene: &Scene, shared: &store::Shared, planted: Planted) -> Self {
        let count = scene.borrow().plan.processes[number];
        let partitions = Arc::new(store::Partitions::new());
        let (scene, shared) = (Rc::clone(scene), shared.clone());
        Self {
            number,
            count,
            scene,
            shared,
            disks: 0,
            planted,
            keys: 1,
            resealing: Vec::new(),
            partitions,
            workers: Vec::new(),
        }
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        !self.workers.is_empty()
    }

    /// How many workers run in it.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The name of one of its workers in the group.
    pub fn name(&self, worker: usize) -> String {
        format!("w{}{}", self.number, ["a", "b", "c"][worker])
    }

    /// Starts it, with the disk that it has.
    pub fn start(&mut self) {
        self.partitions = Arc::new(store::Partitions::new());
        let shared = Arc::new(self.bring_keys());
        for number in 0..self.count {
            let (plan, clock, broker, registry) = {
                let mut stage = self.scene.borrow_mut();
                stage.say((self.number, number), "starts".into());
                (stage.plan.clone(), stage.clock(), Arc::clone(&stage.broker), Arc::clone(&stage.registry))
            };
            let life = Rc::new(Life::default());
            let who = (self.number, number);
            let of = || (Rc::clone(&self.scene), who, Arc::clone(&self.partitions), Rc::clone(&life));
            let (scene, who, partitions, shared_life) = of();
            let log = SimLog::new(broker.join(&self.name(number)), scene, who, partitions, shared_life);
            let (scene, who, partitions, shared_life) = of();
            let watcher = Watcher::new(scene, who, partitions, shared_life);
            let parts = Parts {
                shared: Arc::clone(&shared),
                partitions: Arc::clone(&self.partitions),
                clock: Arc::new(move || AtomicI64::load(&clock, Ordering::Relaxed)),
            };
            let worker = Worker::new(log, engine(&plan, registry, self.planted), self.options(&plan), parts, watcher);
            self.workers.push(Running { worker, life });
        }
    }

    /// The keys that its states are sealed under, now and then a new one among them.
    fn bring_keys(&mut self) -> store::Shared {
        let mut stage = self.scene.borrow_mut();
        if stage.plan.sealed && stage.dice.chance(300) {
            self.keys += 1;
            stage.say((self.number, 0), format!("has key {}", self.keys));
        }
        match sealing::keks(&stage.plan, self.keys) {
            Some(keks) => self.shared.clone().sealed(keks),
            None => self.shared.clone(),
        }
    }

    /// Notices when a state has been sealed anew.
    fn watch_keys(&mut self) {
        let (left, done): (Vec<_>, Vec<_>) =
            self.partitions.all().into_iter().partition(|(_, open)| open.is_resealing());
        if done.iter().any(|(number, _)| self.resealing.contains(number)) {
            self.scene.borrow_mut().meet(Situation::Resealed);
        }
        self.resealing = left.into_iter().map(|(number, _)| number).collect();
    }

    fn options(&self, plan: &Plan) -> Options {
        Options {
            dir: PathBuf::from(format!("/process-{}/disk-{}", self.number, self.disks)),
            batch: plan.batch,
            batch_latency: plan.batch_latency,
            flush_interval: plan.flush_interval,
            offsets_keepalive: plan.offsets_keepalive,
            dead_letter_bytes: plan.dead_letter_bytes,
            transaction_timeout: i64::MAX,
            read_for: 60_000,
        }
    }

    /// Lets a worker take a turn.
    pub fn turn(&mut self, number: usize) -> Turned {
        let Some(Running { worker, life }) = self.workers.get_mut(number) else {
            return Turned::On(Vec::new());
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.turn(Duration::ZERO)));
        match outcome {
            _ if life.dead.get() => {
                self.die();
                return Turned::Died;
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => self.scene.borrow_mut().violate(format!("worker {} ends: {error}", self.name(number))),
            Err(panic) if panic.is::<Death>() => {}
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                self.scene.borrow_mut().violate(format!("worker {} panics: {text:?}", self.name(number)));
            }
        }
        self.scene.borrow_mut().never_ahead(&self.partitions);
        self.watch_keys();
        let Some(Running { life, .. }) = self.workers.get(number) else {
            return Turned::Died;
        };
        // The engine only starts a flush; whether it has ended when the process dies must not be left to chance.
        for partition in life.flushed.take() {
            if let Some(open) = self.partitions.get(partition) {
                open.flush().unwrap();
            }
        }
        let live = life.went_live.take();
        if self.partitions.all().len() < live.len() {
            self.scene.borrow_mut().violate("a live partition is not open".into());
        }
        Turned::On(live)
    }

    /// Puts the memory of one partition on disk.
    pub fn flush(&self, partition: u32) {
        if let Some(open) = self.partitions.get(partition) {
            open.flush().unwrap();
        }
    }

    /// It dies: what is only in memory is lost.
    pub fn die(&mut self) {
        let keep = self.scene.borrow_mut().dice.chance(250);
        for (number, open) in self.partitions.all() {
            if keep {
                open.flush().unwrap();
            }
            let durable = open.durable_meta().unwrap();
            let memory = open.view().meta().unwrap();
            let mut stage = self.scene.borrow_mut();
            if durable != memory {
                stage.meet(Situation::MemoryLost);
                stage.say((self.number, 0), format!("p{number}: memory lost, it had {:?}", applied(&open)));
            } else if keep {
                stage.meet(Situation::MemoryKept);
            }
        }
        self.scene.borrow_mut().say((self.number, 0), "is dead".into());
        self.workers.clear();
        self.partitions = Arc::new(store::Partitions::new());
    }

    /// The seed is over.
    pub fn bury(&mut self) {
        self.workers.clear();
        self.partitions = Arc::new(store::Partitions::new());
    }

    /// It stops as told: everything goes to disk.
    pub fn stop(&mut self) {
        let mut workers = std::mem::take(&mut self.workers);
        for (number, Running { worker, life }) in workers.iter_mut().enumerate() {
            let closed = worker.close();
            if let Err(error) = closed {
                self.scene.borrow_mut().violate(format!("worker {} cannot close: {error}", self.name(number)));
            }
            assert!(!life.dead.get());
        }
        if !self.partitions.all().is_empty() {
            self.scene.borrow_mut().violate("a stopped process still shows partitions".into());
        }
        drop(workers);
        let mut stage = self.scene.borrow_mut();
        stage.meet(Situation::StoppedInOrder);
        stage.say((self.number, 0), "stopped in order".into());
    }

    /// It finds another, empty disk when it starts.
    pub fn lose_disk(&mut self) {
        self.disks += 1;
        let mut stage = self.scene.borrow_mut();
        stage.lost_disk[self.number] = true;
        stage.say((self.number, 0), "loses its disk".into());
    }

    /// The partitions that a worker answers live.
    pub fn live(&self, number: usize) -> Vec<u32> {
        self.workers.get(number).map(|running| running.worker.live().collect()).unwrap_or_default()
    }
}

fn engine(plan: &Plan, registry: Arc<AtomicBool>, planted: Planted) -> Engine {
    Engine {
        decoder: Decoder::new(Some(wire::registry(registry))),
        rules: plan.rules.clone(),
        format: plan.format(),
        rows_bytes: plan.rows_bytes,
        planted,
    }
}
