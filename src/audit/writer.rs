//! The one thread that writes the chain.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::chain::{Chain, End};
use super::memory::end_of;
use super::queue::{Answer, Item, Kind, Queue, Unwritten};
use super::{Action, Audit, AuditLog, Caller, Draft, Error, Memory, Observer, Outcome, Record, Unavailable};

/// Entries written at a time.
const BATCH: usize = 512;
/// Between two attempts: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a stopping process goes on trying. What is left then is written by its next life.
const GRACE: Duration = Duration::from_secs(5);

/// How the life of a process is told of in its first entry.
#[derive(Clone, Debug)]
pub struct Started {
    /// The instance's name.
    pub instance: String,
    /// The program's version.
    pub version: String,
    /// The digest of the configuration.
    pub config: String,
}

/// The writing thread.
#[derive(Debug)]
pub struct Writing {
    thread: JoinHandle<()>,
    ready: Receiver<Result<(), Error>>,
}

impl Writing {
    /// Starts it: it finishes what the life before began, then tells of the start, then writes what comes. It calls `ended`
    /// when it comes to its end; where it panics, `ended` is dropped uncalled.
    ///
    /// # Errors
    /// [`Error::Refused`] where the data folder's memory cannot be used, or no thread is to be had.
    pub fn start(
        audit: &Audit,
        log: Arc<dyn AuditLog>,
        memory: Memory,
        started: Started,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Error> {
        let remembered = memory.read()?;
        let (told, ready) = sync_channel(1);
        let inner = &audit.0;
        let writer = Writer {
            queue: Arc::clone(&inner.queue),
            observer: Arc::clone(&inner.observer),
            log,
            memory,
            end: remembered.end,
            told: Some(told),
        };
        let (clock, pending) = (inner.clock, remembered.pending);
        let run = move || {
            writer.run(&pending, &started, clock);
            ended();
        };
        let thread = std::thread::Builder::new().name("audit".into()).spawn(run);
        let thread = thread.map_err(|error| Error::Refused(format!("no thread to be had for the audit: {error}")))?;
        Ok(Self { thread, ready })
    }

    /// Waits up to `wait` until the start has been told.
    ///
    /// # Errors
    /// [`Error::Away`] when it has not been yet; [`Error::Refused`] when it cannot be.
    pub fn ready(&self, wait: Duration, audit: &Audit) -> Result<(), Error> {
        match self.ready.recv_timeout(wait) {
            Ok(told) => told,
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::Away(audit.trouble().unwrap_or_else(|| "the audit log does not answer yet".into())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Error::Refused("the audit's thread ended by itself".into())),
        }
    }

    /// Waits until everything is written, after [`Audit::stop`].
    pub fn join(self) {
        drop(self.thread.join());
    }
}

struct Writer {
    queue: Arc<Queue>,
    observer: Arc<dyn Observer>,
    log: Arc<dyn AuditLog>,
    memory: Memory,
    /// The last entry that the log has for certain.
    end: Option<End>,
    /// Hears once that the start is told.
    told: Option<SyncSender<Result<(), Error>>>,
}

/// However the thread ends, nothing waits for it any longer; and where it panics, that is told.
struct Ended {
    queue: Arc<Queue>,
    observer: Arc<dyn Observer>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.queue.stop(None);
        if std::thread::panicking() {
            let why = "its thread panicked";
            let lost = self.queue.away(why);
            self.observer.away(why);
            tracing::error!(lost, "the audit's thread panicked: what was queued is in no log");
        } else {
            self.queue.away("the process is stopping");
        }
    }
}

impl Writer {
    fn run(mut self, pending: &[Record], started: &Started, clock: fn() -> i64) {
        let _ended = Ended { queue: Arc::clone(&self.queue), observer: Arc::clone(&self.observer) };
        if let Err(error) = self.write_all(pending, started, clock) {
            tracing::error!(%error, "entries of the audit are left to the next start");
            self.tell(Err(error));
        }
    }

    fn write_all(&mut self, pending: &[Record], started: &Started, clock: fn() -> i64) -> Result<(), Error> {
        self.settle(pending, Vec::new())?;
        let mut chain = Chain::new(&started.instance, clock(), self.end.clone())?;
        let start = Draft {
            version: Some(started.version.clone()),
            config: Some(started.config.clone()),
            ..Draft::new(Caller::system(), Action::Start, "process", Outcome::Done)
        };
        let first = [chain.seal(&start, clock())];
        self.settle(&first, Vec::new())?;
        self.tell(Ok(()));
        loop {
            let items = self.queue.take(BATCH, &*self.observer);
            if items.is_empty() {
                return Ok(());
            }
            let (records, answers) = sealed(&mut chain, items);
            if let Err(error) = self.settle(&records, answers) {
                self.leave_behind(&mut chain, records)?;
                return Err(error);
            }
        }
    }

    fn tell(&mut self, how: Result<(), Error>) {
        if let Some(told) = self.told.take() {
            drop(told.try_send(how)); // whoever asked may have been told to stop meanwhile
        }
    }

    /// Writes records, however long that takes, unless the process stops: first to the memory, then to the log.
    fn settle(&mut self, records: &[Record], answers: Vec<Answer>) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        let mut answers = answers;
        let mut wait = AGAIN.0;
        let mut gives_up = None;
        loop {
            match self.attempt(records) {
                Ok(()) => break,
                Err(Error::Refused(why)) if self.told.is_some() => return Err(Error::Refused(why)),
                Err(error) => {
                    let why = error.to_string();
                    self.observer.away(&why);
                    self.queue.away(&why);
                    for answer in answers.drain(..) {
                        drop(answer.try_send(Err(Unwritten::Perhaps(Unavailable(why.clone())))));
                    }
                    if self.queue.pause(wait) {
                        let until = *gives_up.get_or_insert(Instant::now() + GRACE);
                        if Instant::now() >= until {
                            return Err(error);
                        }
                        std::thread::sleep(AGAIN.0);
                    }
                    wait = (wait * 2).min(AGAIN.1);
                }
            }
        }
        if wait > AGAIN.0 {
            self.queue.back();
            self.observer.back();
        }
        self.end = end_of(records);
        self.observer.written(records.len());
        for answer in answers {
            drop(answer.try_send(Ok(()))); // whoever asked may have given up
        }
        // Where more is waiting, the next attempt tells the memory the same.
        if self.queue.is_empty()
            && let Err(error) = self.memory.keep(self.end.as_ref(), &[])
        {
            tracing::warn!(%error, "the audit's memory cannot be written");
        }
        Ok(())
    }

    fn attempt(&self, records: &[Record]) -> Result<(), Error> {
        self.memory.keep(self.end.as_ref(), records)?;
        self.log.append(records)
    }

    /// Leaves all that could not be written to the next life.
    fn leave_behind(&mut self, chain: &mut Chain, mut left: Vec<Record>) -> Result<(), Error> {
        loop {
            let items = self.queue.take(BATCH, &*self.observer);
            if items.is_empty() {
                return self.memory.keep(self.end.as_ref(), &left);
            }
            left.append(&mut sealed(chain, items).0);
        }
    }
}

/// Entries in their place, and who waits for them.
fn sealed(chain: &mut Chain, items: Vec<Item>) -> (Vec<Record>, Vec<Answer>) {
    let mut answers = Vec::new();
    let seal = |Item { draft, at, kind }| {
        if let Kind::Change(waiting) = kind {
            answers.push(waiting.answer);
        }
        chain.seal(&draft, at)
    };
    (items.into_iter().map(seal).collect(), answers)
}
