//! Which partitions this process has open: their owners publish and withdraw them, queries borrow them.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Error, Partition};

/// How often a withdrawal looks whether the last query has ended.
const LOOK: Duration = Duration::from_millis(2);

/// The open partitions of a process, by partition number.
#[derive(Default)]
pub struct Partitions {
    open: Mutex<BTreeMap<u32, Arc<Partition>>>,
    /// Never signalled: a wait that gives the lock away.
    pause: Condvar,
}

impl Partitions {
    /// None open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets queries see a partition. One of the same number that was there is no longer seen.
    pub fn publish(&self, number: u32, partition: Arc<Partition>) {
        self.open().insert(number, partition);
    }

    /// Hides a partition from queries, gives the owner's handle up and waits until every query has dropped its own: the
    /// folder is then closed and can be opened again, by whomever.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] where queries still hold it after `wait`. It is hidden all the same, and closes when they end.
    pub fn withdraw(&self, number: u32, mut held: Arc<Partition>, wait: Duration) -> Result<(), Error> {
        let mut open = self.open();
        if open.get(&number).is_some_and(|published| Arc::ptr_eq(published, &held)) {
            open.remove(&number);
        }
        let mut waited = Duration::ZERO;
        loop {
            held = match Arc::try_unwrap(held) {
                Ok(partition) => {
                    drop(open); // closing may flush: nobody else needs to wait for that
                    drop(partition);
                    return Ok(());
                }
                Err(held) => held,
            };
            if waited >= wait {
                let readers = Arc::strong_count(&held) - 1;
                let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                return Err(Error::InUse {
                    partition: number,
                    readers,
                    waited_ms,
                });
            }
            open = self
                .pause
                .wait_timeout(open, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            waited += LOOK;
        }
    }

    /// A partition, if this process has it open. Drop it soon: its owner waits for it when the partition moves.
    pub fn get(&self, number: u32) -> Option<Arc<Partition>> {
        self.open().get(&number).cloned()
    }

    /// Every open partition, by number.
    pub fn all(&self) -> Vec<(u32, Arc<Partition>)> {
        self.open()
            .iter()
            .map(|(number, partition)| (*number, Arc::clone(partition)))
            .collect()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Partition>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner) // a map is whole after every one of its calls
    }
}
