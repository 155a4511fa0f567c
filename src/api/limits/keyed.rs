//! What is counted of each key.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Semaphore;

use super::{Bucket, READS, Rate, Seats};

/// What is counted of one key.
pub(super) struct OfKey {
    pub(super) bucket: Bucket,
    /// Requests under way.
    pub(super) busy: Seats,
    /// Places for reads of the state.
    pub(super) reads: Arc<Semaphore>,
}

impl OfKey {
    fn new(rate: Rate) -> Self {
        Self { bucket: Bucket::new(rate), busy: Seats::default(), reads: Arc::new(Semaphore::new(READS / 2)) }
    }

    /// The same at another rate; what is under way goes on.
    fn at(&self, rate: Rate) -> Self {
        Self { bucket: self.bucket.at(rate), busy: self.busy.clone(), reads: Arc::clone(&self.reads) }
    }
}

/// All that is counted, by the id of a key. There are as many as keys have asked whose secret was right, at most.
#[derive(Default)]
pub(super) struct Keyed(RwLock<HashMap<String, Arc<OfKey>>>);

impl Keyed {
    /// What is counted of a key, at this rate.
    pub(super) fn of(&self, id: &str, rate: Rate) -> Arc<OfKey> {
        match self.known(id).filter(|known| known.bucket.rate() == rate) {
            Some(known) => known,
            None => self.begin(id, rate),
        }
    }

    /// What is counted of a key that has asked.
    pub(super) fn known(&self, id: &str) -> Option<Arc<OfKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).map(Arc::clone)
    }

    fn begin(&self, id: &str, rate: Rate) -> Arc<OfKey> {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let of_key = match keys.get(id) {
            Some(known) if known.bucket.rate() == rate => return Arc::clone(known), // somebody was faster
            Some(known) => Arc::new(known.at(rate)),
            None => Arc::new(OfKey::new(rate)),
        };
        keys.insert(id.to_owned(), Arc::clone(&of_key));
        of_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_so_at_another_rate_too() {
        let keyed = Keyed::default();
        let before = keyed.of("a", Rate::per_second(1, 1));
        let (_seat, _place) = (before.busy.take(1), before.reads.try_acquire());
        let after = keyed.of("a", Rate::per_second(9, 9));
        assert!(after.busy.take(1).is_none());
        assert_eq!(after.reads.available_permits(), READS / 2 - 1);
        assert_eq!(keyed.of("b", Rate::per_second(9, 9)).reads.available_permits(), READS / 2);
    }
}
