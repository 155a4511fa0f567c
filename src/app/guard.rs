//! No thread ends unheard: what it owes to the main thread, also where it panics.

use std::sync::mpsc::Sender;

use tokio_util::sync::CancellationToken;

use super::{Error, Event};

/// Held by a thread for as long as it runs. When it is dropped it tells that the thread has ended, and stops the workers.
pub struct Guard {
    name: String,
    events: Sender<Event>,
    stop: CancellationToken,
    told: bool,
}

impl Guard {
    /// Of the thread with this name; `stop` stops the workers.
    pub fn new(name: String, events: Sender<Event>, stop: CancellationToken) -> Self {
        Self { name, events, stop, told: false }
    }

    /// Whether the workers are to stop.
    pub fn is_told_to_stop(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells how the thread ends.
    pub fn tell(&mut self, error: Option<Error>) {
        self.told = true;
        let error = error.filter(|error| !matches!(error, Error::Stopped));
        // Nobody listens any more: the process is stopping anyway.
        drop(self.events.send(Event::Ended { name: std::mem::take(&mut self.name), error }));
        self.stop.cancel(); // after it is told, or another's clean end would be heard first
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.told {
            let name = &self.name;
            self.tell(Some(Error::Failed(format!("{name} panicked; this is a bug, and the log says where"))));
        }
    }
}
