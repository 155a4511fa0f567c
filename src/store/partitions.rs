//! Which partitions this process has open: their owners publish and withdraw them, queries borrow them.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::{Error, Partition};

/// How often a withdrawal looks whether the last query has ended.
const LOOK: Duration = Duration::from_millis(2);

/// Who has a partition open in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Its owner.
    Owner,
    /// So many readers, whose owner has given it up; after the last one it is being closed.
    Readers(usize),
}

/// The open partitions of a process, by partition number.
#[derive(Default)]
pub struct Partitions {
    inner: Mutex<Inner>,
    /// Never signalled: a wait that gives the lock away.
    pause: Condvar,
}

#[derive(Default)]
struct Inner {
    open: BTreeMap<u32, Arc<Partition>>,
    /// Those that were given up and not yet seen to be closed.
    left: BTreeMap<u32, Weak<Partition>>,
}

impl Partitions {
    /// None open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets queries see a partition. One of the same number that was there is no longer seen.
    pub fn publish(&self, number: u32, partition: Arc<Partition>) {
        let mut inner = self.inner();
        inner.left.remove(&number);
        inner.open.insert(number, partition);
    }

    /// Hides a partition from queries, gives the owner's handle up and waits until every query has dropped its own: the
    /// folder is then closed and can be opened again, by whomever.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] where queries still hold it after `wait`. It is hidden all the same, and closes when they end.
    pub fn withdraw(&self, number: u32, mut held: Arc<Partition>, wait: Duration) -> Result<(), Error> {
        let mut inner = self.inner();
        if inner.open.get(&number).is_some_and(|published| Arc::ptr_eq(published, &held)) {
            inner.open.remove(&number);
            inner.left.insert(number, Arc::downgrade(&held));
        }
        let (mut waited, own) = (Duration::ZERO, Arc::downgrade(&held));
        loop {
            held = match Arc::try_unwrap(held) {
                Ok(partition) => {
                    drop(inner); // closing may flush: nobody else needs to wait for that
                    drop(partition);
                    let mut inner = self.inner();
                    if inner.left.get(&number).is_some_and(|left| left.ptr_eq(&own)) {
                        inner.left.remove(&number); // another owner may have come and gone meanwhile
                    }
                    return Ok(());
                }
                Err(held) => held,
            };
            if waited >= wait {
                let readers = Arc::strong_count(&held) - 1;
                let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                return Err(Error::InUse { partition: number, readers, waited_ms });
            }
            inner = self.pause.wait_timeout(inner, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            waited += LOOK;
        }
    }

    /// A partition, if this process has it open. Drop it soon: its owner waits for it when the partition moves.
    pub fn get(&self, number: u32) -> Option<Arc<Partition>> {
        self.inner().open.get(&number).cloned()
    }

    /// Who has a partition open here, so that its folder cannot be opened; none where it was closed, or never open.
    pub fn holder(&self, number: u32) -> Option<Holder> {
        let inner = self.inner();
        if inner.open.contains_key(&number) {
            return Some(Holder::Owner);
        }
        inner.left.get(&number).map(|left| Holder::Readers(left.strong_count()))
    }

    /// Every open partition, by number.
    pub fn all(&self) -> Vec<(u32, Arc<Partition>)> {
        self.inner().open.iter().map(|(number, partition)| (*number, Arc::clone(partition))).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner) // a map is whole after every one of its calls
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::{Batch, Budget, Shared};

    fn open(shared: &Shared) -> Arc<Partition> {
        Arc::new(Partition::open(shared, Path::new("/p")).unwrap())
    }

    #[test]
    fn a_withdrawn_partition_can_be_opened_again() {
        let shared = Shared::in_memory(&Budget::default()).unwrap();
        let partitions = Partitions::new();
        for life in 0..20_u8 {
            let owned = open(&shared);
            partitions.publish(3, Arc::clone(&owned));
            assert_eq!(partitions.all().len(), 1);
            let query = partitions.get(3).unwrap();
            let reader = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(5));
                query.view().meta().unwrap()
            });
            let mut batch = Batch::new();
            batch.set_meta(&[life]);
            owned.write(&mut batch).unwrap();
            assert_eq!(partitions.holder(3), Some(Holder::Owner));
            partitions.withdraw(3, owned, Duration::from_secs(10)).unwrap();
            assert!(partitions.get(3).is_none() && partitions.holder(3).is_none());
            assert_eq!(reader.join().unwrap(), Some(vec![life]));
        }
    }

    #[test]
    fn a_query_that_does_not_end_is_reported() {
        let shared = Shared::in_memory(&Budget::default()).unwrap();
        let partitions = Partitions::new();
        let owned = open(&shared);
        partitions.publish(3, Arc::clone(&owned));
        let query = partitions.get(3).unwrap();
        let error = partitions.withdraw(3, owned, Duration::from_millis(10)).unwrap_err();
        assert_eq!(error, Error::InUse { partition: 3, readers: 1, waited_ms: 10 });
        assert!(!error.is_fatal());
        assert!(partitions.get(3).is_none(), "hidden all the same");
        assert_eq!(partitions.holder(3), Some(Holder::Readers(1)));
        drop(query);
        assert_eq!(partitions.holder(3), Some(Holder::Readers(0)), "nobody has seen it closed");
        partitions.publish(3, open(&shared));
        assert_eq!(partitions.holder(3), Some(Holder::Owner));
    }

    #[test]
    fn a_partition_that_another_has_published_stays() {
        let shared = Shared::in_memory(&Budget::default()).unwrap();
        let partitions = Partitions::new();
        let old = Arc::new(Partition::open(&shared, Path::new("/old")).unwrap());
        let new = Arc::new(Partition::open(&shared, Path::new("/new")).unwrap());
        partitions.publish(3, Arc::clone(&old));
        partitions.publish(3, Arc::clone(&new));
        partitions.withdraw(3, old, Duration::ZERO).unwrap();
        assert!(Arc::ptr_eq(&partitions.get(3).unwrap(), &new));
    }
}
