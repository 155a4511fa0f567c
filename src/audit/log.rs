//! What is asked of `tributary.audit`. Both logs can do it.

use super::{Error, Record};

/// The audit topic as this module needs it. Calls block, for a bounded time: they belong on a thread of their own.
pub trait AuditLog: Send + Sync {
    /// Appends records in their order and returns once all are durable. After an error some of them may be there.
    ///
    /// # Errors
    /// [`Error::Away`] when it is worth another attempt, [`Error::Refused`] when somebody has to see to it first.
    fn append(&self, records: &[Record]) -> Result<(), Error>;
}

#[cfg(test)]
pub(crate) mod memory {
    //! An audit topic in memory that can be away, for tests.

    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[derive(Debug, Default)]
    pub(crate) struct MemoryAudit {
        pub(crate) records: Mutex<Vec<Record>>,
        pub(crate) away: Mutex<Option<Error>>,
        pub(crate) slow: Mutex<Duration>,
    }

    impl AuditLog for MemoryAudit {
        fn append(&self, records: &[Record]) -> Result<(), Error> {
            let slow = *self.slow.lock().unwrap();
            std::thread::sleep(slow);
            if let Some(error) = self.away.lock().unwrap().clone() {
                return Err(error);
            }
            self.records.lock().unwrap().extend_from_slice(records);
            Ok(())
        }
    }
}
