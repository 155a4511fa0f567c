//! A producer and the thread that serves its callbacks: failed deliveries, errors, log lines.
//!
//! rdkafka's own `ThreadedProducer` does the same, but waits in steps whose last millisecond it spins through: 2 % of a core for
//! two idle producers. There is nothing to wait for here, since delivered records need no report, so this one only looks
//! now and then.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use super::queues;

/// Between two looks. A failed delivery fails its transaction by so much later.
const STEP: Duration = Duration::from_millis(50);

/// A producer whose callbacks are served until it is dropped.
pub(super) struct Polled<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> Polled<C> {
    pub(super) fn create(config: &ClientConfig, context: C) -> Result<Self, KafkaError> {
        let producer = Arc::new(BaseProducer::from_config_and_context(config, context)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&producer), Arc::clone(&stop));
        let work = move || {
            while !stopped.load(Ordering::Acquire) {
                serve(&polled);
                thread::park_timeout(STEP);
            }
        };
        let thread = thread::Builder::new().name("producer".into()).spawn(work);
        let thread = thread.map_err(|error| KafkaError::ClientCreation(format!("no thread to be had: {error}")))?;
        Ok(Self { producer, stop, thread: Some(thread) })
    }

    /// Serves what there is now.
    pub(super) fn serve(&self) {
        serve(&self.producer);
    }

    /// The producer, to be kept.
    pub(super) fn producer(&self) -> &Arc<BaseProducer<C>> {
        &self.producer
    }
}

/// One poll serves one event.
fn serve<C: ProducerContext + 'static>(producer: &BaseProducer<C>) {
    loop {
        producer.poll(Duration::ZERO);
        if queues::events(producer.client()) == 0 {
            return;
        }
    }
}

impl<C: ProducerContext + 'static> Deref for Polled<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for Polled<C> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}
