//! `tributary.audit` on either log: writing it, and what becomes of its entries.

mod source;
pub mod tail;
pub mod verify;

use std::sync::Arc;

pub use source::EmbeddedEntries;

use super::clock;
use super::guard::Guard;
use crate::audit::{Audit, AuditLog, Error, Memory, Observer, Record, Started, Writing};
use crate::telemetry::{Health, Metrics, events};
use crate::topics;
use crate::topics::embedded::{self, Broker, NewRecord, Topic};
use crate::topics::kafka::Settings;
use crate::topics::kafka::control::Appender;

/// Every entry goes to this partition: the order of the log is part of the evidence.
const PARTITION: u32 = 0;

/// The audit topic of an embedded log.
pub struct EmbeddedAudit(pub Arc<Broker>);

impl AuditLog for EmbeddedAudit {
    fn append(&self, records: &[Record]) -> Result<(), Error> {
        let timestamp = clock::now();
        let records: Vec<_> = records
            .iter()
            .map(|Record { key, value }| NewRecord {
                partition: PARTITION,
                key: Some(key),
                value: Some(value),
                headers: &[],
                timestamp,
            })
            .collect();
        self.0.append(Topic::Audit, &records).map(drop).map_err(|error| match error {
            embedded::Error::Refused(why) => Error::Refused(why),
            other => Error::Away(other.to_string()),
        })
    }
}

/// The audit topic on Kafka.
pub struct KafkaAudit {
    topic: String,
    appender: Appender,
}

impl KafkaAudit {
    /// Ready to append.
    pub fn open(settings: &Settings) -> Result<Self, topics::Error> {
        Ok(Self { topic: settings.topics.audit.clone(), appender: Appender::open(settings)? })
    }
}

impl AuditLog for KafkaAudit {
    fn append(&self, records: &[Record]) -> Result<(), Error> {
        let records = records.iter().map(|record| (record.key.as_slice(), Some(record.value.as_slice())));
        self.appender.append_all(&self.topic, PARTITION, records).map(drop).map_err(|error| match error {
            topics::Error::Unreachable(why) => Error::Away(why),
            other => Error::Refused(other.to_string()),
        })
    }
}

/// Begins to write, on a thread that holds `guard`: one that panics ends the process.
///
/// # Errors
/// As [`Writing::start`].
pub fn write(
    audit: &Audit,
    log: Arc<dyn AuditLog>,
    memory: Memory,
    started: Started,
    mut guard: Guard,
) -> Result<Writing, Error> {
    Writing::start(audit, log, memory, started, move || guard.tell(None))
}

/// What becomes of entries -> logs, metrics, health.
pub struct Watch {
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// What readiness answers from.
    pub health: Arc<Health>,
}

impl Observer for Watch {
    fn written(&self, entries: usize) {
        events::AuditWritten { entries: entries as u64 }.emit(&self.metrics);
    }

    fn refused(&self) {
        events::AuditRefused.emit(&self.metrics);
    }

    fn waiting(&self, entries: usize) {
        self.metrics.audit.queue.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    fn away(&self, why: &str) {
        events::AuditUnreachable { reason: why }.emit(&self.metrics);
        self.health.audit(Some(why));
    }

    fn back(&self) {
        self.health.audit(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::app::Event;
    use crate::audit::{Action, Caller, Draft, Outcome, Settings};

    /// A log that panics at its second append: the first tells of the start.
    #[derive(Default)]
    struct Panics(std::sync::atomic::AtomicBool);

    impl AuditLog for Panics {
        fn append(&self, _records: &[Record]) -> Result<(), Error> {
            assert!(!self.0.swap(true, std::sync::atomic::Ordering::Relaxed), "as the test wants it");
            Ok(())
        }
    }

    #[test]
    fn a_panic_of_its_thread_is_told_ends_the_process_and_refuses_changes() {
        let (folder, (events, heard)) = (tempfile::tempdir().unwrap(), channel());
        let (health, stop) = (Arc::new(Health::default()), CancellationToken::new());
        health.running();
        let watch = Watch { metrics: Arc::new(Metrics::new().unwrap()), health: Arc::clone(&health) };
        let patience = Duration::from_secs(10);
        let settings = Settings { queue: 8, strangers: 1, shut_keys: 1, patience, read_sample: 1.0, clock: || 0 };
        let audit = Audit::new(&settings, Arc::new(watch));
        let guard = Guard::new("audit".into(), events, stop.clone());
        let started = Started { instance: "i".into(), version: "1".into(), config: String::new() };
        let writing = write(&audit, Arc::new(Panics::default()), Memory::of(folder.path()), started, guard).unwrap();
        writing.ready(Duration::from_secs(10), &audit).unwrap();
        assert!(health.not_ready().is_empty() && heard.try_recv().is_err());
        let change = || audit.record(Draft::new(Caller::system(), Action::KeyCreate, "", Outcome::Allowed));
        assert!(change().is_err(), "whoever waits is told");
        let Event::Ended { name, error: Some(error) } = heard.recv().unwrap() else { panic!("a clean end") };
        assert_eq!((name.as_str(), error.to_string().contains("panicked")), ("audit", true), "{error}");
        writing.join();
        assert!(stop.is_cancelled() && change().is_err());
        let reasons = health.not_ready();
        assert_eq!(reasons.iter().map(|reason| reason.code).collect::<Vec<_>>(), ["audit_unavailable"]);
    }
}
