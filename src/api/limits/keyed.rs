//! A bucket for each key.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Bucket, Rate};

/// Buckets by the id of a key. There are as many as keys have asked whose secret was right, at most.
#[derive(Default)]
pub(super) struct Keyed(RwLock<HashMap<String, Arc<Bucket>>>);

impl Keyed {
    /// The bucket of a key, at this rate.
    pub(super) fn bucket(&self, id: &str, rate: Rate) -> Arc<Bucket> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).map(Arc::clone);
        match known.filter(|bucket| bucket.rate() == rate) {
            Some(bucket) => bucket,
            None => self.begin(id, rate),
        }
    }

    fn begin(&self, id: &str, rate: Rate) -> Arc<Bucket> {
        let mut buckets = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let bucket = match buckets.get(id) {
            Some(bucket) if bucket.rate() == rate => return Arc::clone(bucket), // somebody was faster
            Some(bucket) => Arc::new(bucket.at(rate)),
            None => Arc::new(Bucket::new(rate)),
        };
        buckets.insert(id.to_owned(), Arc::clone(&bucket));
        bucket
    }
}
