//! One transactional id and the producer that has it; what the errors of its calls ask for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext};

use super::super::{Error, Output};
use super::errors;
use super::polled::Polled;
use super::queues::Topic;
use super::reach::{self, Reach};
use super::settings::{Names, Settings};

/// librdkafka's callbacks into a producer.
#[derive(Default)]
pub(super) struct Context {
    transport_failures: AtomicU64,
    undelivered: Mutex<Option<String>>,
}

impl Context {
    /// Why a record was not delivered, if one was not since the last call.
    pub(super) fn take_undelivered(&self) -> Option<String> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        reach::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = errors::code(&error);
        if errors::is_transport(code) {
            self.transport_failures.fetch_add(1, Ordering::Relaxed);
        }
        tracing::warn!(%code, reason, "kafka producer");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut undelivered = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
            undelivered.get_or_insert_with(|| error.to_string());
        }
    }
}

pub(super) type Client = Polled<Context>;

/// The topics that a producer writes to.
pub(super) struct Topics {
    attributions: Topic<Context>,
    dead_letter: Topic<Context>,
}

impl Topics {
    fn of(client: &Client, names: &Names) -> Result<Self, Error> {
        let topic = |output| {
            let name = names.output(output);
            Topic::of(client.producer(), name)
                .ok_or_else(|| Error::Fatal(format!("kafka producer: {name:?} is no topic's name")))
        };
        Ok(Self { attributions: topic(Output::Attributions)?, dead_letter: topic(Output::DeadLetter)? })
    }

    pub(super) fn get(&self, output: Output) -> &Topic<Context> {
        match output {
            Output::Attributions => &self.attributions,
            Output::DeadLetter => &self.dead_letter,
        }
    }
}

/// One transactional id and the producer that has it.
pub(super) struct Slot {
    pub(super) id: String,
    pub(super) client: Option<(Client, Topics)>,
    /// Transport failures up to the last time this producer was looked at.
    failures: u64,
    /// It must be replaced before its next transaction.
    pub(super) renew: bool,
}

impl Slot {
    pub(super) fn new(id: String) -> Self {
        Self { id, client: None, failures: 0, renew: true }
    }

    /// A transport failure since the last look.
    pub(super) fn broke(&mut self) -> bool {
        let Some((client, _)) = &self.client else { return true };
        client.serve(); // what librdkafka knows already counts
        let failures = client.client().context().transport_failures.load(Ordering::Relaxed);
        std::mem::replace(&mut self.failures, failures) != failures
    }

    /// A fresh producer with this id. Settles whatever an earlier life of the id left open.
    pub(super) fn start(&mut self, settings: &Settings, reach: &Reach) -> Result<(), Error> {
        tracing::info!(id = self.id, "new transactional producer");
        self.client = None; // the old one goes first
        self.renew = true;
        let client = Client::create(&settings.producer(&self.id), Context::default())
            .map_err(|error| errors::unmade("producer", &error))?;
        let deadline = Instant::now() + settings.timeouts.request;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match client.init_transactions(left.max(Duration::from_millis(100))) {
                Ok(()) => break,
                Err(error) if judge(&error) == Verdict::Again && !left.is_zero() => pause(),
                Err(error) => return Err(self.refused(&error, reach)),
            }
        }
        reach.answered();
        self.renew = false;
        self.failures = client.client().context().transport_failures.load(Ordering::Relaxed);
        let topics = Topics::of(&client, &settings.topics)?;
        self.client = Some((client, topics));
        Ok(())
    }

    fn refused(&self, error: &KafkaError, reach: &Reach) -> Error {
        let id = &self.id;
        match errors::code(error) {
            Code::TransactionalIdAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                Error::Fatal(format!("kafka producer: grant Write on the transactional id {id}"))
            }
            Code::InvalidTransactionTimeout => Error::Fatal(
                "kafka producer: the transaction timeout exceeds the broker's transaction.max.timeout.ms".into(),
            ),
            _ => {
                reach.failed(&format!("init_transactions of {id}: {error}"));
                Error::Unreachable(format!("init_transactions of {id}: {error}"))
            }
        }
    }
}

/// What an error of a transactional call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Call again.
    Again,
    /// Abort: the transaction failed, the producer did not.
    Abort,
    /// The group went on without this member.
    Zombie,
    /// Another producer has this transactional id, or the broker gave up this one's transaction.
    Superseded,
    /// This producer is of no more use.
    Broken,
}

/// A generation that is not the group's any more is no zombie's: the group moved on between the asking for it and the commit,
/// and takes nothing from a member that has not agreed. One that was put out is not known by its member id.
pub(super) fn judge(error: &KafkaError) -> Verdict {
    match errors::code(error) {
        Code::UnknownMemberId | Code::FencedInstanceId => return Verdict::Zombie,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => return Verdict::Superseded,
        _ => {}
    }
    match error {
        KafkaError::Transaction(error) if error.is_fatal() => Verdict::Broken,
        KafkaError::Transaction(error) if error.is_retriable() => Verdict::Again,
        KafkaError::Transaction(error) if error.txn_requires_abort() => Verdict::Abort,
        KafkaError::Transaction(_) => Verdict::Broken,
        _ => Verdict::Abort,
    }
}

/// Before a call is made again. Each such call has already waited inside librdkafka.
pub(super) fn pause() {
    thread::sleep(Duration::from_millis(5));
}
