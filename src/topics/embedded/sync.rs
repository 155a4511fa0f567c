//! Who waits for which fsync: several appends and commits share one.
//!
//! Whoever finds no sync under way leads one, for everything written so far; who comes meanwhile waits and one of them
//! leads the next. What a sync made durable becomes visible to readers at once, in the order in which it was written.

use std::sync::{MutexGuard, PoisonError};

use super::Error;
use super::broker::{Broker, State};

/// How far the log is written and how far it is durable, in tickets: one for each write.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The last write's ticket.
    pub(super) written: u64,
    /// Every write up to this ticket is durable.
    durable: u64,
    /// Somebody leads a sync.
    leading: bool,
    /// Slots whose end moved since the last sync began.
    pub(super) moved: Vec<usize>,
    /// The first failure of a write or sync. After it nothing is trusted: the kernel may have dropped the pages.
    pub(super) broken: Option<Error>,
}

impl Broker {
    /// Returns once everything written so far is durable and visible.
    pub(super) fn settle<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Result<(), Error> {
        if !self.sync {
            self.publish(&mut state);
            return Ok(());
        }
        let ticket = state.progress.written;
        while state.progress.durable < ticket {
            if let Some(error) = &state.progress.broken {
                return Err(error.clone());
            }
            state = if state.progress.leading {
                self.synced.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.lead(state)
            };
        }
        Ok(())
    }

    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.progress.leading = true;
        let ticket = state.progress.written;
        let moved: Vec<_> = std::mem::take(&mut state.progress.moved)
            .into_iter()
            .filter_map(|slot| state.extents.get(slot).map(|extent| (slot, extent.end)))
            .collect();
        drop(state);

        let outcome = self.storage.sync();

        let mut state = self.lock();
        state.progress.leading = false;
        match outcome {
            Ok(()) => {
                state.progress.durable = ticket;
                for (slot, end) in moved {
                    self.show(slot, end);
                }
                self.changed.notify_all();
            }
            Err(error) => state.progress.broken = Some(error),
        }
        self.synced.notify_all();
        state
    }

    fn publish(&self, state: &mut State) {
        let State { progress, extents, .. } = state;
        for slot in progress.moved.drain(..) {
            if let Some(extent) = extents.get(slot) {
                self.show(slot, extent.end);
            }
        }
        progress.durable = progress.written;
        self.changed.notify_all();
    }
}
