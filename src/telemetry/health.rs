//! What the probes answer from. Written by the workers, read by the sidecar; asks nobody.
//!
//! *Live* asks only whether the worker loops go round: a broker that is down for an hour must not restart us. *Ready* asks
//! whether queries are answered from whole state. *Started* is latched at the first time that all partitions are live.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a partition that is held does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionState {
    /// Its state is opened and compared.
    Restoring,
    /// Records are applied again, output suppressed.
    Replaying {
        /// How many are left, over all inputs.
        left: u64,
    },
    /// New records are processed.
    Live,
}

/// Why the process is not ready, or not alive.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// A stable name.
    pub code: &'static str,
    /// For people.
    pub detail: String,
    /// The partition, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Records left to read, where they are what is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_left: Option<u64>,
}

impl Reason {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), partition: None, records_left: None }
    }
}

/// A worker that has not come round for so long is stuck; below `max.poll.interval.ms`.
const STUCK: Duration = Duration::from_secs(120);

/// The health of the process, shared in an `Arc`.
#[derive(Debug)]
pub struct Health {
    born: Instant,
    stuck_after: Duration,
    started: AtomicBool,
    stopping: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    workers: Vec<Arc<Heartbeat>>,
    partitions: BTreeMap<u32, PartitionState>,
    unreachable: BTreeMap<Dependency, String>,
    fatal: Option<String>,
}

/// Whom we depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// The log: Kafka's brokers, or the embedded one.
    Log,
    /// The schema registry.
    Registry,
}

impl Default for Health {
    fn default() -> Self {
        Self::new(STUCK)
    }
}

impl Health {
    /// Nothing known yet. A worker that does not come round for `stuck_after` makes the process not alive.
    pub fn new(stuck_after: Duration) -> Self {
        Self {
            born: Instant::now(),
            stuck_after,
            started: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a worker; it must tick from now on, until the process ends.
    pub fn worker(&self, name: impl Into<String>) -> Arc<Heartbeat> {
        let heartbeat = Arc::new(Heartbeat {
            name: name.into(),
            born: self.born,
            ticked_ms: AtomicU64::new(millis(self.born.elapsed())),
            calls: AtomicU32::new(0),
        });
        self.inner().workers.push(Arc::clone(&heartbeat));
        heartbeat
    }

    /// Says what a held partition does now.
    pub fn partition(&self, partition: u32, state: PartitionState) {
        let mut inner = self.inner();
        inner.partitions.insert(partition, state);
        if inner.partitions.values().all(|s| *s == PartitionState::Live) {
            self.started.store(true, Ordering::Release);
        }
    }

    /// The partition is held no longer.
    pub fn forget_partition(&self, partition: u32) {
        self.inner().partitions.remove(&partition);
    }

    /// The dependency does not answer, because of this.
    pub fn unreachable(&self, dependency: Dependency, reason: impl Into<String>) {
        self.inner().unreachable.insert(dependency, reason.into());
    }

    /// The dependency answers. Cheap enough to be called once a batch.
    pub fn reachable(&self, dependency: Dependency) {
        self.inner().unreachable.remove(&dependency);
    }

    /// The process ends because of this. The first reason stays.
    pub fn fatal(&self, reason: impl Into<String>) {
        self.inner().fatal.get_or_insert(reason.into());
    }

    /// The process was told to stop: not ready from now on.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// How many held partitions are in a state.
    pub fn count_partitions(&self, wanted: impl Fn(&PartitionState) -> bool) -> i64 {
        i64::try_from(self.inner().partitions.values().filter(|s| wanted(s)).count()).unwrap_or(i64::MAX)
    }

    /// Records left to be applied again, over all held partitions.
    pub fn records_left(&self) -> u64 {
        self.inner()
            .partitions
            .values()
            .map(|s| if let PartitionState::Replaying { left } = s { *left } else { 0 })
            .sum()
    }

    /// Why the process should be restarted; empty when it should not. Asks for no dependency.
    pub fn not_alive(&self) -> Vec<Reason> {
        let inner = self.inner();
        let fatal = inner.fatal.iter().map(|reason| Reason::new("fatal", reason));
        let stuck = inner.workers.iter().filter_map(|worker| {
            let silent = worker.silent();
            (silent > self.stuck_after).then(|| {
                Reason::new("worker_stuck", format!("{} has not come round for {} s", worker.name, silent.as_secs()))
            })
        });
        fatal.chain(stuck).collect()
    }

    /// Why queries should go elsewhere; empty when ready.
    pub fn not_ready(&self) -> Vec<Reason> {
        let mut reasons = self.not_alive();
        if self.stopping.load(Ordering::Acquire) {
            reasons.push(Reason::new("stopping", "the process was told to stop"));
        }
        let inner = self.inner();
        reasons.extend(inner.unreachable.iter().map(|(dependency, reason)| match dependency {
            Dependency::Log => Reason::new("log_unreachable", reason),
            Dependency::Registry => Reason::new("registry_unreachable", reason),
        }));
        if inner.partitions.is_empty() {
            reasons.push(Reason::new("no_partition", "no partition is assigned to this instance yet"));
        }
        reasons.extend(inner.partitions.iter().filter_map(|(partition, state)| partition_reason(*partition, *state)));
        reasons
    }

    /// Why the process has not started yet; empty once it has, whatever happens later.
    pub fn not_started(&self) -> Vec<Reason> {
        if self.started.load(Ordering::Acquire) { Vec::new() } else { self.not_ready() }
    }
}

fn partition_reason(partition: u32, state: PartitionState) -> Option<Reason> {
    match state {
        PartitionState::Live => None,
        PartitionState::Restoring => Some(Reason {
            partition: Some(partition),
            ..Reason::new("restoring", format!("the state of partition {partition} is being opened"))
        }),
        PartitionState::Replaying { left } => Some(Reason {
            partition: Some(partition),
            records_left: Some(left),
            ..Reason::new("replaying", format!("{left} records of partition {partition} are left to be applied again"))
        }),
    }
}

/// The pulse of one worker.
#[derive(Debug)]
pub struct Heartbeat {
    name: String,
    born: Instant,
    ticked_ms: AtomicU64,
    calls: AtomicU32,
}

impl Heartbeat {
    /// The loop came round. One relaxed store; call it as often as you like.
    pub fn tick(&self) {
        self.ticked_ms.store(millis(self.born.elapsed()), Ordering::Relaxed);
    }

    /// As [`Heartbeat::in_broker_call`], for callers that cannot keep a guard: a call begins, or the last one has ended.
    pub fn waits(&self, in_call: bool) {
        self.tick();
        self.calls.store(u32::from(in_call), Ordering::Relaxed);
    }

    /// While the guard is kept the worker is inside a call to the log or the registry, or waits for one, and counts as
    /// ticking however long that takes.
    pub fn in_broker_call(&self) -> InCall<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        InCall(self)
    }

    fn silent(&self) -> Duration {
        if self.calls.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.born.elapsed().saturating_sub(Duration::from_millis(self.ticked_ms.load(Ordering::Relaxed)))
    }
}

/// See [`Heartbeat::in_broker_call`].
#[derive(Debug)]
#[must_use = "the worker counts as being in a call only while this is kept"]
pub struct InCall<'a>(&'a Heartbeat);

impl Drop for InCall<'_> {
    fn drop(&mut self) {
        self.0.tick();
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(reasons: &[Reason]) -> Vec<&'static str> {
        reasons.iter().map(|r| r.code).collect()
    }

    #[test]
    fn a_worker_that_does_not_come_round_is_not_alive_unless_it_is_in_a_call() {
        let health = Health::new(Duration::from_millis(5));
        let worker = health.worker("worker-0");
        let call = worker.in_broker_call();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(codes(&health.not_alive()), Vec::<&str>::new());
        drop(call);
        assert_eq!(codes(&health.not_alive()), Vec::<&str>::new(), "coming back from a call is a tick");
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(codes(&health.not_alive()), ["worker_stuck"]);
        worker.tick();
        assert_eq!(codes(&health.not_alive()), Vec::<&str>::new());
    }

    #[test]
    fn ready_needs_partitions_that_are_live_and_dependencies_that_answer() {
        let health = Health::default();
        assert_eq!(codes(&health.not_ready()), ["no_partition"]);
        health.partition(2, PartitionState::Restoring);
        health.partition(3, PartitionState::Replaying { left: 41 });
        let reasons = health.not_ready();
        assert_eq!(codes(&reasons), ["restoring", "replaying"]);
        assert_eq!(reasons[1].records_left, Some(41));
        assert_eq!(health.records_left(), 41);
        health.partition(2, PartitionState::Live);
        assert_eq!(codes(&health.not_started()), ["replaying"]);
        health.partition(3, PartitionState::Live);
        assert!(health.not_ready().is_empty() && health.not_started().is_empty());
        health.unreachable(Dependency::Log, "no broker");
        assert_eq!(codes(&health.not_ready()), ["log_unreachable"]);
        assert!(health.not_alive().is_empty(), "a broker that is down restarts nobody");
        assert!(health.not_started().is_empty(), "started is for ever");
        health.reachable(Dependency::Log);
        assert!(health.not_ready().is_empty());
        health.stopping();
        assert_eq!(codes(&health.not_ready()), ["stopping"]);
    }

    #[test]
    fn a_fatal_error_is_neither_alive_nor_ready_and_the_first_reason_stays() {
        let health = Health::default();
        health.fatal("first");
        health.fatal("second");
        assert_eq!(health.not_alive()[0].detail, "first");
        assert_eq!(codes(&health.not_ready()), ["fatal", "no_partition"]);
    }
}
