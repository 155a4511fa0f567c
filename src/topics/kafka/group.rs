//! librdkafka's callbacks into a member of the group: what the group gives and takes.
//!
//! `rebalance` is overridden whole: rdkafka's own would assign the partitions at committed offsets by itself. Here a gained
//! partition is acknowledged and nothing of it is read before the engine has named every offset.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use super::super::{Assignment, Input, PerInput};
use super::errors::{self, number};
use super::reach::{self, Reach};

/// What the group's callback leaves for the next poll.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// The group's word.
    pub(super) owned: BTreeSet<u32>,
    /// Those of them that are being read.
    pub(super) started: BTreeSet<u32>,
    pub(super) changes: Vec<Assignment>,
    /// The group has told this member its share, be it empty; undone when the session is lost.
    pub(super) told: bool,
    pub(super) fatal: Option<String>,
    /// Whether it gave up its share because the group was not heard for a session, and has been given none since.
    pub(super) unheard: bool,
}

/// librdkafka's callbacks into a member.
pub(super) struct Context {
    pub(super) topics: PerInput<String>,
    pub(super) reach: Arc<Reach>,
    /// A connection failed since the brokers were last asked for a sign of life.
    pub(super) suspect: AtomicBool,
    share: Mutex<Share>,
}

impl Context {
    pub(super) fn new(topics: PerInput<String>, reach: Arc<Reach>) -> Self {
        Self { topics, reach, suspect: AtomicBool::new(false), share: Mutex::default() }
    }

    pub(super) fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner) // every change below is of one value
    }

    /// Every input of these partitions.
    pub(super) fn list(&self, partitions: impl IntoIterator<Item = u32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            for input in Input::ALL {
                list.add_partition(self.topics.get(input), number(partition));
            }
        }
        list
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &[u32]) {
        let mut share = self.share();
        let lost = consumer.assignment_lost(); // not known any more once it is given back
        let started: Vec<u32> = partitions.iter().copied().filter(|p| share.started.remove(p)).collect();
        if let Err(error) = consumer.incremental_unassign(&self.list(started)) {
            share.fatal.get_or_insert(format!("could not give partitions back to the group: {error}"));
        }
        if lost {
            share.told = false;
            share.unheard = consumer.client().fatal_error().is_none();
        }
        for partition in partitions {
            if share.owned.remove(partition) {
                share.changes.push(Assignment::Lost(*partition));
            }
        }
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &[u32]) {
        let mut share = self.share();
        // An empty list acknowledges: the group goes on, and nothing is read yet.
        if let Err(error) = consumer.incremental_assign(&TopicPartitionList::new()) {
            share.fatal.get_or_insert(format!("could not take partitions from the group: {error}"));
        }
        (share.told, share.unheard) = (true, false);
        for partition in partitions {
            if share.owned.insert(*partition) {
                share.changes.push(Assignment::Gained(*partition));
            }
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        reach::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match errors::code(&error) {
            Code::Authentication | Code::SaslAuthenticationFailed => self.reach.failed(reason),
            code => {
                // Not every broker's end is told as the end of all brokers: it is found out by asking.
                if errors::is_transport(code) {
                    self.suspect.store(true, Ordering::Relaxed);
                    self.reach.shook();
                }
                tracing::warn!(%code, reason, "kafka consumer");
            }
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let lead = self.topics.get(Input::Touchpoints);
        let partitions: Vec<u32> = list
            .elements_for_topic(lead)
            .iter()
            .filter_map(|element| u32::try_from(element.partition()).ok())
            .collect();
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, &partitions),
            _ => self.revoke(consumer, &partitions),
        }
    }
}
