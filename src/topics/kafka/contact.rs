//! The first contact with the brokers: whether they let this client in, and in plain words why not.
//!
//! librdkafka tries for ever, and a question over a connection that never comes about ends with "transport failure": why it
//! does not come about is told beside, as an error of the client. A password or a certificate that is refused now will be
//! refused in a second too, so that is an end, not a reason to wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, Producer as _, ProducerContext};

use super::super::Error;
use super::errors;
use super::polled::Polled;
use super::reach;
use super::settings::Settings;

/// A client that a broker has let in. Its transactional id is of the instance, but of none of its workers.
pub(super) struct Contact {
    client: Polled<Context>,
    transactional_id: String,
}

/// What librdkafka told of connections.
#[derive(Debug, Default)]
struct Told {
    /// The first reason that only another configuration, or another broker, does away with, and since when.
    refused: Option<(Instant, String)>,
    /// The last of the other reasons.
    trouble: Option<String>,
}

#[derive(Default)]
pub(super) struct Context(Mutex<Told>);

impl Context {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // plain values: never half written
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        reach::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut told = self.told();
        let refused = match errors::code(&error) {
            Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL => true,
            // With TLS 1.3 the broker looks at the client's certificate when the client thinks that all is done.
            _ => reason.contains("SSL alert number"),
        };
        if refused {
            told.refused.get_or_insert_with(|| (Instant::now(), reason.into()));
        } else {
            told.trouble = Some(reason.into());
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Between two looks at what was told.
const STEP: Duration = Duration::from_millis(500);
/// After one broker has refused, how long another may take to answer.
const GRACE: Duration = Duration::from_secs(2);

impl Contact {
    /// Waits until a broker answers.
    ///
    /// # Errors
    /// [`Error::Fatal`] when this client is refused, or refuses the broker; [`Error::Unreachable`] when nobody answers.
    pub(super) fn make(settings: &Settings) -> Result<Self, Error> {
        settings.validate()?;
        let transactional_id = format!("{}-{}-check", settings.transactional_prefix, settings.instance);
        let client = Polled::create(&settings.producer(&transactional_id), Context::default())
            .map_err(|error| errors::unmade("producer", &error))?;
        let contact = Self { client, transactional_id };
        let topic = &settings.topics.touchpoints;
        let deadline = Instant::now() + settings.timeouts.request;
        loop {
            let Err(error) = contact.client().fetch_metadata(Some(topic), STEP) else { return Ok(contact) };
            contact.client.serve();
            let told = contact.context().told();
            let over = Instant::now() >= deadline;
            match &told.refused {
                Some((since, why)) if over || since.elapsed() > GRACE => {
                    return Err(Error::Fatal(format!("kafka: {why}; {}", remedy(why))));
                }
                _ if over => {
                    let why = told.trouble.clone().unwrap_or_else(|| errors::code(&error).to_string());
                    let brokers = &settings.brokers;
                    return Err(Error::Unreachable(format!(
                        "kafka at {brokers}: {why}; if it is there, check security.protocol in kafka.properties"
                    )));
                }
                _ => {}
            }
        }
    }

    pub(super) fn client(&self) -> &Client<Context> {
        self.client.client()
    }

    fn context(&self) -> &Arc<Context> {
        self.client().context()
    }

    /// Whether the principal may write in transactions under an id of this instance; asked by claiming one that no worker has.
    pub(super) fn may_write_transactions(&self, wait: Duration) -> Result<bool, Error> {
        match self.client.init_transactions(wait) {
            Ok(()) => Ok(true),
            Err(error) => match errors::code(&error) {
                Code::TransactionalIdAuthorizationFailed | Code::ClusterAuthorizationFailed => Ok(false),
                code if errors::is_transport(code) => {
                    Err(Error::Unreachable(format!("init_transactions of {}: {error}", self.transactional_id)))
                }
                // The workers' own ids will tell.
                _ => Ok(true),
            },
        }
    }
}

/// What to do about a refusal, by librdkafka's words for it.
fn remedy(why: &str) -> &'static str {
    let has = |part: &str| why.contains(part);
    if has("certificate verify failed") {
        "the broker's certificate must come from a CA in ssl.ca.location, be in force, and name the host as kafka.brokers does"
    } else if has("SSL alert number") {
        "the broker refuses this client's certificate: it must come from a CA that the broker trusts and be in force; check \
         ssl.certificate.location and ssl.key.location"
    } else if has("SASL") {
        "check sasl.mechanism, sasl.username and sasl.password in kafka.properties"
    } else {
        "check the security properties in kafka.properties"
    }
}
