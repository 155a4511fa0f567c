//! How each part is started, from what all of them share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::guard::Guard;
use super::housekeeping::Housekeeping;
use super::log::Log;
use super::observe::Watch;
use super::patience::Patience;
use super::registry::{self, Rows};
use super::{Error, Event, clock, keys, settings, workers};
use crate::access::socket::{self, Backend};
use crate::access::{Admin, ControlLog, Keys};
use crate::api::tls::Tls;
use crate::api::{self, Serving};
use crate::audit::{self, Audit, Writing};
use crate::config::Config;
use crate::config::units::Span;
use crate::query::Reader;
use crate::registry::Schemas;
use crate::store::{Partitions, Shared};
use crate::stream::decode::Decoder;
use crate::stream::{Engine, Parts, Planted, Worker};
use crate::telemetry::{Health, Metrics, WorkerHealth};
use crate::topics::TopicLog;
use crate::topics::kafka::{self, KafkaLog};

/// What the parts share.
pub struct Common<'c> {
    pub config: &'c Config,
    /// The sidecar's certificates, if it has any.
    pub tls: Option<Tls>,
    /// The API keys; none before they are loaded.
    pub keys: Arc<Keys>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub partitions: Arc<Partitions>,
    /// Who did what; written once the log is there.
    pub audit: Audit,
    /// Cancelled by the first signal.
    pub interrupted: CancellationToken,
    pub stop: CancellationToken,
    pub stop_sidecar: CancellationToken,
    pub stop_last: CancellationToken,
    pub sender: Sender<Event>,
    pub runtime: Runtime,
}

/// What the workers stand on; whatever of it does not answer at the start is waited for.
pub struct Ground {
    /// The log.
    pub log: Log,
    /// What the states of all partitions share.
    pub shared: Arc<Shared>,
    /// The registry, and how rows are written.
    pub rows: Rows,
}

/// What is started once the audit log was told of the start.
pub struct Whole {
    pub admin: Admin,
    /// The task that answers on the data folder's socket; it ends when all that was asked there is answered.
    pub socket: tokio::task::JoinHandle<()>,
    pub state: api::State,
    /// Workers and housekeeping.
    pub threads: Vec<JoinHandle<()>>,
}

impl Common<'_> {
    /// Asks until there is an answer or the process is told to stop; meanwhile `/startupz` says what is waited for.
    fn patiently<T>(&self, ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        Patience { go_on: &|| !self.interrupted.is_cancelled(), tell: &|why| self.health.starting(why) }.ask(ask)
    }

    /// Asks the registry, opens the log, and lays out what the states of its partitions may take.
    pub fn ground(&self) -> Result<Ground, Error> {
        let rows = self.rows()?;
        let log = self.patiently(|| Log::open(self.config))?;
        let shared = Arc::new(settings::shared(self.config, log.partitions().get())?);
        Ok(Ground { log, shared, rows })
    }

    fn rows(&self) -> Result<Rows, Error> {
        let runtime = self.runtime.handle();
        let registry = registry::open(self.config, runtime)?;
        let format = self.patiently(|| registry::row_format(self.config, registry.as_deref(), runtime))?;
        Ok(Rows { registry, format })
    }

    /// Begins to write the audit log, and waits until it has been told of this start.
    pub fn audit(&self, log: &Log) -> Result<Writing, Error> {
        let memory = settings::audit_memory(self.config);
        let started = settings::started(self.config);
        let writing = super::audit::write(&self.audit, log.audit()?, memory, started, self.guard("audit"));
        let writing = writing.map_err(|error| Error::State(error.to_string()))?;
        self.patiently(|| {
            writing.ready(Duration::from_secs(1), &self.audit).map_err(|error| match error {
                audit::Error::Away(why) => Error::Unreachable(why),
                audit::Error::Refused(why) => Error::Refused(why),
            })
        })?;
        Ok(writing)
    }

    /// Everything that the audit log tells of: keys, the socket, workers, the whole sidecar; and housekeeping.
    pub fn whole(&self, ground: &Ground, sidecar: &Serving) -> Result<Whole, Error> {
        let (admin, socket) = self.load_keys(&ground.log)?;
        let mut threads = self.workers(ground)?;
        let state = self.state(Some(&ground.log), Some(&admin))?;
        sidecar.open(&state);
        threads.push(self.housekeeping(ground)?);
        Ok(Whole { admin, socket, state, threads })
    }

    /// The start failed after the audit log was told of it, which is told of the failure too.
    pub fn give_up(&self, writing: Writing, error: Error) -> Error {
        self.stop_sidecar.cancel(); // the socket may have begun to answer
        self.audit.close(self.config.sidecar.drain.duration());
        self.audit.stop(settings::stopped(Some(&error)));
        writing.join();
        error
    }

    /// Loads the keys, follows the control topic, and answers on the data folder's socket; the task that does so ends when
    /// all that was asked there is answered.
    fn load_keys(&self, log: &Log) -> Result<(Admin, tokio::task::JoinHandle<()>), Error> {
        let _context = self.runtime.enter();
        let server = socket::Server::bind(&self.config.engine.data_dir).map_err(|e| Error::State(e.to_string()))?;
        let control = log.control()?;
        let next = self.patiently(|| keys::load(&self.keys, &*control))?;
        if let Some((what, remedy)) = keys::shut_out(&self.keys) {
            tracing::warn!("API keys: {what}; {remedy}");
        }
        let admin = Admin::new(Arc::clone(&self.keys), Arc::clone(&control));
        self.follow(control, next)?;
        let (rows, entries) = (log.rows(), log.entries());
        let backend = Backend { admin: admin.clone(), audit: self.audit.clone(), rows, entries };
        let socket = self.runtime.spawn(server.serve(backend, self.stop_sidecar.clone()));
        self.runtime.spawn(admin.clone().keep_uses(self.stop_last.clone()));
        Ok((admin, socket))
    }

    /// Follows the control topic from `next` on. A key that is revoked elsewhere must not stay good here for want of a reader,
    /// so its end is the end of the process.
    fn follow(&self, control: Arc<dyn ControlLog>, next: i64) -> Result<(), Error> {
        let (keys, stop, mut guard) = (Arc::clone(&self.keys), self.stop_last.clone(), self.guard("control"));
        let health = Arc::clone(&self.health);
        health.keys_known(); // they have just been loaded
        let thread = std::thread::Builder::new().name("control".into());
        let started = thread.spawn(move || {
            keys.follow(
                &*control,
                next,
                || stop.is_cancelled(),
                |known| match known {
                    Ok(()) => health.keys_known(),
                    Err(error) => health.keys_unknown(error.to_string()),
                },
            );
            guard.tell(None);
        });
        started.map(drop).map_err(|error| Error::Failed(format!("no thread to be had for the control topic: {error}")))
    }

    /// Starts the worker threads.
    fn workers(&self, ground: &Ground) -> Result<Vec<JoinHandle<()>>, Error> {
        match &ground.log {
            Log::Embedded(broker) => {
                let names = (0..self.config.engine.workers).map(worker_name);
                let members: Vec<_> = names.map(|name| broker.join(&name)).collect();
                broker.spread()?;
                let joined = members.into_iter().enumerate();
                joined.map(|(number, member)| self.worker(number, ground, move |_, _| Ok(member))).collect()
            }
            Log::Kafka(settings, _) => {
                let numbers = 0..self.config.engine.workers;
                let join = |number| {
                    let settings = settings.clone();
                    self.worker(number, ground, move |stop, health| {
                        let patience =
                            Patience { go_on: &|| !stop.is_cancelled(), tell: &|why| health.log_unreachable(why) };
                        let joined = patience.ask(|| Ok(KafkaLog::join(kafka::Settings::clone(&settings), number)?))?;
                        health.log_reachable();
                        Ok(joined)
                    })
                };
                numbers.map(join).collect()
            }
        }
    }

    fn engine(&self, rows: &Rows) -> Result<Engine, Error> {
        let registry = rows.registry.clone();
        Ok(Engine {
            decoder: Decoder::new(registry.map(|registry| registry as Arc<dyn Schemas>)),
            rules: self.config.core_rules()?,
            format: rows.format,
            rows_bytes: settings::rows_bytes(self.config),
            planted: Planted::default(),
        })
    }

    fn worker<L: TopicLog>(
        &self,
        number: usize,
        ground: &Ground,
        join: impl FnOnce(&CancellationToken, &WorkerHealth) -> Result<L, Error> + Send + 'static,
    ) -> Result<JoinHandle<()>, Error> {
        let name = worker_name(number);
        let health = self.health.worker(&name);
        let observer = Watch::new(Arc::clone(&self.metrics), Arc::clone(&health), clock::now);
        let (engine, options) = (self.engine(&ground.rows)?, settings::worker(self.config));
        let parts = Parts {
            shared: Arc::clone(&ground.shared),
            partitions: Arc::clone(&self.partitions),
            clock: workers::clock(),
        };
        let (stop, token) = (self.stop.clone(), self.stop.clone());
        workers::spawn(name, stop, self.sender.clone(), move || {
            Ok(Worker::new(join(&token, &health)?, engine, options, parts, observer))
        })
    }

    /// Starts the sidecar with nothing but its probes and metrics: whatever the start waits for, they say so.
    pub fn sidecar(&self) -> Result<Serving, Error> {
        let _context = self.runtime.enter();
        let listen = settings::listen(self.config, self.tls.clone());
        let served = api::serve(&listen, &self.state(None, None)?, &self.stop_sidecar);
        served.map_err(|error| Error::Failed(error.to_string()))
    }

    /// What the sidecar works with; without a log, what its probes do.
    pub fn state(&self, log: Option<&Log>, admin: Option<&Admin>) -> Result<api::State, Error> {
        let rules = Arc::new(self.config.core_rules()?);
        let partitions = log.map_or(NonZeroU32::MIN, Log::partitions);
        Ok(api::State::new(api::Parts {
            keys: Arc::clone(&self.keys),
            admin: admin.cloned(),
            instance: settings::instance(self.config),
            reader: Reader::new(Arc::clone(&self.partitions), rules, partitions),
            health: Arc::clone(&self.health),
            metrics: Arc::clone(&self.metrics),
            ingest: log.and_then(Log::ingest),
            audit: self.audit.clone(),
            limits: settings::limits(self.config),
            trusted_proxies: self.config.sidecar.trusted_proxies,
            cors_origins: self.config.sidecar.cors_origins.clone(),
        }))
    }

    fn guard(&self, name: &str) -> Guard {
        Guard::new(name.into(), self.sender.clone(), self.stop.clone())
    }

    /// Starts housekeeping.
    fn housekeeping(&self, ground: &Ground) -> Result<JoinHandle<()>, Error> {
        let millis = |span: Span| i64::try_from(span.millis()).unwrap_or(i64::MAX);
        let housekeeping = Housekeeping {
            metrics: Arc::clone(&self.metrics),
            partitions: Arc::clone(&self.partitions),
            shared: Arc::clone(&ground.shared),
            broker: ground.log.broker(),
            retention: millis(self.config.topics.retention),
            audit_retention: millis(self.config.audit.retention),
        };
        housekeeping.spawn(self.stop.clone(), self.guard(Housekeeping::NAME))
    }
}

/// A worker's name: of its thread, its heartbeat and its member of an embedded log's group.
fn worker_name(number: usize) -> String {
    format!("worker-{number}")
}
