//! Who did what: the entries of `tributary.audit`, chained by their hashes.
//!
//! | file | holds |
//! | --- | --- |
//! | `entry` | what an entry says, and its bytes |
//! | `chain` | one chain a life of the process, each beginning where the one before it ended |
//! | `memory` | what the data folder remembers of it, so that no moment of a crash leaves a doubt |
//! | `log` | what is asked of the audit topic |
//! | `queue`, `writer` | from those who have something to tell to the one thread that writes it |
//! | `shown` | entries as people look at them, and which are asked for |
//! | `verify` | reading it back: what was removed, altered, moved or put in |
//!
//! There are two ways in. [`Audit::change`] makes a change once the entry that allows it is durable, and tells how it ended:
//! one that the audit cannot tell of, or not in time, is not made. [`Audit::decision`] returns once the entry is queued, and
//! waits where the queue is full: what was decided is not lost, memory stays flat, and who floods us waits. Strangers have
//! room of their own, and no wait ([`Audit::decision_of_stranger`]); so have keys that are known and open nothing.
//!
//! **Architecture invariant:** no secret, no content of an event and no user's id is handed to this module, and it knows
//! neither log, nor request, nor configuration.

mod chain;
pub mod entry;
pub mod log;
pub mod memory;
mod queue;
pub mod shown;
#[cfg(test)]
mod tests;
pub mod verify;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::core::Millis;
use queue::{Queue, Unwritten};

pub use chain::End;
pub use entry::{Action, Actor, Caller, Draft, Outcome, Record};
pub use log::AuditLog;
pub use memory::Memory;
pub use writer::{Started, Writing};

/// What went wrong in writing or reading the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not answer just now; ask again.
    #[error("{0}")]
    Away(String),
    /// It does not work like this, and the way out.
    #[error("{0}")]
    Refused(String),
}

/// An entry was not taken, so what it tells of must not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written: {0}")]
pub struct Unavailable(pub String);

impl Unavailable {
    fn stopping() -> Self {
        Self("the process is stopping".into())
    }
}

/// Hears what becomes of entries; somebody else counts and logs.
pub trait Observer: Send + Sync {
    /// So many entries are durable.
    fn written(&self, entries: usize);
    /// An entry was not taken.
    fn refused(&self);
    /// So many wait in the queue.
    fn waiting(&self, entries: usize);
    /// Nothing can be written just now. Told at each attempt.
    fn away(&self, why: &str);
    /// It can be written again.
    fn back(&self);
}

/// Nobody hears.
impl Observer for () {
    fn written(&self, _entries: usize) {}
    fn refused(&self) {}
    fn waiting(&self, _entries: usize) {}
    fn away(&self, _why: &str) {}
    fn back(&self) {}
}

/// How the audit is set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Decisions that may wait to be written.
    pub queue: usize,
    /// Decisions of strangers that may, beside them.
    pub strangers: usize,
    /// Decisions of keys that are known and open nothing that may, beside both.
    pub shut_keys: usize,
    /// How long a decision waits for room in the queue, and a change for its entry to be durable.
    pub patience: Duration,
    /// Which share of the allowed reads is written: 0 to 1.
    pub read_sample: f64,
    /// The time of day, in milliseconds since 1970.
    pub clock: fn() -> Millis,
}

/// Where entries go in. Cheap to clone.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    queue: Arc<Queue>,
    observer: Arc<dyn Observer>,
    /// In milliseconds.
    patience: AtomicU64,
    clock: fn() -> Millis,
    /// An allowed read is written where a number drawn is below this.
    threshold: AtomicU64,
    drawn: AtomicU64,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

impl Audit {
    /// Takes entries from now on; they are written once [`Writing::start`] has been called.
    pub fn new(settings: &Settings, observer: Arc<dyn Observer>) -> Self {
        let mut seed = [0; 8];
        if getrandom::fill(&mut seed).is_err() {
            seed = settings.queue.to_le_bytes(); // only which reads are sampled could then be foreseen
        }
        let audit = Self(Arc::new(Inner {
            queue: Arc::new(Queue::new(settings.queue, settings.strangers, settings.shut_keys)),
            observer,
            patience: AtomicU64::new(0),
            clock: settings.clock,
            threshold: AtomicU64::new(0),
            drawn: AtomicU64::new(u64::from_le_bytes(seed)),
        }));
        audit.set_patience(settings.patience);
        audit.set_read_sample(settings.read_sample);
        audit
    }

    /// From now on decisions and changes wait for so long.
    pub fn set_patience(&self, patience: Duration) {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.0.patience.store(millis, Ordering::Relaxed);
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.0.patience.load(Ordering::Relaxed))
    }

    /// From now on this share of the allowed reads is written.
    pub fn set_read_sample(&self, share: f64) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // it saturates
        let threshold = (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
        self.0.threshold.store(threshold, Ordering::Relaxed);
    }

    /// The first half of a [change](Self::change).
    #[cfg(test)]
    pub(crate) fn record(&self, draft: Draft) -> Result<(), Unavailable> {
        self.told(self.write(draft).map_err(Unwritten::why))
    }

    /// Returns once the entry is durable; after an error what it allows must not be done.
    fn write(&self, draft: Draft) -> Result<(), Unwritten> {
        let (answer, written) = sync_channel(1);
        let number = self.0.queue.put(draft, (self.0.clock)(), answer).map_err(Unwritten::Never)?;
        match written.recv_timeout(self.patience()) {
            Ok(how) => how,
            Err(RecvTimeoutError::Disconnected) => Err(Unwritten::Perhaps(Unavailable::stopping())),
            Err(RecvTimeoutError::Timeout) => {
                let silent = Unavailable(self.trouble().unwrap_or_else(|| "it does not answer".into()));
                if self.0.queue.withdraw(number) {
                    return Err(Unwritten::Never(silent));
                }
                // It is being written, unless that was told in this very moment.
                written.try_recv().unwrap_or(Err(Unwritten::Perhaps(silent)))
            }
        }
    }

    fn told<T>(&self, outcome: Result<T, Unavailable>) -> Result<T, Unavailable> {
        outcome.inspect_err(|_| self.0.observer.refused())
    }

    /// Returns once the entry is queued. For what was decided and changes nothing: the answer may be given then.
    ///
    /// # Errors
    /// [`Unavailable`] when there was no room for as long as the caller may wait.
    pub async fn decision(&self, draft: Draft) -> Result<(), Unavailable> {
        self.told(self.0.queue.wait_and_put(draft, (self.0.clock)(), self.patience()).await)
    }

    /// As [`Self::decision`], of somebody without a good key: at once, or not at all. Whoever can flood us neither waits here
    /// nor takes room from those who have a key.
    ///
    /// # Errors
    /// [`Unavailable`] when there is no room.
    pub fn decision_of_stranger(&self, draft: Draft) -> Result<(), Unavailable> {
        self.told(self.0.queue.put_of_stranger(draft, (self.0.clock)()))
    }

    /// As [`Self::decision_of_stranger`], of somebody whose key was good once, or is good elsewhere: however many strangers
    /// there are, there is room for these.
    ///
    /// # Errors
    /// [`Unavailable`] when there is no room.
    pub fn decision_of_shut_key(&self, draft: Draft) -> Result<(), Unavailable> {
        self.told(self.0.queue.put_of_shut_key(draft, (self.0.clock)()))
    }

    /// As [`Self::decision`], for a read that was allowed: only a share of them is written.
    ///
    /// # Errors
    /// As [`Self::decision`].
    pub async fn allowed_read(&self, draft: impl FnOnce() -> Draft) -> Result<(), Unavailable> {
        let drawn = mix(self.0.drawn.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed));
        if drawn > self.0.threshold.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.decision(draft()).await
    }

    /// Makes a change between two entries: that it may be made, durable before it is, and how it ended. Where the first is not
    /// durable in time, but may come to be, the second says that the change was not made; where the change panics, that. On a
    /// thread that may block.
    ///
    /// # Errors
    /// What `refused` makes of [`Unavailable`], and then nothing was changed; what `change` says.
    pub fn change<T, E: std::fmt::Display>(
        &self,
        draft: Draft,
        refused: impl FnOnce(Unavailable) -> E,
        change: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let allowed = Draft { outcome: Outcome::Allowed, ..draft.clone() };
        let failed = |reason: String| Draft { outcome: Outcome::Failed, reason, ..draft.clone() };
        let begun = self.0.queue.begin().and_then(|under_way| match self.write(allowed) {
            Ok(()) => Ok(under_way),
            Err(Unwritten::Never(why)) => Err(why),
            Err(Unwritten::Perhaps(why)) => {
                self.end(failed(format!("not made: {why}")));
                Err(why)
            }
        });
        let _under_way = self.told(begun).map_err(refused)?;
        let mut ending = Ending { audit: self, how: failed("panicked".into()) };
        let done = change();
        ending.how = match &done {
            Ok(_) => Draft { outcome: Outcome::Done, ..draft },
            Err(error) => failed(error.to_string()),
        };
        done
    }

    /// Tells how a change ended.
    fn end(&self, how: Draft) {
        if let Err(error) = self.told(self.0.queue.put_ending(how, (self.0.clock)())) {
            tracing::warn!(%error, "how a change ended is not in the audit log");
        }
    }

    /// Why nothing can be written just now, if that is so.
    pub fn trouble(&self) -> Option<String> {
        self.0.queue.trouble()
    }

    /// Lets no further [change](Self::change) begin, and waits up to `wait` until each that is under way has its second
    /// entry. Returns how many have not.
    pub fn close(&self, wait: Duration) -> usize {
        self.0.queue.close(wait)
    }

    /// Takes a last entry, and nothing after it; [`Writing::join`] waits until all is written.
    pub fn stop(&self, last: Draft) {
        self.0.queue.stop(Some((last, (self.0.clock)())));
    }
}

/// How a change ended, told when this is dropped: also where the change panics.
struct Ending<'a> {
    audit: &'a Audit,
    how: Draft,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.audit.end(self.how.clone());
    }
}

/// Splitmix64's finisher: spreads a counter evenly over all numbers.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
