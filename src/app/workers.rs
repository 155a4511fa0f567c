//! The worker threads: started, watched, stopped.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::guard::Guard;
use super::{Error, Event};
use crate::stream::{Observer, Worker};
use crate::topics::TopicLog;

/// Starts a worker on a thread of its own. Whatever way it ends before it is told to, it tells `events` and stops the
/// other workers.
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
        let mut guard = Guard::new(name, events, stop);
        match make() {
            Err(error) => guard.tell(Some(error)),
            Ok(mut worker) => {
                // Leaving the group gives its partitions to others, who could neither open nor judge them any better. So
                // they are stopped before it leaves: the guard is dropped before the worker, also where that panics.
                let mut guard = guard;
                let outcome = worker.run(|| guard.is_told_to_stop());
                guard.tell(outcome.err().map(Error::from));
            }
        }
    });
    started.map_err(|error| Error::Failed(format!("no thread to be had for a worker: {error}")))
}

/// A clock that workers share.
pub fn clock() -> crate::stream::Clock {
    Arc::new(super::clock::now)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::PathBuf;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::core::Rules;
    use crate::store::{Budget, Partitions, Shared};
    use crate::stream::decode::Decoder;
    use crate::stream::{Engine, Moment, Options, Parts, Planted, RowFormat};
    use crate::topics::Limit;
    use crate::topics::embedded::{Broker, Place, Settings};

    /// Goes down with its worker, and says whether the others had been told by then. May panic at the first moment.
    struct Witness {
        panics: bool,
        stop: CancellationToken,
        told: Sender<bool>,
    }

    impl Observer for Witness {
        fn notice(&mut self, _moment: Moment<'_>) {
            assert!(!self.panics, "as the test wants it");
        }
        fn tick(&mut self, _in_log_call: bool) {}
    }

    impl Drop for Witness {
        fn drop(&mut self) {
            self.told.send(self.stop.is_cancelled()).unwrap();
        }
    }

    /// A worker who cannot open its state, for its folder is a file.
    fn worker(dir: PathBuf, panics: bool) -> (Receiver<Event>, Receiver<bool>) {
        let stop = CancellationToken::new();
        let ((events, heard), (told, witnessed)) = (channel(), channel());
        let settings = Settings { sync: false, ..Settings::new(NonZeroU32::MIN) };
        let broker = Broker::open(&Place::Memory(rocksdb::Env::mem_env().unwrap()), &settings).unwrap();
        let witness = Witness { panics, stop: stop.clone(), told };
        let make = move || {
            let member = broker.join("worker-0");
            broker.spread()?;
            let engine = Engine {
                decoder: Decoder::new(None),
                rules: Rules::default(),
                format: RowFormat::Json,
                rows_bytes: 1 << 20,
                planted: Planted::default(),
            };
            let options = Options {
                dir,
                batch: Limit { records: 1, bytes: 1 },
                batch_latency: 0,
                flush_interval: 1,
                offsets_keepalive: 1,
                dead_letter_bytes: 1,
                transaction_timeout: 1,
                read_for: 1,
            };
            let shared = Arc::new(Shared::open(&Budget::default())?);
            let parts = Parts { shared, partitions: Arc::new(Partitions::new()), clock: clock() };
            Ok(Worker::new(member, engine, options, parts, witness))
        };
        spawn("worker-0".into(), stop, events, make).unwrap().join().unwrap_or_default();
        (heard, witnessed)
    }

    #[test]
    fn a_worker_that_ends_stops_the_others_before_it_lets_go_of_its_partitions() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for panics in [false, true] {
            let (heard, witnessed) = worker(file.path().into(), panics);
            assert!(witnessed.recv().unwrap(), "panics: {panics}");
            let Event::Ended { name, error: Some(error) } = heard.recv().unwrap() else { panic!("a clean end") };
            assert_eq!((name.as_str(), error.to_string().contains("panicked")), ("worker-0", panics), "{error}");
        }
    }
}
