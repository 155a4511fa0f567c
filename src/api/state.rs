//! What handlers work with, and what they ask of the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::limits::{READS, Rates, Seat, Seats, Throttle};
use super::problem::{Code, Problem};
use crate::access::{Admin, Identity, Keys};
use crate::audit::Audit;
use crate::query::{self, Reader};
use crate::telemetry::{Health, Metrics};
use crate::topics::{Input, Offset};

/// One event to be appended: its bytes are what came, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEvent<'a> {
    /// The record's key.
    pub user_id: &'a str,
    /// The record's value: one JSON object.
    pub value: &'a [u8],
}

/// Where an event was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The partition.
    pub partition: u32,
    /// The record's own offset.
    pub offset: Offset,
}

/// Why events were not appended: none of them was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// There is no room or no answer just now; the same request may be sent again.
    #[error("{0}")]
    Unavailable(String),
    /// The audit log cannot be told of it.
    #[error("{0}")]
    Unaudited(String),
    /// The log is broken.
    #[error("{0}")]
    Broken(String),
}

/// The embedded log, as far as writing events through the API goes. Calls block until the events are durable.
pub trait Ingest: Send + Sync {
    /// Appends all of `events` or none, with this log timestamp (milliseconds since 1970), each on the partition that
    /// murmur2 gives its user_id. The answer has one place for each event, in order.
    fn append(&self, input: Input, events: &[NewEvent<'_>], logged_at: i64) -> Result<Vec<Appended>, IngestError>;
}

/// Limits of what callers can ask. They can be replaced while the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a request may take, its body included.
    pub request: Duration,
    /// The largest body, in bytes, also unpacked.
    pub body_bytes: usize,
    /// Requests with a key at one time; one more is answered 503.
    pub concurrency: usize,
    /// How much time a report may be about.
    pub report_range: Duration,
    /// How often may be asked.
    pub rates: Rates,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            body_bytes: 8 << 20,
            concurrency: 256,
            report_range: Duration::from_hours(24 * 1_100),
            rates: Rates::default(),
        }
    }
}

/// What the state is made of.
pub struct Parts {
    /// The directory of keys, loaded.
    pub keys: Arc<Keys>,
    /// Their administration; none while the process starts.
    pub admin: Option<Admin>,
    /// The instance's name.
    pub instance: String,
    /// Reads over the partitions held here.
    pub reader: Reader,
    /// What the probes answer from.
    pub health: Arc<Health>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The embedded log, where there is one.
    pub ingest: Option<Arc<dyn Ingest>>,
    /// Who did what.
    pub audit: Audit,
    /// Limits.
    pub limits: Limits,
    /// How many proxies of one's own stand before the service.
    pub trusted_proxies: usize,
    /// The origins whose pages a browser lets ask.
    pub cors_origins: Vec<String>,
}

/// Writes to the log at one time, of events and of keys; further ones wait.
const WRITES: usize = 32;

/// The limits that hold, and what is counted against them.
pub(super) struct Bounds {
    pub(super) limits: Limits,
    pub(super) throttle: Throttle,
}

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    parts: Parts,
    bounds: ArcSwap<Bounds>,
    /// Requests with a key under way.
    busy: Seats,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("limits", &self.bounds().limits).finish_non_exhaustive()
    }
}

impl std::ops::Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

impl State {
    /// The state of these parts.
    pub fn new(parts: Parts) -> Self {
        let bounds = Bounds { limits: parts.limits, throttle: Throttle::new(parts.limits.rates) };
        let (bounds, busy) = (ArcSwap::from_pointee(bounds), Seats::default());
        let [reads, writes] = [READS, WRITES].map(|places| Arc::new(Semaphore::new(places)));
        Self(Arc::new(Inner { parts, bounds, busy, reads, writes }))
    }

    /// The limits that hold now.
    pub(super) fn bounds(&self) -> Arc<Bounds> {
        self.0.bounds.load_full()
    }

    /// From now on these limits hold. What was spent stays spent.
    pub fn limit(&self, limits: Limits) {
        self.0.bounds.rcu(|now| Bounds { limits, throttle: now.throttle.at(limits.rates) });
    }

    /// A place among so many requests, if there is one.
    pub(super) fn place(&self, among: usize) -> Option<Seat> {
        self.0.busy.take(among)
    }

    /// Runs a write on a thread that may block. As with reads, one whose caller has gone keeps its place until it ends.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let closed = |_| Problem::of(Code::Internal);
        let place = Arc::clone(&self.0.writes).acquire_owned().await.map_err(closed)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = write();
            drop(place);
            done
        });
        done.await.map_err(|_| Problem::of(Code::Internal))
    }

    /// Runs a read of the state on a thread that may block. A read whose caller has gone keeps its places until it ends,
    /// so that impatient callers cannot pile reads up; a report ends at `until`.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        who: &Identity,
        until: Instant,
        read: impl FnOnce(&Reader) -> Result<T, query::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let closed = |_| Problem::of(Code::Internal);
        let reader = self.reader.until(until);
        // That of its key first: whoever waits for one holds none that others want.
        let own = match self.bounds().throttle.reads(&who.key_id) {
            Some(own) => Some(own.acquire_owned().await.map_err(closed)?),
            None => None,
        };
        let place = Arc::clone(&self.0.reads).acquire_owned().await.map_err(closed)?;
        let done = tokio::task::spawn_blocking(move || {
            let answer = read(&reader);
            drop((own, place));
            answer
        });
        done.await.map_err(|_| Problem::of(Code::Internal))?.map_err(Problem::from)
    }
}
