//! Every series that the process exposes, in a registry of its own.
//!
//! Names begin with `tributary_`, are in base units (seconds, bytes) and end in `_total` where they only grow. No label
//! takes a value that strangers choose. Children are resolved once, so that a batch costs atomic additions and no look-up.

mod audit;
mod dead_letters;
mod http;
mod make;
mod store;
mod stream;

use std::time::Duration;

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGauge, Registry, TextEncoder};

pub use audit::Audit;
pub use dead_letters::{DeadLetters, REASONS};
pub use http::Http;
pub use store::{Store, StoreSizes};
pub use stream::{Lag, PartitionMetrics, Stream};

use super::health::{Health, PartitionState};
use super::throttle::Throttle;

/// Log lines that strangers, or a log that is away, could make without end: one of each in so long.
const QUIET: Duration = Duration::from_secs(10);

/// What holds such lines back.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) set_aside: Throttle,
    pub(super) misplaced: Throttle,
    pub(super) log_unreachable: Throttle,
    pub(super) registry_unreachable: Throttle,
    pub(super) connection_refused: Throttle,
    pub(super) certificate_refused: Throttle,
    pub(super) handshake_failed: Throttle,
}

impl Lines {
    fn new() -> Self {
        let line = || Throttle::new(1, QUIET);
        Self {
            set_aside: line(),
            misplaced: line(),
            log_unreachable: line(),
            registry_unreachable: line(),
            connection_refused: line(),
            certificate_refused: line(),
            handshake_failed: line(),
        }
    }
}

/// All metrics of the process. Shared by reference or in an `Arc`; everything in it is atomic.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The engine: records, rows, transactions, lag.
    pub stream: Stream,
    /// Records set aside, by reason.
    pub dead_letters: DeadLetters,
    /// RocksDB: sizes and stalls.
    pub store: Store,
    /// The sidecar's requests.
    pub http: Http,
    /// The audit log.
    pub audit: Audit,
    keys_known: IntGauge,
    pub(super) lines: Lines,
}

impl Metrics {
    /// Registers every series. Fails only where one is defined wrongly.
    pub fn new() -> Result<Self, super::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let build = make::gauges(&registry, "tributary_build_info", "1, with the version as a label.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            stream: Stream::new(&registry)?,
            dead_letters: DeadLetters::new(&registry)?,
            store: Store::new(&registry)?,
            http: Http::new(&registry)?,
            audit: Audit::new(&registry)?,
            keys_known: make::gauge(
                &registry,
                "tributary_keys_known_timestamp_seconds",
                "When the control topic was last read to its end.",
            )?,
            lines: Lines::new(),
            registry,
        })
    }

    /// Everything in the Prometheus text format. What `health` knows is taken over first.
    pub fn render(&self, health: &Health) -> Result<String, super::Error> {
        let count = |wanted: fn(&PartitionState) -> bool| health.count_partitions(wanted);
        self.stream.restoring.set(count(|s| matches!(s, PartitionState::Restoring)));
        self.stream.replaying.set(count(|s| matches!(s, PartitionState::Replaying { .. })));
        self.stream.live.set(count(|s| matches!(s, PartitionState::Live)));
        self.keys_known.set(health.keys_known_at().map_or(0, |at| at / 1_000));
        self.stream.replay_left.set(i64::try_from(health.records_left()).unwrap_or(i64::MAX));
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_rules() {
        let metrics = Metrics::new().unwrap();
        let text = metrics.render(&Health::default()).unwrap();
        for line in text.lines().filter(|l| l.starts_with("# TYPE ")) {
            let mut words = line.split(' ').skip(2);
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            assert!(name.starts_with("tributary_") || name.starts_with("process_"), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            assert!(!name.contains("_ms") && !name.contains("milli"), "{name}");
        }
    }

    #[test]
    fn the_metrics_page_names_every_series_and_no_other() {
        let metrics = Metrics::new().unwrap();
        let _partition = metrics.stream.partition(0);
        metrics.http.answered("/livez", "GET", 200, std::time::Duration::ZERO);
        let text = metrics.render(&Health::default()).unwrap();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names = types.filter_map(|line| line.split(' ').next()).filter(|name| name.starts_with("tributary_"));
        let exposed: std::collections::BTreeSet<_> = names.collect();
        let page = include_str!("../../../docs/metrics.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: std::collections::BTreeSet<_> = rows.filter_map(|row| row.split('`').next()).collect();
        assert_eq!(exposed, documented);
    }

    #[test]
    fn bounded_label_sets_start_at_zero() {
        let text = Metrics::new().unwrap().render(&Health::default()).unwrap();
        for reason in REASONS {
            assert!(text.contains(&format!("tributary_dead_letters_total{{reason=\"{reason}\"}} 0")), "{reason}");
        }
        for outcome in ["committed", "aborted", "unknown", "fenced"] {
            assert!(text.contains(&format!("tributary_transactions_total{{outcome=\"{outcome}\"}} 0")), "{outcome}");
        }
        for reason in ["certificate", "rejected", "protocol", "timeout", "closed"] {
            let line = format!("tributary_tls_handshakes_failed_total{{reason=\"{reason}\"}} 0");
            assert!(text.contains(&line), "{reason}");
        }
        assert!(text.contains("process_resident_memory_bytes"));
    }

    #[test]
    fn partitions_by_state_come_from_health() {
        let health = Health::default();
        let worker = health.worker("worker-0");
        worker.partition(0, PartitionState::Live);
        worker.partition(1, PartitionState::Replaying { left: 12 });
        let text = Metrics::new().unwrap().render(&health).unwrap();
        assert!(text.contains("tributary_partitions{state=\"live\"} 1"), "{text}");
        assert!(text.contains("tributary_partitions{state=\"replaying\"} 1"));
        assert!(text.contains("tributary_replay_records_left 12"));
    }

    #[test]
    fn lag_goes_away_with_its_partition() {
        let metrics = Metrics::new().unwrap();
        let partition = metrics.stream.partition(7);
        partition.touchpoints.set(3, 1.5);
        let with = metrics.render(&Health::default()).unwrap();
        assert!(with.contains("tributary_consumer_lag_records{partition=\"7\",topic=\"touchpoints\"} 3"), "{with}");
        assert!(with.contains("tributary_consumer_lag_seconds{partition=\"7\",topic=\"touchpoints\"} 1.5"));
        drop(partition);
        let without = metrics.render(&Health::default()).unwrap();
        assert!(!without.contains("partition=\"7\""));
    }
}
