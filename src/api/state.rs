//! What handlers work with, and what they ask of the log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::problem::{Code, Problem};
use crate::access::Keys;
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

/// Limits of what strangers can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a request may take, its body included.
    pub request: Duration,
    /// How long the head of a request may take to arrive.
    pub header: Duration,
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// Requests of `/v1` at one time; one more is answered 503.
    pub concurrency: usize,
    /// Reads of the state at one time; further ones wait.
    pub reads: usize,
    /// How long requests under way may go on after a stop was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            header: Duration::from_secs(5),
            body_bytes: 10 << 20,
            concurrency: 256,
            reads: 16,
            drain: Duration::from_secs(10),
        }
    }
}

/// What the state is made of.
pub struct Parts {
    /// The directory of keys, loaded.
    pub keys: Arc<Keys>,
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
}

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    parts: Parts,
    room: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("limits", &self.0.parts.limits).finish_non_exhaustive()
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
        let room = Arc::new(Semaphore::new(parts.limits.concurrency));
        let reads = Arc::new(Semaphore::new(parts.limits.reads));
        Self(Arc::new(Inner { parts, room, reads }))
    }

    pub(super) fn room(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.room)
    }

    /// Runs a read of the state on a thread that may block. A read whose caller has gone keeps its place until it ends,
    /// so that impatient callers cannot pile reads up.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, query::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let closed = |_| Problem::of(Code::Internal);
        let place = Arc::clone(&self.0.reads).acquire_owned().await.map_err(closed)?;
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || {
            let answer = read(&reader);
            drop(place);
            answer
        });
        done.await.map_err(|_| Problem::of(Code::Internal))?.map_err(Problem::from)
    }
}
