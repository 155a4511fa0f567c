//! The one log of the process, whichever it is, and what the parts ask of it.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::audit::{EmbeddedAudit, EmbeddedEntries, KafkaAudit};
use super::control::{EmbeddedControl, KafkaControl};
use super::ingest::EmbeddedIngest;
use super::tail::EmbeddedRows;
use super::{Error, settings};
use crate::access::ControlLog;
use crate::access::socket::Rows;
use crate::api::Ingest;
use crate::audit::AuditLog;
use crate::config::{Config, LogKind};
use crate::topics::embedded::{Broker, Place};
use crate::topics::kafka;

/// The log.
pub enum Log {
    /// In this process.
    Embedded(Arc<Broker>),
    /// On Kafka: its settings, and how many partitions its topics have.
    Kafka(Box<kafka::Settings>, NonZeroU32),
}

impl Log {
    /// Opens the log; on Kafka, looks at the topics and refuses those that are not as they must be.
    pub fn open(config: &Config) -> Result<Self, Error> {
        if config.log.kind == LogKind::Embedded {
            let place = Place::Folder(settings::log_dir(config));
            return Ok(Self::Embedded(Broker::open(&place, &settings::embedded(config)?)?));
        }
        let settings = settings::kafka(config);
        let findings = kafka::topics::check(&settings)?;
        let problems: Vec<_> = findings.iter().filter(|finding| !finding.is_ok()).map(ToString::to_string).collect();
        if !problems.is_empty() {
            return Err(Error::Refused(format!("the topics are not as they must be:\n{}", problems.join("\n"))));
        }
        let topic = settings.topics.attributions.clone();
        let partitions = kafka::tail::Tail::open(&settings, &topic, kafka::tail::From::End)?.partitions();
        let none = || Error::Refused(format!("topic {topic} has no partition; `tributary topics create` makes it"));
        Ok(Self::Kafka(Box::new(settings), NonZeroU32::new(partitions).ok_or_else(none)?))
    }

    /// The embedded log, where it is that.
    pub fn broker(&self) -> Option<Arc<Broker>> {
        match self {
            Self::Embedded(broker) => Some(Arc::clone(broker)),
            Self::Kafka(..) => None,
        }
    }

    /// How many partitions inputs and output have.
    pub fn partitions(&self) -> NonZeroU32 {
        match self {
            Self::Embedded(broker) => broker.partitions(),
            Self::Kafka(_, partitions) => *partitions,
        }
    }

    /// The control topic.
    pub fn control(&self) -> Result<Arc<dyn ControlLog>, Error> {
        Ok(match self {
            Self::Embedded(broker) => Arc::new(EmbeddedControl(Arc::clone(broker))),
            Self::Kafka(settings, _) => Arc::new(KafkaControl::open(settings)?),
        })
    }

    /// The audit topic.
    pub fn audit(&self) -> Result<Arc<dyn AuditLog>, Error> {
        Ok(match self {
            Self::Embedded(broker) => Arc::new(EmbeddedAudit(Arc::clone(broker))),
            Self::Kafka(settings, _) => Arc::new(KafkaAudit::open(settings)?),
        })
    }

    /// The audit entries that the socket sends.
    pub fn entries(&self) -> Option<Arc<dyn Rows>> {
        self.broker().map(|broker| Arc::new(EmbeddedEntries(broker)) as Arc<dyn Rows>)
    }

    /// Where the sidecar writes events.
    pub fn ingest(&self) -> Option<Arc<dyn Ingest>> {
        self.broker().map(|broker| Arc::new(EmbeddedIngest(broker)) as Arc<dyn Ingest>)
    }

    /// The rows that the socket sends.
    pub fn rows(&self) -> Option<Arc<dyn Rows>> {
        self.broker().map(|broker| Arc::new(EmbeddedRows(broker)) as Arc<dyn Rows>)
    }
}
