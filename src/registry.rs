//! Schema id -> schema, over the registry's client; and what the commands ask a registry for.
//!
//! Two ways in. A worker thread asks [`Registry::schema`], which blocks, remembers, and never lets strange ids hurt: what
//! is remembered is bounded, an id that the registry does not know is not asked for again for a minute, and one question
//! at a time is on its way, however many workers wait. The commands use the async calls.
//!
//! The verdicts matter more than the calls: only "this id does not exist" and "this is no Avro schema" are faults of a
//! record. A registry that is down, busy, in another place than configured or does not let us in says nothing about the
//! record, and the stream waits.
//!
//! **Architecture invariant:** nothing here knows what an event is, and nothing here reads a datum.

mod cache;
mod client;
#[cfg(test)]
mod tests;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use apache_avro::Schema;
use secrecy::SecretString;
use tokio::runtime::Handle;

pub(crate) use cache::Generations;
use client::Client;
pub use client::{Compatibility, Registered};

/// How many schemas are remembered, and as many ids that are none.
const REMEMBERED: usize = 1000;
/// How long the registry is not asked again for an id that it did not know, or that was no Avro schema.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What went wrong, by what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The registry answers, and knows no schema of that id: the record's fault.
    #[error("schema id {0} is unknown to the registry")]
    UnknownId(u32),
    /// There is such a schema, but it is not Avro, or not such as can be read: the record's fault.
    #[error("schema id {id}: {reason}")]
    Invalid {
        /// The schema's id.
        id: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry does not answer or is busy. Wait and ask again.
    #[error("schema registry not reachable: {0}")]
    Unreachable(String),
    /// Something answers, but not as it should: the address or the credentials are wrong. Wait, and tell the operator.
    #[error("schema registry refuses: {0}; check registry.url and its credentials")]
    Refused(String),
    /// A schema may not follow the ones that the subject has. Give the new field a default, or use another topic.
    #[error("schema of {subject} is not compatible with the one registered: {reasons}")]
    Incompatible {
        /// The subject.
        subject: String,
        /// Why, in the registry's words.
        reasons: String,
    },
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
}

impl Error {
    /// Whether the error is about the schema asked for, so that asking again does not help the record.
    pub fn is_of_the_record(&self) -> bool {
        matches!(self, Self::UnknownId(_) | Self::Invalid { .. })
    }
}

/// Who we say that we are.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nobody.
    #[default]
    None,
    /// HTTP basic authentication; at Confluent Cloud the API key and its secret.
    Basic {
        /// The user, or key.
        username: String,
        /// The password, or secret.
        password: SecretString,
    },
    /// A bearer token.
    Bearer(SecretString),
}

/// How to reach a registry.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base addresses of one registry (`http://host:8081`), tried in order. At least one.
    pub urls: Vec<String>,
    /// Who we say that we are.
    pub credentials: Credentials,
    /// Certificates (PEM) of the authorities that the registry's may come from; none: those of the system.
    pub authorities: Option<Vec<u8>>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Where writers' schemas come from. Blocks until it is known what an id stands for.
pub trait Schemas: Send + Sync {
    /// The schema of that id.
    fn schema(&self, id: u32) -> Result<Arc<Schema>, Error>;
}

impl<F: Fn(u32) -> Result<Arc<Schema>, Error> + Send + Sync> Schemas for F {
    fn schema(&self, id: u32) -> Result<Arc<Schema>, Error> {
        self(id)
    }
}

/// A schema registry that speaks Confluent's API.
#[derive(Debug)]
pub struct Registry {
    client: Arc<Client>,
    runtime: Handle,
    /// How long one schema may take, with the schemas that it refers to.
    patience: Duration,
    memory: Mutex<Memory>,
    /// Held while a question is on its way.
    asking: Mutex<Option<Silence>>,
}

#[derive(Debug)]
struct Memory {
    schemas: Generations<Arc<Schema>>,
    refusals: Generations<(Instant, Error)>,
}

/// The last time that there was no answer.
#[derive(Debug)]
struct Silence {
    at: Instant,
    error: Error,
}

impl Registry {
    /// A registry at these addresses; `runtime` carries the requests of [`Self::schema`].
    pub fn new(settings: &Settings, runtime: Handle) -> Result<Self, Error> {
        let addresses = u32::try_from(settings.urls.len()).unwrap_or(u32::MAX);
        Ok(Self {
            client: Arc::new(Client::new(settings)?),
            runtime,
            patience: settings.timeout.saturating_mul(addresses).saturating_mul(2),
            memory: Mutex::new(Memory {
                schemas: Generations::new(REMEMBERED),
                refusals: Generations::new(REMEMBERED),
            }),
            asking: Mutex::new(None),
        })
    }

    /// The schema of that id. Blocks the calling thread; not for async code.
    pub fn schema(&self, id: u32) -> Result<Arc<Schema>, Error> {
        if let Some(known) = self.remembered(id) {
            return known;
        }
        let waiting_since = Instant::now();
        let mut silence = lock(&self.asking);
        // Somebody may have asked while this thread waited: for the same id, or in vain.
        if let Some(known) = self.remembered(id) {
            return known;
        }
        if let Some(silence) = silence.as_ref().filter(|silence| silence.at >= waiting_since) {
            return Err(silence.error.clone());
        }
        let answer = self.ask(id);
        *silence = None;
        match &answer {
            Ok(schema) => lock(&self.memory).schemas.insert(id, Arc::clone(schema)),
            Err(error) if error.is_of_the_record() => {
                lock(&self.memory).refusals.insert(id, (Instant::now(), error.clone()));
            }
            Err(error) => *silence = Some(Silence { at: Instant::now(), error: error.clone() }),
        }
        answer
    }

    fn remembered(&self, id: u32) -> Option<Result<Arc<Schema>, Error>> {
        let mut memory = lock(&self.memory);
        if let Some(schema) = memory.schemas.get(id) {
            return Some(Ok(Arc::clone(schema)));
        }
        let (at, error) = memory.refusals.get(id)?;
        (at.elapsed() < ASK_AGAIN).then(|| Err(error.clone()))
    }

    /// Asks on the runtime and waits here: unlike `block_on`, this neither panics on a runtime that is going down nor
    /// waits for ever on one that is stuck.
    fn ask(&self, id: u32) -> Result<Arc<Schema>, Error> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let client = Arc::clone(&self.client);
        let task = self.runtime.spawn(async move {
            let answer = client.schema(id).await;
            drop(sender.try_send(answer)); // nobody listens any longer when patience ran out
        });
        receiver.recv_timeout(self.patience).unwrap_or_else(|why| {
            task.abort();
            Err(Error::Unreachable(match why {
                RecvTimeoutError::Timeout => format!("no answer within {} s", self.patience.as_secs_f32()),
                RecvTimeoutError::Disconnected => "the process is shutting down".into(),
            }))
        })
    }

    /// Registers a schema under a subject, unless it is there already; its id either way.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, Error> {
        self.client.register(subject, schema).await
    }

    /// Whether a schema may follow the one that the subject has.
    pub async fn compatible(&self, subject: &str, schema: &str) -> Result<Compatibility, Error> {
        self.client.compatible(subject, schema).await
    }

    /// The id and version that a schema has under a subject; none where it is not registered there.
    pub async fn registered(&self, subject: &str, schema: &str) -> Result<Option<Registered>, Error> {
        self.client.registered(subject, schema).await
    }

    /// The newest schema of a subject; none where there is no such subject.
    pub async fn latest(&self, subject: &str) -> Result<Option<Registered>, Error> {
        self.client.latest(subject).await
    }

    /// Whether the registry answers, as a registry that knows Avro.
    pub async fn reachable(&self) -> Result<(), Error> {
        self.client.reachable().await
    }

    /// Registers each of (subject, schema) in turn, first making sure that it may follow what is there; the ids in the
    /// same order. The first refusal ends it: nothing after it is registered.
    pub async fn register_all(&self, schemas: &[(&str, &str)]) -> Result<Vec<u32>, Error> {
        for (subject, schema) in schemas {
            if let Compatibility::Incompatible(reasons) = self.compatible(subject, schema).await? {
                let silent = reasons.is_empty(); // Apicurio's answer has no reasons
                let reasons = if silent { "the registry does not say why".into() } else { reasons.join("; ") };
                return Err(Error::Incompatible { subject: (*subject).into(), reasons });
            }
        }
        let mut ids = Vec::with_capacity(schemas.len());
        for (subject, schema) in schemas {
            ids.push(self.register(subject, schema).await?);
        }
        Ok(ids)
    }

    /// How each of (subject, schema) stands, in the same order; changes nothing.
    pub async fn check_all(&self, schemas: &[(&str, &str)]) -> Result<Vec<Standing>, Error> {
        let mut standings = Vec::with_capacity(schemas.len());
        for (subject, schema) in schemas {
            standings.push(match self.registered(subject, schema).await? {
                Some(registered) => Standing::Registered(registered),
                None => match self.compatible(subject, schema).await? {
                    Compatibility::First => Standing::Missing,
                    Compatibility::Compatible => Standing::Outdated,
                    Compatibility::Incompatible(reasons) => Standing::Incompatible(reasons),
                },
            });
        }
        Ok(standings)
    }
}

impl Schemas for Registry {
    fn schema(&self, id: u32) -> Result<Arc<Schema>, Error> {
        Self::schema(self, id)
    }
}

/// How one of our schemas stands in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is there.
    Registered(Registered),
    /// The subject has no schema yet: register ours.
    Missing,
    /// The subject has another schema, which ours may follow: register ours.
    Outdated,
    /// The subject has another schema, and ours may not follow it, for these reasons (some registries give none).
    Incompatible(Vec<String>),
}

/// A panic while holding one of these locks leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
