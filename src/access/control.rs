//! What is asked of `tributary.control`, the compacted topic of what instances share. Both logs can do it.

use std::time::Duration;

use super::Error;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// Kind and name, `key/<id>`.
    pub key: Vec<u8>,
    /// The value; none deletes the key.
    pub value: Option<Vec<u8>>,
}

/// What a read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlRecords {
    /// The records, in order.
    pub records: Vec<ControlRecord>,
    /// Where to read on.
    pub next: i64,
    /// Whether it is known that everything that was there when the call began has been read. A log may find that out less
    /// often than it is read.
    pub at_end: bool,
}

/// The control topic as this module needs it. Calls block: they belong on threads of their own.
pub trait ControlLog: Send + Sync {
    /// Writes one record and returns once it is durable. No value deletes the key.
    fn put(&self, key: &str, value: Option<&[u8]>) -> Result<(), Error>;

    /// Reads from a position on (0 is the beginning), waiting up to `wait` where nothing is there.
    fn read(&self, from: i64, wait: Duration) -> Result<ControlRecords, Error>;
}

#[cfg(test)]
pub(crate) mod memory {
    //! A control topic in memory, for tests.

    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    pub(crate) struct MemoryControl(pub(crate) Mutex<Vec<ControlRecord>>);

    impl ControlLog for MemoryControl {
        fn put(&self, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
            self.0.lock().unwrap().push(ControlRecord { key: key.into(), value: value.map(Into::into) });
            Ok(())
        }

        fn read(&self, from: i64, wait: Duration) -> Result<ControlRecords, Error> {
            let all = self.0.lock().unwrap().clone();
            let records = all[usize::try_from(from).unwrap()..].to_vec();
            if records.is_empty() {
                std::thread::sleep(wait.min(Duration::from_millis(2)));
            }
            Ok(ControlRecords { records, next: i64::try_from(all.len()).unwrap(), at_end: true })
        }
    }
}
