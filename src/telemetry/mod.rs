//! Logs, traces, metrics, health, and the events that feed them.
//!
//! | file | holds |
//! | --- | --- |
//! | `logs` | the subscriber: text or JSON lines on standard error, filtered by a setting |
//! | `traces` | spans over OTLP/HTTP, one a batch; off unless an endpoint is set |
//! | `metrics/` | every `tributary_*` series, in a registry of our own, with children resolved beforehand |
//! | `events` | one struct for each noteworthy moment: it writes its log line and its metric together |
//! | `health` | what the probes answer from: worker ticks, partitions, reachability, a fatal error |
//!
//! **Architecture invariant:** no user id, event id, key or secret is ever handed to this module, so none can leak from
//! it; and nothing here knows what an event or a row is.

pub mod events;
pub mod health;
pub mod logs;
pub mod metrics;
mod throttle;
pub mod traces;

pub use health::{Health, PartitionState, WorkerHealth};
pub use logs::{Filter, Format, Guard, Settings, start};
pub use metrics::Metrics;

/// Why telemetry cannot start: which setting is to be changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter cannot be parsed.
    #[error("telemetry.log_filter: {0}; an example is `info,tributary=debug`")]
    Filter(String),
    /// The trace exporter cannot be made.
    #[error("telemetry.otlp_endpoint: {0}; an example is `http://127.0.0.1:4318/v1/traces`")]
    Exporter(String),
    /// A subscriber stands already in this process.
    #[error("logging was started twice in this process")]
    Started,
    /// A metric is defined wrongly or twice.
    #[error("metric: {0}")]
    Metric(#[from] prometheus::Error),
}
