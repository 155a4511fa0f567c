//! `tributary.audit` on either log: writing it, and what becomes of its entries.

mod source;
pub mod verify;

use std::sync::Arc;

pub use source::EmbeddedEntries;

use super::clock;
use crate::audit::{AuditLog, Error, Observer, Record};
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
