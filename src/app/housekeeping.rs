//! What keeps an embedded log and the figures in order: retention, compaction, sizes for metrics.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::guard::Guard;
use super::{Error, clock};
use crate::core::Millis;
use crate::store::{Partitions, Shared};
use crate::stream::meta::Meta;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::StoreSizes;
use crate::topics::Input;
use crate::topics::embedded::{self, Broker, Cleaning, Topic};

/// How often it looks.
const ROUND: Duration = Duration::from_secs(1);
/// How often old records are taken away.
const TRIM: Duration = Duration::from_secs(60);
/// Records that one step of compaction reads.
const STEP: usize = 20_000;
/// Rows that one step of sealing anew looks at: about a millisecond.
const RESEAL: usize = 500;
/// How long a deletion stays in a compacted topic, for readers that are behind.
const FORGET: Millis = 86_400_000;

/// What is kept in order.
pub struct Housekeeping {
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// The states.
    pub partitions: Arc<Partitions>,
    /// What they share.
    pub shared: Arc<Shared>,
    /// The embedded log, where that is the log.
    pub broker: Option<Arc<Broker>>,
    /// How long its inputs and dead letters are kept, in milliseconds.
    pub retention: Millis,
    /// How long its audit log is, in milliseconds.
    pub audit_retention: Millis,
}

impl Housekeeping {
    /// The thread's name.
    pub const NAME: &str = "housekeeping";

    /// Starts it on a thread of its own. A log or state that cannot be read ends the process, by way of `guard`.
    pub fn spawn(self, stop: CancellationToken, mut guard: Guard) -> Result<JoinHandle<()>, Error> {
        let thread = std::thread::Builder::new().name(Self::NAME.into());
        let started = thread.spawn(move || guard.tell(self.run(&stop).err()));
        started.map_err(|error| Error::Failed(format!("no thread to be had for housekeeping: {error}")))
    }

    fn run(&self, stop: &CancellationToken) -> Result<(), Error> {
        let mut trimmed = Instant::now();
        while !stop.is_cancelled() {
            std::thread::park_timeout(ROUND);
            self.measure();
            self.compact_resealed(stop)?;
            let Some(broker) = &self.broker else { continue };
            self.compact(broker, stop)?;
            self.reseal_log(broker, stop)?;
            if trimmed.elapsed() >= TRIM {
                trimmed = Instant::now();
                self.trim(broker)?;
            }
        }
        Ok(())
    }

    fn measure(&self) {
        let mut sum = StoreSizes { block_cache_bytes: self.shared.usage().cache_bytes as u64, ..StoreSizes::default() };
        for (_, partition) in self.partitions.all() {
            let sizes = partition.sizes();
            sum.open_partitions += 1;
            sum.memtable_bytes += sizes.memtable_bytes;
            sum.sst_bytes += sizes.table_bytes;
            sum.pending_compaction_bytes += sizes.pending_compaction_bytes;
            sum.left_to_reseal_bytes += partition.left_to_reseal();
            sum.stalled_partitions += u64::from(sizes.stopped || sizes.delayed_write_rate > 0);
        }
        sum.left_to_reseal_bytes += self.broker.as_ref().map_or(0, |broker| broker.left_to_reseal());
        self.metrics.store.set(&sum);
    }

    /// Steps until nothing is due, or for half a second, so that stopping is never far away.
    fn compact(&self, broker: &Broker, stop: &CancellationToken) -> Result<(), embedded::Error> {
        let began = Instant::now();
        let cleaning = Cleaning { records: STEP, forget_before: clock::now() - FORGET };
        while broker.clean(cleaning)? && !stop.is_cancelled() && began.elapsed() < Duration::from_millis(500) {}
        Ok(())
    }

    /// After a rotation of keys: a stretch of each state that its owner has sealed anew.
    fn compact_resealed(&self, stop: &CancellationToken) -> Result<(), Error> {
        // One at a time: who gives a partition up waits for everybody else who holds it.
        let numbers: Vec<u32> = self.partitions.all().into_iter().map(|(number, _)| number).collect();
        for number in numbers {
            if let Some(partition) = self.partitions.get(number).filter(|_| !stop.is_cancelled()) {
                partition.compact_resealed()?;
            }
        }
        Ok(())
    }

    /// After a rotation of keys: the log, for half a second.
    fn reseal_log(&self, broker: &Broker, stop: &CancellationToken) -> Result<(), embedded::Error> {
        let began = Instant::now();
        while broker.reseal(RESEAL)? && !stop.is_cancelled() && began.elapsed() < Duration::from_millis(500) {}
        Ok(())
    }

    /// Takes inputs away that are older than the retention, but nothing that the state does not hold on disk; and the
    /// dead letters of the same age, which are kept as long as what they came from.
    fn trim(&self, broker: &Broker) -> Result<(), Error> {
        let before = clock::now() - self.retention;
        for (number, partition) in self.partitions.all() {
            let Some(durable) = partition.durable_meta()? else {
                continue;
            };
            let Ok(meta) = Meta::decode(&durable) else { continue };
            for input in Input::ALL {
                let old = broker.offset_at(input, number, before)?;
                // The last applied record stays: whoever takes the partition reads it again, to compare it.
                broker.trim(input, number, old.min(*meta.applied.get(input) - 1))?;
            }
            let old = broker.offset_at(Topic::DeadLetter, number, before)?;
            broker.trim(Topic::DeadLetter, number, old.min(meta.dead_letters))?;
        }
        // The newest entry stays: it is what those that come are linked to.
        let old = broker.offset_at(Topic::Audit, 0, clock::now() - self.audit_retention)?;
        broker.trim(Topic::Audit, 0, old.min(broker.bounds(Topic::Audit, 0)?.end - 1))?;
        Ok(())
    }
}
