//! The worker threads: started, watched, stopped.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::{Error, Event};
use crate::stream::{Observer, Worker};
use crate::topics::TopicLog;

/// Starts a worker on a thread of its own. Whatever way it ends before it is told to, it tells `events`.
///
/// `make` runs on the new thread: a log's client belongs to the thread that uses it.
pub fn spawn<L: TopicLog, O: Observer>(
    name: String,
    stop: CancellationToken,
    events: Sender<Event>,
    make: impl FnOnce() -> Result<Worker<L, O>, Error> + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new().name(name.clone());
    let started = thread.spawn(move || {
        let mut guard = Guard { name, events, told: false };
        let outcome = make().and_then(|mut worker| worker.run(|| stop.is_cancelled()).map_err(Error::from));
        guard.tell(outcome.err().filter(|error| !matches!(error, Error::Stopped)));
    });
    started.map_err(|error| Error::Failed(format!("no thread to be had for a worker: {error}")))
}

/// Tells that the thread has ended, also where it panicked.
struct Guard {
    name: String,
    events: Sender<Event>,
    told: bool,
}

impl Guard {
    fn tell(&mut self, error: Option<Error>) {
        self.told = true;
        // Nobody listens any more: the process is stopping anyway.
        drop(self.events.send(Event::Ended { name: std::mem::take(&mut self.name), error }));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Some(Error::Failed("a worker panicked; this is a bug, and the log says where".into())));
        }
    }
}

/// A clock that workers share.
pub fn clock() -> crate::stream::Clock {
    Arc::new(super::clock::now)
}
