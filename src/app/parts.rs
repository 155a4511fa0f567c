//! How each part is started, from what all of them share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::housekeeping::Housekeeping;
use super::log::{Log, patiently};
use super::observe::Watch;
use super::{Error, Event, clock, keys, settings, workers};
use crate::access::{Admin, Keys, socket};
use crate::api::{self, Serving};
use crate::config::Config;
use crate::query::Reader;
use crate::registry::{Registry, Schemas};
use crate::store::{Partitions, Shared};
use crate::stream::decode::Decoder;
use crate::stream::{Engine, Parts, Planted, RowFormat, Worker};
use crate::telemetry::{Health, Metrics, WorkerHealth};
use crate::topics::TopicLog;
use crate::topics::kafka::{self, KafkaLog};

/// What the parts share.
pub struct Common<'c> {
    pub config: &'c Config,
    pub registry: Option<Arc<Registry>>,
    pub format: RowFormat,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub partitions: Arc<Partitions>,
    pub shared: Arc<Shared>,
    pub stop: CancellationToken,
    pub stop_sidecar: CancellationToken,
    pub stop_last: CancellationToken,
    pub sender: Sender<Event>,
    pub runtime: Runtime,
}

impl Common<'_> {
    /// Loads the keys, follows the control topic, and answers on the data folder's socket.
    pub fn keys(&self, log: &Log) -> Result<(Arc<Keys>, Admin), Error> {
        let _context = self.runtime.enter();
        let server = socket::Server::bind(&self.config.engine.data_dir).map_err(|e| Error::State(e.to_string()))?;
        let control = log.control()?;
        let (keys, next) = keys::load(self.config, &*control, &|| !self.stop.is_cancelled())?;
        let admin = Admin::new(Arc::clone(&keys), Arc::clone(&control));
        let stop = Arc::new(AtomicBool::new(false));
        keys.follow(control, next, Arc::clone(&stop)).map_err(|error| Error::Failed(error.to_string()))?;
        let stopped = self.stop_last.clone();
        self.runtime.spawn(async move {
            stopped.cancelled().await;
            stop.store(true, Ordering::Release);
        });
        self.runtime.spawn(server.serve(admin.clone(), log.rows(), self.stop_last.clone()));
        Ok((keys, admin))
    }

    /// Starts the worker threads.
    pub fn workers(&self, log: &Log) -> Result<Vec<JoinHandle<()>>, Error> {
        match log {
            Log::Embedded(broker) => {
                let names = (0..self.config.engine.workers).map(worker_name);
                let members: Vec<_> = names.map(|name| broker.join(&name)).collect();
                broker.spread()?;
                let joined = members.into_iter().enumerate();
                joined.map(|(number, member)| self.worker(number, move |_, _| Ok(member))).collect()
            }
            Log::Kafka(settings, _) => {
                let numbers = 0..self.config.engine.workers;
                let join = |number| {
                    let settings = settings.clone();
                    self.worker(number, move |stop, health| {
                        let (go_on, tell) = (|| !stop.is_cancelled(), |why: &str| health.log_unreachable(why));
                        let joined =
                            patiently(&go_on, &tell, || KafkaLog::join(kafka::Settings::clone(&settings), number))?;
                        health.log_reachable();
                        Ok(joined)
                    })
                };
                numbers.map(join).collect()
            }
        }
    }

    fn engine(&self) -> Result<Engine, Error> {
        let registry = self.registry.clone();
        Ok(Engine {
            decoder: Decoder::new(registry.map(|registry| registry as Arc<dyn Schemas>)),
            rules: self.config.core_rules()?,
            format: self.format,
            rows_bytes: settings::rows_bytes(self.config),
            planted: Planted::default(),
        })
    }

    fn worker<L: TopicLog>(
        &self,
        number: usize,
        join: impl FnOnce(&CancellationToken, &WorkerHealth) -> Result<L, Error> + Send + 'static,
    ) -> Result<JoinHandle<()>, Error> {
        let name = worker_name(number);
        let health = self.health.worker(&name);
        let observer = Watch::new(Arc::clone(&self.metrics), Arc::clone(&health), clock::now);
        let (engine, options) = (self.engine()?, settings::worker(self.config));
        let parts = Parts {
            shared: Arc::clone(&self.shared),
            partitions: Arc::clone(&self.partitions),
            clock: workers::clock(),
        };
        let (stop, token) = (self.stop.clone(), self.stop.clone());
        workers::spawn(name, stop, self.sender.clone(), move || {
            Ok(Worker::new(join(&token, &health)?, engine, options, parts, observer))
        })
    }

    /// Starts the sidecar; it answers from now on, and is ready when the workers are.
    pub fn sidecar(&self, log: &Log, keys: Arc<Keys>) -> Result<Serving, Error> {
        let sidecar = &self.config.sidecar;
        let rules = Arc::new(self.config.core_rules()?);
        let state = api::State::new(api::Parts {
            keys,
            reader: Reader::new(Arc::clone(&self.partitions), rules, log.partitions()),
            health: Arc::clone(&self.health),
            metrics: Arc::clone(&self.metrics),
            ingest: log.ingest(),
            limits: settings::limits(self.config),
        });
        let _context = self.runtime.enter();
        api::serve(sidecar.listen, state, self.stop_sidecar.clone()).map_err(|error| Error::Failed(error.to_string()))
    }

    /// Starts housekeeping.
    pub fn housekeeping(&self, log: &Log) -> Result<JoinHandle<()>, Error> {
        let retention = i64::try_from(self.config.topics.retention.millis()).unwrap_or(i64::MAX);
        let housekeeping = Housekeeping {
            metrics: Arc::clone(&self.metrics),
            partitions: Arc::clone(&self.partitions),
            shared: Arc::clone(&self.shared),
            broker: log.broker(),
            retention,
        };
        housekeeping.spawn(self.stop.clone(), self.sender.clone())
    }
}

/// A worker's name: of its thread, its heartbeat and its member of an embedded log's group.
fn worker_name(number: usize) -> String {
    format!("worker-{number}")
}
