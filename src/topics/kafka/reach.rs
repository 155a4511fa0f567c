//! Whether the brokers answer, as readiness asks it, and the way of librdkafka's log lines into ours.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

use super::errors;

/// For how long nobody has to answer until a client is taken to have lost sight of the brokers. librdkafka forgets those that
/// metadata does not name, and while a lone broker that was silent is not let in again by its controller it names none: then the
/// client has nobody left to ask, and never begins anew by itself (2.12). So there is a new one.
pub(super) const LOST: Duration = Duration::from_secs(20);

/// Whether the brokers answer. Shared by a worker's clients and whoever asks how it is.
#[derive(Debug)]
pub struct Reach(Mutex<State>);

#[derive(Debug)]
struct State {
    answered: Instant,
    trouble: Option<String>,
    /// When a connection last failed, or brokers that had been away last came back.
    shaken: Option<Instant>,
}

impl Reach {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { answered: Instant::now(), trouble: None, shaken: None }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // two plain values: never half written
    }

    /// A broker answered just now.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.answered = Instant::now();
        if let Some(trouble) = state.trouble.take() {
            state.shaken = Some(state.answered);
            tracing::info!(%trouble, "kafka answers again");
        }
    }

    /// No broker answers.
    pub(super) fn failed(&self, trouble: &str) {
        let mut state = self.state();
        if state.trouble.is_none() {
            tracing::warn!(trouble, "kafka does not answer");
            state.trouble = Some(trouble.to_owned());
        }
    }

    /// Asks the brokers of a client for a sign of life, for half a second. Whether one gave it.
    pub(super) fn probe<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>, topic: &str) -> bool {
        match consumer.fetch_metadata(Some(topic), Duration::from_millis(500)) {
            Ok(_) => {
                self.answered();
                true
            }
            Err(error) => {
                self.failed(&format!("no broker answers ({})", errors::code(&error)));
                false
            }
        }
    }

    /// A connection failed, whatever became of it.
    pub(super) fn shook(&self) {
        self.state().shaken = Some(Instant::now());
    }

    /// Whether a connection failed within this time, or brokers that had been away came back; or are away, for all that is
    /// known: who is fenced by the first answer after a silence hears of both at once.
    pub(super) fn shaken(&self, within: Duration) -> bool {
        let state = self.state();
        state.trouble.is_some() || state.shaken.is_some_and(|at| at.elapsed() < within)
    }

    /// How long ago a broker last answered a question of ours.
    pub fn silence(&self) -> Duration {
        self.state().answered.elapsed()
    }

    /// Nothing while the brokers answer, else what is wrong.
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }
}

/// A line of librdkafka's own log.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::error!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shaken_while_brokers_are_away_and_for_a_time_after() {
        const FAR: Duration = Duration::from_secs(600);
        let reach = Reach::new();
        reach.answered();
        assert!(!reach.shaken(FAR), "nothing was ever wrong");
        reach.failed("no answer");
        assert!(reach.shaken(Duration::ZERO), "away now, whenever that began");
        reach.answered();
        assert!(reach.shaken(FAR) && !reach.shaken(Duration::ZERO), "back");
    }
}
