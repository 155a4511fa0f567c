//! One struct for each noteworthy moment: [`emit`](BatchCommitted::emit) writes its log line and its metric together, so
//! neither can be forgotten. Log lines are lower case and name offsets and partitions, never users or events.

mod audit;
mod connections;

use std::time::Duration;

use tracing::{debug, error, info, warn};

pub use audit::{AuditRefused, AuditUnreachable, AuditWritten};
pub use connections::{ConnectionRefused, Handshake, HandshakeFailed};

use super::{Metrics, traces};

/// The group gave this worker a partition.
#[derive(Clone, Copy, Debug)]
pub struct PartitionGained {
    /// The partition.
    pub partition: u32,
}

impl PartitionGained {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.stream.gained.inc();
        info!(partition = self.partition, "partition gained");
    }
}

/// A partition was gained again while queries or a compaction still read the state that was given up.
#[derive(Clone, Copy, Debug)]
pub struct StateStillRead {
    /// The partition.
    pub partition: u32,
    /// How many they are.
    pub readers: usize,
}

impl StateStillRead {
    /// Log line. The partition counts as restoring until it is open.
    pub fn emit(self) {
        let Self { partition, readers } = self;
        warn!(partition, readers, "the partition waits: what was given up of it is still read here");
    }
}

/// The group took a partition from this worker, or the worker gave it up.
#[derive(Clone, Copy, Debug)]
pub struct PartitionLost {
    /// The partition.
    pub partition: u32,
}

impl PartitionLost {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.stream.lost.inc();
        info!(partition = self.partition, "partition lost");
    }
}

/// State is behind the committed offsets and is brought up to them, output suppressed.
#[derive(Clone, Copy, Debug)]
pub struct ReplayStarted {
    /// The partition.
    pub partition: u32,
    /// Records to be applied again, over all input topics.
    pub records: u64,
}

impl ReplayStarted {
    /// Log line; the metric of what is left comes from health.
    pub fn emit(self, _metrics: &Metrics) {
        info!(partition = self.partition, records = self.records, "replay started");
    }
}

/// Every input of a partition has arrived at its committed offset: it is live.
#[derive(Clone, Copy, Debug)]
pub struct ReplayFinished {
    /// The partition.
    pub partition: u32,
    /// Records applied again.
    pub records: u64,
}

impl ReplayFinished {
    /// Log line; the metric counts batch by batch, in [`BatchCommitted`].
    pub fn emit(self, _metrics: &Metrics) {
        info!(partition = self.partition, records = self.records, "replay finished, partition is live");
    }
}

/// Conflicting duplicates met, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// Touchpoints with the identity of another and other content.
    pub touchpoints: u64,
    /// Likewise conversions.
    pub conversions: u64,
    /// Likewise adjustments.
    pub adjustments: u64,
    /// Conversion ids met under a second user.
    pub owners: u64,
}

/// A batch of one partition is committed in the log and written to the state.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchCommitted {
    /// Touchpoint records settled.
    pub touchpoints: u64,
    /// Conversion and adjustment records settled.
    pub conversions: u64,
    /// Rows emitted with a value.
    pub upserts: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Records set aside (each is also a [`RecordSetAside`]).
    pub set_aside: u64,
    /// Conversions and adjustments that were there already.
    pub duplicates: u64,
    /// Touchpoints that came after a conversion they may belong to.
    pub late: u64,
    /// Conflicting duplicates.
    pub conflicts: Conflicts,
    /// Records on another partition than murmur2 of their key gives.
    pub misplaced: u64,
    /// Whether it was a replay, its output suppressed: then its records count as replayed and as nothing else.
    pub suppressed: bool,
}

impl BatchCommitted {
    /// Log line and metrics.
    pub fn emit(self, metrics: &Metrics) {
        let stream = &metrics.stream;
        let records = self.touchpoints + self.conversions;
        let rows = self.upserts + self.deletes;
        if self.suppressed {
            stream.replayed.inc_by(records);
            debug!(records, "batch applied again, output suppressed");
            return;
        }
        stream.touchpoints_read.inc_by(self.touchpoints);
        stream.conversions_read.inc_by(self.conversions);
        stream.upserts.inc_by(self.upserts);
        stream.deletes.inc_by(self.deletes);
        stream.rows_written.inc_by(rows);
        stream.dead_letters_written.inc_by(self.set_aside);
        stream.duplicates.inc_by(self.duplicates);
        stream.late.inc_by(self.late);
        stream.conflicting_touchpoints.inc_by(self.conflicts.touchpoints);
        stream.conflicting_conversions.inc_by(self.conflicts.conversions);
        stream.conflicting_adjustments.inc_by(self.conflicts.adjustments);
        stream.conflicting_owners.inc_by(self.conflicts.owners);
        stream.misplaced.inc_by(self.misplaced);
        if let Some(held_back) = (self.misplaced > 0).then(|| metrics.lines.misplaced.pass()).flatten() {
            let records = self.misplaced;
            warn!(
                records,
                held_back,
                "records on another partition than murmur2 gives their key, which splits journeys: set their producer's \
                 partitioner to murmur2_random"
            );
        }
        #[allow(clippy::cast_precision_loss)] // a batch has far fewer than 2^52 records
        stream.batch_records.observe(records as f64);
        debug!(records, rows, set_aside = self.set_aside, "batch committed");
    }
}

/// A transaction, of one or several partitions' batches, has committed.
#[derive(Clone, Copy, Debug)]
pub struct TransactionCommitted {
    /// From begin to the commit's answer.
    pub took: Duration,
    /// Records written in it.
    pub records: u64,
}

impl TransactionCommitted {
    /// Log line, metrics and span.
    pub fn emit(self, metrics: &Metrics) {
        traces::transaction(self.took, self.records);
        metrics.stream.committed.inc();
        metrics.stream.transaction_seconds.observe(self.took.as_secs_f64());
        debug!(records = self.records, seconds = self.took.as_secs_f64(), "transaction committed");
    }
}

/// A transaction was given up; its records are processed again.
#[derive(Clone, Copy, Debug)]
pub struct TransactionAborted<'a> {
    /// What the log said.
    pub reason: &'a str,
}

impl TransactionAborted<'_> {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.stream.aborted.inc();
        warn!(reason = self.reason, "transaction aborted, its records are processed again");
    }
}

/// It is not known whether a transaction committed; the committed offsets will tell.
#[derive(Clone, Copy, Debug)]
pub struct TransactionUnknown<'a> {
    /// What the log said.
    pub reason: &'a str,
}

impl TransactionUnknown<'_> {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.stream.unknown.inc();
        warn!(reason = self.reason, "outcome of the transaction unknown, asking the committed offsets");
    }
}

/// Another worker owns these partitions by now.
#[derive(Clone, Copy, Debug)]
pub struct Fenced<'a> {
    /// What the log said.
    pub reason: &'a str,
}

impl Fenced<'_> {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.stream.fenced.inc();
        warn!(reason = self.reason, "fenced, giving the partitions up");
    }
}

/// A record cannot be used and goes to the dead-letter topic.
#[derive(Clone, Copy, Debug)]
pub struct RecordSetAside<'a> {
    /// The input topic.
    pub topic: &'static str,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// The field or rule that was broken.
    pub field: &'a str,
    /// Why.
    pub reason: &'a str,
}

impl RecordSetAside<'_> {
    /// Metric, and a log line now and then: a producer that breaks a rule does so again and again.
    pub fn emit(self, metrics: &Metrics) {
        metrics.dead_letters.count(self.field, self.reason);
        let Some(held_back) = metrics.lines.set_aside.pass() else { return };
        warn!(
            topic = self.topic,
            partition = self.partition,
            offset = self.offset,
            field = self.field,
            reason = self.reason,
            held_back,
            "record set aside"
        );
    }
}

/// Our own code panicked while a batch was applied; the batch is halved until the record is found, which is set aside.
#[derive(Clone, Copy, Debug)]
pub struct PanicCaught {
    /// The partition.
    pub partition: u32,
    /// Records in the batch.
    pub records: usize,
}

impl PanicCaught {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.stream.panics.inc();
        error!(partition = self.partition, records = self.records, "panic while applying a batch; this is a bug");
    }
}

/// The schema registry does not answer; the stream waits.
#[derive(Clone, Copy, Debug)]
pub struct RegistryUnreachable<'a> {
    /// What went wrong.
    pub reason: &'a str,
}

impl RegistryUnreachable<'_> {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.stream.registry_unreachable.inc();
        if let Some(held_back) = metrics.lines.registry_unreachable.pass() {
            warn!(reason = self.reason, held_back, "schema registry not reachable, waiting");
        }
    }
}

/// The log does not answer; the stream waits.
#[derive(Clone, Copy, Debug)]
pub struct LogUnreachable<'a> {
    /// What went wrong.
    pub reason: &'a str,
}

impl LogUnreachable<'_> {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.stream.log_unreachable.inc();
        if let Some(held_back) = metrics.lines.log_unreachable.pass() {
            warn!(reason = self.reason, held_back, "log not reachable, waiting");
        }
    }
}

/// The state of a partition must not be continued; the process ends.
#[derive(Clone, Copy, Debug)]
pub struct StateRefused<'a> {
    /// The partition.
    pub partition: u32,
    /// Why, and the way out.
    pub reason: &'a str,
}

impl StateRefused<'_> {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.stream.fatal.inc();
        error!(partition = self.partition, reason = self.reason, "state refused");
    }
}

/// The process ends because of this.
#[derive(Clone, Copy, Debug)]
pub struct FatalError<'a> {
    /// What happened, and the way out.
    pub reason: &'a str,
}

impl FatalError<'_> {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.stream.fatal.inc();
        error!(reason = self.reason, "fatal error, the process ends");
    }
}

/// A partition's state was flushed to disk, because it was cold or the process stops.
#[derive(Clone, Copy, Debug)]
pub struct StateFlushed {
    /// The partition.
    pub partition: u32,
}

impl StateFlushed {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.store.flushes.inc();
        debug!(partition = self.partition, "state flushed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Health;

    #[test]
    fn a_committed_batch_adds_up() {
        let metrics = Metrics::new().unwrap();
        let batch = BatchCommitted {
            touchpoints: 90,
            conversions: 10,
            upserts: 55,
            deletes: 5,
            set_aside: 2,
            conflicts: Conflicts { touchpoints: 1, ..Conflicts::default() },
            duplicates: 6,
            late: 7,
            misplaced: 4,
            suppressed: false,
        };
        batch.emit(&metrics);
        BatchCommitted { suppressed: true, ..batch }.emit(&metrics);
        TransactionCommitted { took: Duration::from_millis(7), records: 60 }.emit(&metrics);
        let text = metrics.render(&Health::default()).unwrap();
        for line in [
            "tributary_records_read_total{topic=\"touchpoints\"} 90",
            "tributary_records_read_total{topic=\"conversions\"} 10",
            "tributary_records_written_total{topic=\"attributions\"} 60",
            "tributary_records_written_total{topic=\"dead_letter\"} 2",
            "tributary_rows_total{change=\"delete\"} 5",
            "tributary_conflicting_duplicates_total{kind=\"touchpoint\"} 1",
            "tributary_duplicates_total 6",
            "tributary_late_touchpoints_total 7",
            "tributary_replayed_records_total 100",
            "tributary_misplaced_records_total 4",
            "tributary_transactions_total{outcome=\"committed\"} 1",
            "tributary_batch_records_sum 100",
            "tributary_transaction_seconds_bucket{le=\"0.01\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn each_failure_has_its_counter() {
        let metrics = Metrics::new().unwrap();
        let reason = "why";
        TransactionAborted { reason }.emit(&metrics);
        TransactionUnknown { reason }.emit(&metrics);
        Fenced { reason }.emit(&metrics);
        RegistryUnreachable { reason }.emit(&metrics);
        LogUnreachable { reason }.emit(&metrics);
        PanicCaught { partition: 0, records: 9 }.emit(&metrics);
        AuditUnreachable { reason }.emit(&metrics);
        AuditRefused.emit(&metrics);
        AuditWritten { entries: 3 }.emit(&metrics);
        StateRefused { partition: 0, reason }.emit(&metrics);
        FatalError { reason }.emit(&metrics);
        RecordSetAside { topic: "conversions", partition: 0, offset: 9, field: "kind", reason }.emit(&metrics);
        let text = metrics.render(&Health::default()).unwrap();
        for line in [
            "tributary_transactions_total{outcome=\"aborted\"} 1",
            "tributary_transactions_total{outcome=\"unknown\"} 1",
            "tributary_transactions_total{outcome=\"fenced\"} 1",
            "tributary_dependency_unreachable_total{dependency=\"registry\"} 1",
            "tributary_dependency_unreachable_total{dependency=\"log\"} 1",
            "tributary_audit_failures_total 1",
            "tributary_audit_refused_total 1",
            "tributary_audit_entries_total 3",
            "tributary_panics_total 1",
            "tributary_fatal_errors_total 2",
            "tributary_dead_letters_total{reason=\"kind\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
