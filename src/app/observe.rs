//! What a worker tells, turned into log lines, metrics and health.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::core::Millis;
use crate::stream::{BatchReport, Lag, Moment, Observer};
use crate::telemetry::metrics::PartitionMetrics;
use crate::telemetry::{Metrics, PartitionState, WorkerHealth, events};
use crate::topics::{self, Input, PerInput};

/// The observer of one worker thread.
pub struct Watch {
    metrics: Arc<Metrics>,
    health: Arc<WorkerHealth>,
    clock: fn() -> Millis,
    partitions: HashMap<u32, PartitionMetrics>,
}

impl Watch {
    /// An observer that reports to these.
    pub fn new(metrics: Arc<Metrics>, health: Arc<WorkerHealth>, clock: fn() -> Millis) -> Self {
        Self { metrics, health, clock, partitions: HashMap::new() }
    }

    fn gained(&mut self, partition: u32) {
        events::PartitionGained { partition }.emit(&self.metrics);
        self.health.partition(partition, PartitionState::Restoring);
        self.partitions.insert(partition, self.metrics.stream.partition(partition));
    }

    fn lost(&mut self, partition: u32) {
        events::PartitionLost { partition }.emit(&self.metrics);
        self.health.forget_partition(partition);
        self.partitions.remove(&partition);
    }

    fn replay_started(&self, partition: u32, left: u64) {
        events::ReplayStarted { partition, records: left }.emit(&self.metrics);
        self.health.partition(partition, PartitionState::Replaying { left });
    }

    fn live(&self, partition: u32, replayed: u64) {
        self.health.partition(partition, PartitionState::Live);
        events::ReplayFinished { partition, records: replayed }.emit(&self.metrics);
    }

    fn batch(&mut self, report: &BatchReport) {
        let counts = &report.counts;
        events::BatchCommitted {
            touchpoints: report.records.touchpoints,
            conversions: report.records.conversions,
            upserts: counts.upserts,
            deletes: counts.deletes,
            set_aside: report.set_aside,
            duplicates: counts.duplicates,
            late: counts.late,
            conflicts: events::Conflicts {
                touchpoints: counts.conflicting_touchpoints,
                conversions: counts.conflicting_conversions,
                adjustments: counts.conflicting_adjustments,
                owners: counts.contested,
            },
            misplaced: report.misplaced,
            suppressed: report.suppressed,
        }
        .emit(&self.metrics);
        let answers = !report.suppressed && report.records.conversions > 0;
        if let Some((oldest, _)) = report.logged.filter(|_| answers) {
            // No conversion of the batch waited longer than its oldest record.
            self.metrics.stream.conversion_to_row_seconds.observe(seconds((self.clock)() - oldest));
        }
    }

    fn lag(&self, partition: u32, lag: &PerInput<Lag>) {
        let Some(watched) = self.partitions.get(&partition) else {
            return;
        };
        for (input, gauge) in [(Input::Touchpoints, &watched.touchpoints), (Input::Conversions, &watched.conversions)] {
            let Lag { records, since } = lag.get(input);
            gauge.set(*records, since.map_or(0.0, |since| seconds((self.clock)() - since)));
        }
    }

    fn failed(&self, error: &topics::Error) {
        let reason = &error.to_string();
        match error {
            topics::Error::Aborted(_) => events::TransactionAborted { reason }.emit(&self.metrics),
            topics::Error::Unknown(_) => events::TransactionUnknown { reason }.emit(&self.metrics),
            topics::Error::Fenced(_) => events::Fenced { reason }.emit(&self.metrics),
            topics::Error::Unreachable(_) => self.log_unreachable(reason),
            topics::Error::Fatal(_) => {} // it ends the worker, and is told then
        }
    }

    fn log_unreachable(&self, reason: &str) {
        events::LogUnreachable { reason }.emit(&self.metrics);
        self.health.log_unreachable(reason);
    }
}

impl Observer for Watch {
    fn notice(&mut self, moment: Moment<'_>) {
        match moment {
            Moment::Member(member) => self.health.member(member),
            Moment::Gained { partition } => self.gained(partition),
            Moment::StillRead { partition, readers } => events::StateStillRead { partition, readers }.emit(),
            Moment::Lost { partition } => self.lost(partition),
            Moment::ReplayStarted { partition, left } => self.replay_started(partition, left),
            Moment::Replaying { partition, left } => {
                self.health.partition(partition, PartitionState::Replaying { left });
            }
            Moment::Live { partition, replayed } => self.live(partition, replayed),
            Moment::Batch(report) => self.batch(report),
            Moment::Lag { partition, lag } => self.lag(partition, lag),
            Moment::Committed { took, records } => {
                let took = Duration::from_millis(took.max(0).unsigned_abs());
                events::TransactionCommitted { took, records }.emit(&self.metrics);
            }
            Moment::SetAside { partition, input, offset, fault } => {
                let (field, reason) = (&*fault.field, &*fault.reason);
                events::RecordSetAside { topic: input.name(), partition, offset, field, reason }.emit(&self.metrics);
            }
            Moment::Panicked { partition, records } => events::PanicCaught { partition, records }.emit(&self.metrics),
            Moment::Giant { partition } => {
                tracing::info!(partition, "one record answers with more rows than a batch holds")
            }
            Moment::Failed(error) => self.failed(error),
            Moment::LogUnreachable(reason) => self.log_unreachable(reason),
            Moment::LogReachable => self.health.log_reachable(),
            Moment::RegistryUnreachable { partition, why } => {
                events::RegistryUnreachable { reason: why }.emit(&self.metrics);
                self.health.registry_unreachable(partition, why);
            }
            Moment::RegistryReachable { partition } => self.health.registry_reachable(partition),
            Moment::Refused { partition, refusal } => {
                events::StateRefused { partition, reason: &refusal.to_string() }.emit(&self.metrics);
            }
            Moment::Flushed { partition } => events::StateFlushed { partition }.emit(&self.metrics),
        }
    }

    fn tick(&mut self, in_log_call: bool) {
        self.health.tick(in_log_call);
    }
}

#[allow(clippy::cast_precision_loss)] // far fewer than 2^52 milliseconds
fn seconds(millis: Millis) -> f64 {
    millis.max(0) as f64 / 1_000.0
}
