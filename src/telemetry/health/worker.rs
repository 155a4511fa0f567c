//! The health of one worker: its pulse, its partitions, and whether those it depends on answer *it*.
//!
//! Every worker has clients of its own, so one that is cut off says nothing about another, and one that recovers neither.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Held, PartitionState, Reason};

/// A first share that is empty counts once it has been so for as long. Who joins a group that has all partitions is told so
/// first, and gets its own when the others have given some up: a heartbeat of theirs later, which is a second at most.
pub(super) const SPARE: Duration = Duration::from_secs(5);

/// The health of one worker, written by it alone.
#[derive(Debug)]
pub struct WorkerHealth {
    name: String,
    born: Instant,
    ticked_ms: AtomicU64,
    in_call: AtomicBool,
    spare_after: Duration,
    knows: Mutex<Knows>,
}

#[derive(Debug, Default)]
struct Knows {
    /// Since when the group counts it in and has told it its share; none while it does not.
    member: Option<Instant>,
    /// Whether it has had a partition since it did not.
    shares: bool,
    partitions: BTreeMap<u32, PartitionState>,
    /// Why the log does not answer.
    log: Option<String>,
    /// Why the registry does not answer, by the partition that waits for it.
    registry: BTreeMap<u32, String>,
}

impl WorkerHealth {
    pub(super) fn new(name: String, born: Instant, spare_after: Duration) -> Self {
        let ticked_ms = AtomicU64::new(millis(born.elapsed()));
        // It begins by joining the group, which is a call: a broker that is down at the start restarts nobody either.
        Self { name, born, ticked_ms, in_call: AtomicBool::new(true), spare_after, knows: Mutex::default() }
    }

    fn knows(&self) -> MutexGuard<'_, Knows> {
        self.knows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop came round: it goes on outside of any call, or a call to the log or the registry begins, and until the
    /// next word the worker counts as coming round however long that takes. Two relaxed stores.
    pub fn tick(&self, in_call: bool) {
        self.ticked_ms.store(millis(self.born.elapsed()), Ordering::Relaxed);
        self.in_call.store(in_call, Ordering::Relaxed);
    }

    /// Whether the group counts this worker in and has told it its share. One without partitions counts after a while: there
    /// may be more workers than partitions.
    pub fn member(&self, member: bool) {
        let mut knows = self.knows();
        if member {
            knows.member.get_or_insert_with(Instant::now);
        } else {
            (knows.member, knows.shares) = (None, false);
        }
    }

    /// Says what a held partition does now.
    pub fn partition(&self, partition: u32, state: PartitionState) {
        let mut knows = self.knows();
        knows.partitions.insert(partition, state);
        knows.shares = true;
    }

    /// The partition is held no longer.
    pub fn forget_partition(&self, partition: u32) {
        let mut knows = self.knows();
        knows.partitions.remove(&partition);
        knows.registry.remove(&partition);
    }

    /// The log does not answer this worker, because of this.
    pub fn log_unreachable(&self, reason: impl Into<String>) {
        self.knows().log = Some(reason.into());
    }

    /// The log answers this worker.
    pub fn log_reachable(&self) {
        self.knows().log = None;
    }

    /// A partition waits for the registry, which does not answer because of this.
    pub fn registry_unreachable(&self, partition: u32, reason: impl Into<String>) {
        self.knows().registry.insert(partition, reason.into());
    }

    /// The partition waits for the registry no longer.
    pub fn registry_reachable(&self, partition: u32) {
        self.knows().registry.remove(&partition);
    }

    /// The held partitions.
    pub(super) fn held(&self) -> Vec<Held> {
        let held = |(partition, state): (&u32, &PartitionState)| Held {
            partition: *partition,
            worker: self.name.clone(),
            state: *state,
        };
        self.knows().partitions.iter().map(held).collect()
    }

    /// What each of the held partitions does now.
    pub(super) fn partitions(&self) -> Vec<PartitionState> {
        self.knows().partitions.values().copied().collect()
    }

    /// Whether it has been told its share, and all of that is live.
    pub(super) fn settled(&self) -> bool {
        let knows = self.knows();
        self.has_share(&knows) && knows.partitions.values().all(|state| *state == PartitionState::Live)
    }

    pub(super) fn not_alive(&self, stuck_after: Duration) -> Option<Reason> {
        let silent = self.silent();
        (silent > stuck_after).then(|| self.reason("worker_stuck", format!("has not come round for {silent:.0?}")))
    }

    pub(super) fn not_ready(&self) -> Vec<Reason> {
        let knows = self.knows();
        let mut reasons = Vec::new();
        reasons.extend(knows.log.iter().map(|why| self.reason("log_unreachable", why)));
        reasons.extend(knows.registry.iter().map(|(partition, why)| Reason {
            partition: Some(*partition),
            ..self.reason("registry_unreachable", format!("partition {partition} waits for the schema registry: {why}"))
        }));
        if !self.has_share(&knows) {
            reasons.push(self.reason("joining", "waits for the group to tell it its partitions"));
        }
        reasons.extend(knows.partitions.iter().filter_map(|(partition, state)| self.of_partition(*partition, *state)));
        reasons
    }

    /// Whether its share is more than the first word of a group that is still sharing out.
    fn has_share(&self, knows: &Knows) -> bool {
        knows.member.is_some_and(|since| knows.shares || since.elapsed() >= self.spare_after)
    }

    fn of_partition(&self, partition: u32, state: PartitionState) -> Option<Reason> {
        let (reason, records_left) = match state {
            PartitionState::Live => return None,
            PartitionState::Restoring => {
                (self.reason("restoring", format!("the state of partition {partition} is being opened")), None)
            }
            PartitionState::Replaying { left } => {
                let what = format!("{left} records of partition {partition} are left to be applied again");
                (self.reason("replaying", what), Some(left))
            }
        };
        Some(Reason { partition: Some(partition), records_left, ..reason })
    }

    fn reason(&self, code: &'static str, what: impl AsRef<str>) -> Reason {
        let detail = format!("{}: {}", self.name, what.as_ref());
        Reason { worker: Some(self.name.clone()), ..Reason::new(code, detail) }
    }

    fn silent(&self) -> Duration {
        if self.in_call.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        self.born.elapsed().saturating_sub(Duration::from_millis(self.ticked_ms.load(Ordering::Relaxed)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
