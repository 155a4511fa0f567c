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

    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::audit::{Action, Audit, Caller, Draft, Memory, Outcome, Settings, Started, Writing};

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

    /// An audit that runs, for the tests of those who have something to tell.
    pub(crate) struct Audited {
        pub(crate) audit: Audit,
        pub(crate) log: Arc<MemoryAudit>,
        _folder: tempfile::TempDir,
        writing: Mutex<Option<Writing>>,
    }

    impl Audited {
        /// With room for 64 decisions, each waiting 200 ms for it, for 256 of strangers and 64 of keys that open nothing; every
        /// read is written.
        pub(crate) fn start() -> Self {
            let patience = Duration::from_millis(200);
            let settings =
                Settings { queue: 64, strangers: 256, shut_keys: 64, patience, read_sample: 1.0, clock: || 0 };
            let audit = Audit::new(&settings, Arc::new(()));
            let (log, folder) = (Arc::new(MemoryAudit::default()), tempfile::tempdir().unwrap());
            let started = Started { instance: "test".into(), version: "0".into(), config: String::new() };
            let memory = Memory::of(folder.path());
            let writing =
                Writing::start(&audit, Arc::clone(&log) as Arc<dyn AuditLog>, memory, started, || ()).unwrap();
            writing.ready(Duration::from_secs(30), &audit).unwrap();
            Self { audit, log, _folder: folder, writing: Mutex::new(Some(writing)) }
        }

        /// The log goes away, or comes back.
        pub(crate) fn away(&self, away: bool) {
            *self.log.away.lock().unwrap() = away.then(|| Error::Away("no broker".into()));
        }

        /// Every entry in full, the start and the stop left out. Nothing is taken after this.
        pub(crate) fn entries(&self) -> Vec<serde_json::Value> {
            if let Some(writing) = self.writing.lock().unwrap().take() {
                self.audit.stop(Draft::new(Caller::system(), Action::Stop, "process", Outcome::Done));
                writing.join();
            }
            let records = self.log.records.lock().unwrap();
            let read = records.iter().map(|record| serde_json::from_slice(&record.value).unwrap());
            read.filter(|entry: &serde_json::Value| entry["actor"] != "system").collect()
        }

        /// Actor, action, object and outcome of each.
        pub(crate) fn told(&self) -> Vec<String> {
            let text = |entry: &serde_json::Value| {
                ["actor", "action", "object", "outcome"]
                    .map(|field| entry[field].as_str().unwrap().to_owned())
                    .join(" ")
            };
            self.entries().iter().map(text).collect()
        }
    }
}
