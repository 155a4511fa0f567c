//! What a worker is set to, and what it shares with the rest of its process.

use std::path::PathBuf;
use std::sync::Arc;

use crate::core::Millis;
use crate::store;
use crate::topics::Limit;

/// What a worker is set to.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that holds a folder for each partition.
    pub dir: PathBuf,
    /// The most that one batch may hold; the partitions that the worker owns share it.
    pub batch: Limit,
    /// The least time between the beginnings of two transactions that are not full, in milliseconds.
    pub batch_latency: Millis,
    /// Memory older than this goes to disk, in milliseconds.
    pub flush_interval: Millis,
    /// Offsets are committed again after this long without a record, in milliseconds.
    pub offsets_keepalive: Millis,
    /// The largest dead letter, in bytes.
    pub dead_letter_bytes: usize,
    /// How long a transaction may stay open before the log drops it, in milliseconds.
    pub transaction_timeout: Millis,
    /// How long a partition that was given up may be read on when it is gained again, in milliseconds.
    pub read_for: Millis,
}

/// The time of day in milliseconds, for pacing and keeping alive; no result depends on it.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// What a worker shares with the rest of its process.
#[derive(Clone)]
pub struct Parts {
    /// What every partition's state shares.
    pub shared: Arc<store::Shared>,
    /// The states that queries may read.
    pub partitions: Arc<store::Partitions>,
    /// The time.
    pub clock: Clock,
}
