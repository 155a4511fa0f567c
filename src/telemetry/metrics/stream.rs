//! The engine: what came in, what went out, in which transactions, how far behind.

use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntGauge, IntGaugeVec, Registry, Result};

use super::make;

/// Series of the engine. A worker adds to them once a batch.
#[derive(Debug)]
pub struct Stream {
    /// Touchpoint records read and settled.
    pub touchpoints_read: IntCounter,
    /// Conversion and adjustment records read and settled.
    pub conversions_read: IntCounter,
    /// Records written to `attributions`.
    pub rows_written: IntCounter,
    /// Records written to the dead-letter topic.
    pub dead_letters_written: IntCounter,
    /// Rows emitted with a value.
    pub upserts: IntCounter,
    /// Rows deleted.
    pub deletes: IntCounter,
    /// Conflicting duplicates among touchpoints.
    pub conflicting_touchpoints: IntCounter,
    /// Conflicting duplicates among conversions.
    pub conflicting_conversions: IntCounter,
    /// Conflicting duplicates among adjustments.
    pub conflicting_adjustments: IntCounter,
    /// Conversion ids seen under a second user.
    pub conflicting_owners: IntCounter,
    /// Conversions and adjustments that were there already, the same in every field.
    pub duplicates: IntCounter,
    /// Touchpoints that came after a conversion they may belong to.
    pub late: IntCounter,
    /// Records on another partition than murmur2 of their key gives.
    pub misplaced: IntCounter,
    /// Records applied again with their output suppressed.
    pub replayed: IntCounter,
    /// Records in a batch.
    pub batch_records: Histogram,
    /// From beginning a transaction to its commit.
    pub transaction_seconds: Histogram,
    /// From a conversion's log timestamp to the commit of its rows. Workers observe it through `.local()`.
    pub conversion_to_row_seconds: Histogram,
    pub(in crate::telemetry) committed: IntCounter,
    pub(in crate::telemetry) aborted: IntCounter,
    pub(in crate::telemetry) unknown: IntCounter,
    pub(in crate::telemetry) fenced: IntCounter,
    pub(in crate::telemetry) panics: IntCounter,
    pub(in crate::telemetry) registry_unreachable: IntCounter,
    pub(in crate::telemetry) log_unreachable: IntCounter,
    pub(in crate::telemetry) gained: IntCounter,
    pub(in crate::telemetry) lost: IntCounter,
    pub(in crate::telemetry) fatal: IntCounter,
    pub(super) restoring: IntGauge,
    pub(super) replaying: IntGauge,
    pub(super) live: IntGauge,
    pub(super) replay_left: IntGauge,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    /// Adjustments whose conversion has not come yet, over the partitions held here.
    pub adjustments_waiting: IntGauge,
}

impl Stream {
    #[allow(clippy::too_many_lines)] // a table: one entry a series
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let counters = |name, help, label| make::counters(registry, name, help, &[label]);
        let counter = |name, help| make::counter(registry, name, help);
        let read = counters("tributary_records_read_total", "Input records settled, by topic.", "topic")?;
        let written = counters("tributary_records_written_total", "Records written and committed, by topic.", "topic")?;
        let rows = counters("tributary_rows_total", "Attribution rows emitted, by change.", "change")?;
        let conflicts = counters(
            "tributary_conflicting_duplicates_total",
            "Events met with the identity of another and other content, by kind.",
            "kind",
        )?;
        let transactions = counters("tributary_transactions_total", "Transactions ended, by outcome.", "outcome")?;
        let unreachable = counters(
            "tributary_dependency_unreachable_total",
            "Failed attempts to reach what we depend on.",
            "dependency",
        )?;
        let assignments = counters("tributary_assignments_total", "Partitions gained and lost.", "change")?;
        let partitions = make::gauges(registry, "tributary_partitions", "Partitions held now, by state.", &["state"])?;
        let lag = ["partition", "topic"];
        Ok(Self {
            touchpoints_read: read.with_label_values(&["touchpoints"]),
            conversions_read: read.with_label_values(&["conversions"]),
            rows_written: written.with_label_values(&["attributions"]),
            dead_letters_written: written.with_label_values(&["dead_letter"]),
            upserts: rows.with_label_values(&["upsert"]),
            deletes: rows.with_label_values(&["delete"]),
            conflicting_touchpoints: conflicts.with_label_values(&["touchpoint"]),
            conflicting_conversions: conflicts.with_label_values(&["conversion"]),
            conflicting_adjustments: conflicts.with_label_values(&["adjustment"]),
            conflicting_owners: conflicts.with_label_values(&["owner"]),
            duplicates: counter(
                "tributary_duplicates_total",
                "Conversions and adjustments that were there already, the same in every field.",
            )?,
            late: counter(
                "tributary_late_touchpoints_total",
                "Touchpoints for which the user's conversions had to be looked up.",
            )?,
            misplaced: counter(
                "tributary_misplaced_records_total",
                "Records not on the partition that murmur2 gives their key: such a producer splits journeys.",
            )?,
            replayed: counter(
                "tributary_replayed_records_total",
                "Records applied again after a start, with their output suppressed.",
            )?,
            batch_records: make::histogram(
                registry,
                "tributary_batch_records",
                "Records in a batch.",
                &[1.0, 10.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5],
            )?,
            transaction_seconds: make::histogram(
                registry,
                "tributary_transaction_seconds",
                "From the begin of a transaction to its commit.",
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0],
            )?,
            conversion_to_row_seconds: make::histogram(
                registry,
                "tributary_conversion_to_row_seconds",
                "From the oldest log timestamp of a batch with a conversion to the commit of its rows.",
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0],
            )?,
            committed: transactions.with_label_values(&["committed"]),
            aborted: transactions.with_label_values(&["aborted"]),
            unknown: transactions.with_label_values(&["unknown"]),
            fenced: transactions.with_label_values(&["fenced"]),
            panics: counter("tributary_panics_total", "Panics caught while a record was being applied.")?,
            registry_unreachable: unreachable.with_label_values(&["registry"]),
            log_unreachable: unreachable.with_label_values(&["log"]),
            gained: assignments.with_label_values(&["gained"]),
            lost: assignments.with_label_values(&["lost"]),
            fatal: counter("tributary_fatal_errors_total", "Errors that end the process.")?,
            restoring: partitions.with_label_values(&["restoring"]),
            replaying: partitions.with_label_values(&["replaying"]),
            live: partitions.with_label_values(&["live"]),
            replay_left: make::gauge(
                registry,
                "tributary_replay_records_left",
                "Records to be applied again before the partitions held are live.",
            )?,
            lag_records: make::gauges(
                registry,
                "tributary_consumer_lag_records",
                "Offsets between the position and the end, markers of transactions among them, by partition and topic.",
                &lag,
            )?,
            lag_seconds: make::float_gauges(
                registry,
                "tributary_consumer_lag_seconds",
                "Age of the next record to be used, 0 where there is none, by partition and topic.",
                &lag,
            )?,
            adjustments_waiting: make::gauge(
                registry,
                "tributary_adjustments_waiting",
                "Adjustments whose conversion has not come yet, over the partitions held here.",
            )?,
        })
    }

    /// The series of one partition, for as long as the handle is kept.
    pub fn partition(&self, partition: u32) -> PartitionMetrics {
        let name = partition.to_string();
        let lag = |topic: &'static str| Lag {
            records: self.lag_records.with_label_values(&[name.as_str(), topic]),
            seconds: self.lag_seconds.with_label_values(&[name.as_str(), topic]),
        };
        PartitionMetrics {
            touchpoints: lag("touchpoints"),
            conversions: lag("conversions"),
            lag_records: self.lag_records.clone(),
            lag_seconds: self.lag_seconds.clone(),
            name,
        }
    }
}

/// How far one topic of one partition is behind.
#[derive(Debug)]
pub struct Lag {
    records: IntGauge,
    seconds: Gauge,
}

impl Lag {
    /// `records` between the position and the known end; `seconds` of age of the last record settled, 0 when caught up.
    pub fn set(&self, records: u64, seconds: f64) {
        self.records.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.seconds.set(seconds);
    }
}

/// The series of one partition; they go away when this is dropped, so that no partition is shown by two instances.
#[derive(Debug)]
pub struct PartitionMetrics {
    /// Lag of the touchpoints topic.
    pub touchpoints: Lag,
    /// Lag of the conversions topic.
    pub conversions: Lag,
    name: String,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
}

impl Drop for PartitionMetrics {
    fn drop(&mut self) {
        for topic in ["touchpoints", "conversions"] {
            let labels = [self.name.as_str(), topic];
            // An error says that the series is gone already, which is what is wanted.
            drop((self.lag_records.remove_label_values(&labels), self.lag_seconds.remove_label_values(&labels)));
        }
    }
}
