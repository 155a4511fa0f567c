//! Puts the parts together: what is started in which order, what ends the process, what is stopped in which order.
//!
//! ```text
//! start: telemetry -> data folder -> sidecar's probes -> registry -> log -> shared state -> audit -> keys -> workers
//!        -> sidecar whole -> housekeeping
//! stop:  not ready -> workers finish their batch, flush, leave the group -> sidecar and socket take nothing more, and answer
//!        what is under way -> changes have both their entries -> audit is written out -> log closes -> traces
//! ```
//!
//! A fatal error of any thread ends the process with its message: one that looks alive and does nothing is worse than none.
//!
//! | file | holds |
//! | --- | --- |
//! | `settings` | the configuration, cut into what each part needs |
//! | `workers`, `signals`, `housekeeping` | the threads and tasks beside the sidecar's |
//! | `reload` | what SIGHUP takes anew |
//! | `guard` | telling how a thread ended |
//! | `patience` | waiting for whoever does not answer yet |
//! | `observe` | what workers tell -> logs, metrics, health |
//! | `control`, `ingest` | what access and API ask of the embedded log |
//! | `audit` | the audit log on either log; reading it back |
//! | `tail`, `line`, `verify` | the rows of either log, for eyes; and compared with the state |

pub mod audit;
pub mod checks;
pub mod clock;
mod control;
mod error;
mod guard;
mod housekeeping;
mod ingest;
mod keys;
pub mod line;
mod log;
mod observe;
mod parts;
mod patience;
mod registry;
mod reload;
pub mod settings;
mod signals;
pub mod tail;
pub mod verify;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use keys::replace as replace_key;
pub use reload::Reload;

use crate::access::{Admin, Keys};
use crate::api::Serving;
use crate::audit::{Audit, Writing};
use crate::config::{self, Config};
use crate::store::Partitions;
use crate::telemetry::{self, Health, Metrics, events};
use crate::topics::embedded::Broker;
use parts::{Common, Whole};
use reload::Renewable;

/// The most that one Avro value may claim to hold, in bytes: more than a record can be.
const LARGEST_AVRO: usize = 1 << 20;

/// What the main thread is told.
#[derive(Debug)]
pub enum Event {
    /// The process was told to stop.
    Signal(&'static str),
    /// The process was told to read its configuration again.
    Reload,
    /// A thread ended before it was told to.
    Ended {
        /// The thread.
        name: String,
        /// Why, if it was no clean end.
        error: Option<Error>,
    },
}

/// Everything that runs. Dropping it stops nothing cleanly; [`App::stop`] does.
pub struct App {
    /// What is counted and measured.
    pub metrics: Arc<Metrics>,
    /// What the probes answer from.
    pub health: Arc<Health>,
    /// The states that are open.
    pub partitions: Arc<Partitions>,
    /// The embedded log, where that is the log.
    pub broker: Option<Arc<Broker>>,
    /// Administration of API keys.
    pub admin: Admin,
    /// Who did what.
    pub audit: Audit,
    /// Where the sidecar answers.
    pub address: SocketAddr,
    runtime: Runtime,
    sidecar: Serving,
    /// The data folder's socket.
    socket: tokio::task::JoinHandle<()>,
    /// How long what is under way may go on.
    drain: Duration,
    /// Stops workers and housekeeping.
    stop: CancellationToken,
    /// Stops sidecar and socket, which then answer what is under way.
    stop_sidecar: CancellationToken,
    /// Stops what serves them: the followed control topic.
    stop_last: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    writing: Writing,
    events: Receiver<Event>,
    renewable: Renewable,
    reload: Option<Reload>,
}

/// Runs until a signal or a fatal error, then stops.
///
/// `load` reads the configuration again, which SIGHUP asks for.
pub fn run(config: &Config, load: impl Fn() -> Result<Config, config::Error> + Send + 'static) -> Result<(), Error> {
    let guard = telemetry::start(&settings::telemetry(config)).map_err(|e| Error::Configuration(e.to_string()))?;
    let outcome = App::start(config).and_then(|mut app| {
        app.reload = Some(Reload::new(config, guard.filter(), load));
        let (data_dir, tls) = (config.engine.data_dir.display(), settings::tls_in_words(config));
        // Where there is no listener of its own for administration, both are one.
        tracing::info!(address = %app.address, admin_address = %app.sidecar.admin_address(), tls, %data_dir, "running");
        let outcome = app.wait(None).unwrap_or(Ok(()));
        app.stop(outcome)
    });
    let outcome = if matches!(outcome, Err(Error::Stopped)) { Ok(()) } else { outcome };
    if let Err(error) = &outcome {
        tracing::error!(%error, "ended");
    }
    guard.shutdown();
    outcome
}

/// The threads of the sidecar and of whatever waits for something.
fn runtime() -> Result<Runtime, Error> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(2).thread_name("sidecar").enable_all().build();
    built.map_err(|error| Error::Failed(format!("no threads to be had for the sidecar: {error}")))
}

impl App {
    /// Starts everything, in order. What was started before an error ends with the process.
    pub fn start(config: &Config) -> Result<Self, Error> {
        settings::make_data_dir(config)?;
        apache_avro::util::max_allocation_bytes(LARGEST_AVRO);
        let metrics = Arc::new(Metrics::new().map_err(|error| Error::Failed(error.to_string()))?);
        let health = Arc::new(Health::default());
        let partitions = Arc::new(Partitions::new());
        let runtime = runtime()?;
        let (sender, events) = channel();
        let interrupted = CancellationToken::new();
        signals::watch(&runtime, sender.clone(), interrupted.clone())?;
        let keys = Arc::new(Keys::new(keys::peppers(config)?));
        let [stop, stop_sidecar, stop_last] = [(); 3].map(|()| CancellationToken::new());
        let tls = settings::tls(config)?;
        let watch = audit::Watch { metrics: Arc::clone(&metrics), health: Arc::clone(&health) };
        let common = Common {
            audit: Audit::new(&settings::audit(config), Arc::new(watch)),
            config,
            tls,
            keys,
            metrics,
            health,
            partitions,
            interrupted,
            stop,
            stop_sidecar,
            stop_last,
            sender,
            runtime,
        };
        let sidecar = common.sidecar()?;
        tracing::info!(address = %sidecar.address(), "probes answer");
        let ground = common.ground()?;
        let writing = common.audit(&ground.log)?;
        let Whole { admin, socket, state, threads } = match common.whole(&ground, &sidecar) {
            Ok(whole) => whole,
            Err(error) => return Err(common.give_up(writing, error)),
        };
        common.health.running();
        let Common { tls, metrics, health, partitions, audit, stop, stop_sidecar, stop_last, runtime, .. } = common;
        Ok(Self {
            metrics,
            health,
            partitions,
            broker: ground.log.broker(),
            admin,
            audit: audit.clone(),
            address: sidecar.address(),
            runtime,
            sidecar,
            socket,
            drain: config.sidecar.drain.duration(),
            stop,
            stop_sidecar,
            stop_last,
            threads,
            writing,
            events,
            renewable: Renewable { state, tls, audit },
            reload: None,
        })
    }

    /// Waits for what ends the process, up to `time`: a signal is a clean end, a thread that ended is not.
    pub fn wait(&self, time: Option<Duration>) -> Option<Result<(), Error>> {
        let until = time.map(|time| Instant::now() + time);
        loop {
            match self.next_event(until) {
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    return Some(Err(Error::Failed("every thread has ended".into())));
                }
                Ok(Event::Reload) => self.renew(),
                Ok(Event::Signal(signal)) => {
                    tracing::info!(signal, "stopping");
                    return Some(Ok(()));
                }
                Ok(Event::Ended { name, error }) => return Some(Err(self.ended(&name, error))),
            }
        }
    }

    fn next_event(&self, until: Option<Instant>) -> Result<Event, RecvTimeoutError> {
        match until {
            Some(until) => self.events.recv_timeout(until.saturating_duration_since(Instant::now())),
            None => self.events.recv().map_err(RecvTimeoutError::from),
        }
    }

    /// A thread has ended that should not have: why the process ends.
    fn ended(&self, name: &str, error: Option<Error>) -> Error {
        let error = error.unwrap_or_else(|| Error::Failed(format!("{name} ended by itself")));
        events::FatalError { reason: &error.to_string() }.emit(&self.metrics);
        self.health.fatal(error.to_string());
        error
    }

    fn renew(&self) {
        match &self.reload {
            Some(reload) => reload.run(&self.renewable),
            None => tracing::warn!("SIGHUP: there is no configuration to read again"),
        }
    }

    /// Stops everything, in order, and gives `outcome` back; an error while stopping takes the place of a clean end.
    pub fn stop(self, outcome: Result<(), Error>) -> Result<(), Error> {
        self.health.stopping();
        self.stop.cancel();
        for thread in self.threads {
            thread.thread().unpark();
            drop(thread.join()); // a panic has been told as an event
        }
        let outcome = outcome.and_then(|()| late_error(&self.events));
        let until = Instant::now() + self.drain;
        self.stop_sidecar.cancel();
        self.runtime.block_on(async {
            if let Err(error) = self.sidecar.ended().await {
                tracing::warn!(%error, "the sidecar did not end well");
            }
            if tokio::time::timeout_at(until.into(), self.socket).await.is_err() {
                tracing::warn!("a caller of the administration socket gets no answer any more");
            }
        });
        // Those, too, whose caller has gone away.
        let changes = self.audit.close(until.saturating_duration_since(Instant::now()));
        if changes > 0 {
            tracing::warn!(changes, "cut short: the audit log has that they were allowed, not how they ended");
        }
        self.stop_last.cancel();
        self.audit.stop(settings::stopped(outcome.as_ref().err()));
        self.writing.join();
        let outcome = outcome.and_then(|()| late_error(&self.events));
        self.runtime.shutdown_timeout(Duration::from_secs(2));
        tracing::info!("stopped");
        outcome
    }
}

/// After a signal the threads' own ends arrive; only an error matters.
fn late_error(events: &Receiver<Event>) -> Result<(), Error> {
    let error = events.try_iter().find_map(|event| match event {
        Event::Ended { error, .. } => error,
        _ => None,
    });
    error.map_or(Ok(()), Err)
}
