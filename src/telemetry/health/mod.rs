//! What the probes answer from. Written by the workers, read by the sidecar; asks nobody.
//!
//! *Live* asks only whether the worker loops go round: a broker that is down for an hour must not restart us. *Ready* asks
//! whether queries are answered from whole state, by every worker. *Started* is latched when a probe first finds that
//! every worker has its share, and all of it live.

mod keys;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keys::KeysHealth;
pub use worker::WorkerHealth;

use crate::core::Millis;

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

/// A partition that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The partition.
    pub partition: u32,
    /// The worker that holds it.
    pub worker: String,
    /// What it does now.
    pub state: PartitionState,
}

/// Why the process is not ready, or not alive.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// A stable name.
    pub code: &'static str,
    /// For people.
    pub detail: String,
    /// The worker, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The partition, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Records left to read, where they are what is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_left: Option<u64>,
}

impl Reason {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), worker: None, partition: None, records_left: None }
    }
}

/// A worker that has not come round for so long is stuck; below `max.poll.interval.ms`.
const STUCK: Duration = Duration::from_secs(120);

/// The health of the process, shared in an `Arc`.
#[derive(Debug)]
pub struct Health {
    born: Instant,
    started_at: Millis,
    stuck_after: Duration,
    spare_after: Duration,
    started: AtomicBool,
    stopping: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    workers: Vec<Arc<WorkerHealth>>,
    /// What the start waits for, until every part runs.
    starting: Option<String>,
    fatal: Option<String>,
    /// Why the audit log cannot be written.
    audit: Option<String>,
    keys: KeysHealth,
}

impl Default for Health {
    fn default() -> Self {
        Self::new(STUCK)
    }
}

impl Health {
    /// The process begins to start. A worker that does not come round for `stuck_after` makes it not alive.
    pub fn new(stuck_after: Duration) -> Self {
        let starting = Some("the process is starting".to_owned());
        Self {
            born: Instant::now(),
            started_at: now_ms(),
            stuck_after,
            spare_after: worker::SPARE,
            started: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                workers: Vec::new(),
                starting,
                fatal: None,
                audit: None,
                keys: KeysHealth::new(keys::PATIENCE),
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a worker; it must tick from now on, until the process ends.
    pub fn worker(&self, name: impl Into<String>) -> Arc<WorkerHealth> {
        let worker = Arc::new(WorkerHealth::new(name.into(), self.born, self.spare_after));
        self.inner().workers.push(Arc::clone(&worker));
        worker
    }

    /// What the start waits for now.
    pub fn starting(&self, what: impl Into<String>) {
        self.inner().starting = Some(what.into());
    }

    /// Every part runs, and every worker is registered.
    pub fn running(&self) {
        self.inner().starting = None;
    }

    /// The process ends because of this. The first reason stays.
    pub fn fatal(&self, reason: impl Into<String>) {
        self.inner().fatal.get_or_insert(reason.into());
    }

    /// The audit log cannot be written because of this, or it can again.
    pub fn audit(&self, trouble: Option<&str>) {
        self.inner().audit = trouble.map(str::to_owned);
    }

    /// The API keys are known as they stand: the control topic was read to its end just now.
    pub fn keys_known(&self) {
        self.inner().keys.known();
    }

    /// It cannot be read, because of this.
    pub fn keys_unknown(&self, why: impl Into<String>) {
        self.inner().keys.unknown(why.into());
    }

    /// When the API keys were last known as they stood, in milliseconds since 1970; none before they are loaded.
    pub fn keys_known_at(&self) -> Option<Millis> {
        self.inner().keys.known_at()
    }

    /// The process was told to stop: not ready from now on.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// When the process began to start, in milliseconds since 1970.
    pub fn started_at(&self) -> Millis {
        self.started_at
    }

    /// The partitions held here, by number. One that moves between two workers is with both for a moment.
    pub fn held(&self) -> Vec<Held> {
        let mut held: Vec<_> = self.inner().workers.iter().flat_map(|worker| worker.held()).collect();
        held.sort_by_key(|held| held.partition);
        held
    }

    /// How many held partitions are in a state.
    pub fn count_partitions(&self, wanted: impl Fn(&PartitionState) -> bool) -> i64 {
        i64::try_from(self.partitions().iter().filter(|state| wanted(state)).count()).unwrap_or(i64::MAX)
    }

    /// Records left to be applied again, over all held partitions.
    pub fn records_left(&self) -> u64 {
        let left = |state: &PartitionState| if let PartitionState::Replaying { left } = state { *left } else { 0 };
        self.partitions().iter().map(left).sum()
    }

    fn partitions(&self) -> Vec<PartitionState> {
        self.inner().workers.iter().flat_map(|worker| worker.partitions()).collect()
    }

    /// Why the process should be restarted; empty when it should not. Asks for no dependency.
    pub fn not_alive(&self) -> Vec<Reason> {
        let inner = self.inner();
        let fatal = inner.fatal.iter().map(|reason| Reason::new("fatal", reason));
        fatal.chain(inner.workers.iter().filter_map(|worker| worker.not_alive(self.stuck_after))).collect()
    }

    /// Why queries should go elsewhere; empty when ready.
    pub fn not_ready(&self) -> Vec<Reason> {
        let mut reasons = self.not_alive();
        if self.stopping.load(Ordering::Acquire) {
            reasons.push(Reason::new("stopping", "the process was told to stop"));
        }
        let inner = self.inner();
        reasons.extend(inner.starting.iter().map(|what| Reason::new("starting", what)));
        reasons.extend(inner.audit.iter().map(|why| Reason::new("audit_unavailable", why)));
        reasons.extend(inner.keys.not_ready());
        reasons.extend(inner.workers.iter().flat_map(|worker| worker.not_ready()));
        reasons
    }

    /// Why the process has not started yet; empty once it has, whatever happens later.
    pub fn not_started(&self) -> Vec<Reason> {
        if self.started.load(Ordering::Acquire) || self.settled() {
            self.started.store(true, Ordering::Release);
            return Vec::new();
        }
        self.not_ready()
    }

    /// Whether every part runs and every worker has its share live. Who is reachable just now is not asked.
    fn settled(&self) -> bool {
        let inner = self.inner();
        inner.starting.is_none() && inner.workers.iter().all(|worker| worker.settled())
    }
}

/// The wall clock, in milliseconds since 1970.
#[allow(clippy::disallowed_methods)] // when the process began, for people
fn now_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| Millis::try_from(d.as_millis()).unwrap_or(Millis::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(reasons: &[Reason]) -> Vec<&'static str> {
        reasons.iter().map(|r| r.code).collect()
    }

    /// A group that has shared all out by its first word.
    fn sharing_at_once() -> Health {
        Health { spare_after: Duration::ZERO, ..Health::default() }
    }

    /// A process whose parts all run, with workers that have joined.
    fn running(workers: usize) -> (Health, Vec<Arc<WorkerHealth>>) {
        let health = sharing_at_once();
        let workers: Vec<_> = (0..workers).map(|n| health.worker(format!("worker-{n}"))).collect();
        workers.iter().for_each(|worker| worker.member(true));
        health.running();
        (health, workers)
    }

    #[test]
    fn a_worker_that_does_not_come_round_is_not_alive_unless_it_is_in_a_call() {
        let health = Health::new(Duration::from_millis(500));
        let worker = health.worker("worker-0");
        let nap = || std::thread::sleep(Duration::from_millis(700));
        nap();
        assert_eq!(codes(&health.not_alive()), Vec::<&str>::new(), "joining is a call");
        worker.tick(false);
        nap();
        assert_eq!(codes(&health.not_alive()), ["worker_stuck"]);
        assert_eq!(health.not_alive()[0].worker.as_deref(), Some("worker-0"));
        worker.tick(true);
        nap();
        assert_eq!(codes(&health.not_alive()), Vec::<&str>::new());
        worker.tick(false);
        assert_eq!(codes(&health.not_alive()), Vec::<&str>::new(), "coming back from a call is a tick");
    }

    #[test]
    fn ready_needs_every_worker_told_its_share_and_every_partition_live() {
        let health = sharing_at_once();
        assert_eq!(codes(&health.not_ready()), ["starting"]);
        health.starting("no broker answers");
        assert_eq!(health.not_started()[0].detail, "no broker answers");
        let (first, second) = (health.worker("worker-0"), health.worker("worker-1"));
        health.running();
        first.member(true);
        first.partition(2, PartitionState::Live);
        let reasons = health.not_ready();
        assert_eq!((codes(&reasons), reasons[0].worker.as_deref()), (vec!["joining"], Some("worker-1")));
        assert_eq!(codes(&health.not_started()), ["joining"]);
        second.member(true);
        assert!(health.not_ready().is_empty(), "a share without partitions counts too");
        second.partition(3, PartitionState::Restoring);
        assert_eq!(codes(&health.not_ready()), ["restoring"]);
        second.partition(3, PartitionState::Replaying { left: 41 });
        let reasons = health.not_ready();
        assert_eq!((codes(&reasons), reasons[0].partition), (vec!["replaying"], Some(3)));
        assert_eq!((reasons[0].records_left, reasons[0].worker.as_deref()), (Some(41), Some("worker-1")));
        assert_eq!((health.records_left(), health.count_partitions(|_| true)), (41, 2));
        assert_eq!(codes(&health.not_started()), ["replaying"]);
        second.partition(3, PartitionState::Live);
        assert!(health.not_ready().is_empty() && health.not_started().is_empty());
        second.member(false);
        assert_eq!(codes(&health.not_ready()), ["joining"], "it lost its session");
        assert!(health.not_started().is_empty(), "started is for ever");
        health.stopping();
        assert_eq!(codes(&health.not_ready()), ["stopping", "joining"]);
    }

    #[test]
    fn a_first_share_without_partitions_counts_once_it_lasts() {
        let health = Health { spare_after: Duration::from_millis(300), ..Health::default() };
        let (first, second) = (health.worker("worker-0"), health.worker("worker-1"));
        health.running();
        first.partition(0, PartitionState::Live);
        first.member(true);
        second.member(true);
        // The group's first word to the second: nothing yet, for the first has to give something up.
        assert_eq!((codes(&health.not_ready()), codes(&health.not_started())), (vec!["joining"], vec!["joining"]));
        second.partition(1, PartitionState::Live);
        assert!(health.not_ready().is_empty());
        second.forget_partition(1);
        assert!(health.not_ready().is_empty(), "a later share may be empty at once");
        second.member(false);
        second.member(true);
        assert_eq!(codes(&health.not_ready()), ["joining"], "as at first");
        std::thread::sleep(Duration::from_millis(400));
        assert!(health.not_ready().is_empty(), "more workers than partitions");
    }

    #[test]
    fn one_workers_recovery_hides_no_others_outage() {
        let (health, workers) = running(2);
        workers.iter().for_each(|worker| worker.log_unreachable("no broker"));
        assert_eq!(codes(&health.not_ready()), ["log_unreachable", "log_unreachable"]);
        assert!(health.not_alive().is_empty(), "a broker that is down restarts nobody");
        workers[0].log_reachable();
        let reasons = health.not_ready();
        assert_eq!((codes(&reasons), reasons[0].worker.as_deref()), (vec!["log_unreachable"], Some("worker-1")));
        assert!(reasons[0].detail.contains("worker-1") && reasons[0].detail.contains("no broker"));
        workers[1].log_reachable();
        assert!(health.not_ready().is_empty());
        health.audit(Some("no broker"));
        assert_eq!((codes(&health.not_ready()), health.not_alive().len()), (vec!["audit_unavailable"], 0));
        health.audit(None);
        assert!(health.not_ready().is_empty());
    }

    #[test]
    fn a_partition_that_waits_for_the_registry_is_not_helped_by_one_that_does_not() {
        let (health, workers) = running(1);
        workers[0].registry_unreachable(4, "connection refused");
        workers[0].registry_unreachable(5, "connection refused");
        workers[0].registry_reachable(4);
        let reasons = health.not_ready();
        assert_eq!((codes(&reasons), reasons[0].partition), (vec!["registry_unreachable"], Some(5)));
        workers[0].forget_partition(5);
        assert!(health.not_ready().is_empty());
    }

    #[test]
    fn a_partition_that_moves_between_two_workers_is_forgotten_by_the_one_alone() {
        let (health, workers) = running(2);
        workers[0].partition(7, PartitionState::Live);
        workers[1].partition(7, PartitionState::Restoring);
        workers[0].forget_partition(7);
        assert_eq!(codes(&health.not_ready()), ["restoring"]);
    }

    #[test]
    fn a_fatal_error_is_neither_alive_nor_ready_and_the_first_reason_stays() {
        let (health, _) = running(0);
        health.fatal("first");
        health.fatal("second");
        assert_eq!(health.not_alive()[0].detail, "first");
        assert_eq!(codes(&health.not_ready()), ["fatal"]);
    }
}
