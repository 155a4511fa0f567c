//! Sealing everything anew after a rotation of keys, a bounded step at a time.
//!
//! Retention and compaction take rows away, so they and this must have one caller; appends and commits may go on.

use std::sync::PoisonError;

use super::Error;
use super::broker::Broker;

impl Broker {
    /// Looks at up to `records` rows and writes those again that stand under an older key, or, when all are done, compacts
    /// a stretch of the files. Says whether there is more to do.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn reseal(&self, records: usize) -> Result<bool, Error> {
        let mut reseal = self.reseal.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(keyring), Some(under_way)) = (&self.storage.keyring, reseal.as_mut()) else { return Ok(false) };
        let db = &self.storage.db;
        if under_way.is_sealing() {
            // Bounds and commits change at any time, but under this lock.
            let mut state = self.lock();
            let batch = under_way.step(db, keyring, records).map_err(|error| self.storage.sealed(error))?;
            self.put(&mut state, batch)?;
            return Ok(true);
        }
        let (batch, done) = under_way.compact(db, keyring).map_err(|error| self.storage.sealed(error))?;
        self.put(&mut self.lock(), batch)?;
        if done {
            *reseal = None;
            // What was in the write-ahead log goes with it.
            db.flush().map_err(|error| self.storage.sealed(error.into()))?;
        }
        Ok(!done)
    }

    /// About how many bytes are still to be written again after a rotation of keys; 0 when there is none under way.
    pub fn left_to_reseal(&self) -> u64 {
        let reseal = self.reseal.lock().unwrap_or_else(PoisonError::into_inner);
        reseal.as_ref().map_or(0, |under_way| under_way.left_bytes(&self.storage.db))
    }
}
