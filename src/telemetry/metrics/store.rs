//! RocksDB: sizes and stalls over all partitions of the process, refreshed now and then.

use prometheus::{IntCounter, IntGauge, Registry, Result};

use super::make;

/// What RocksDB says of all open partitions together; bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSizes {
    /// Memtables, those being flushed included.
    pub memtable_bytes: u64,
    /// Sorted files on disk.
    pub sst_bytes: u64,
    /// What compaction is behind with.
    pub pending_compaction_bytes: u64,
    /// The shared block cache.
    pub block_cache_bytes: u64,
    /// Partitions whose writes are stopped or slowed down now.
    pub stalled_partitions: u64,
    /// Open partitions.
    pub open_partitions: u64,
    /// What a rotation of keys still has to seal anew, of states and log.
    pub left_to_reseal_bytes: u64,
}

/// Series of the store.
#[derive(Debug)]
pub struct Store {
    memtable: IntGauge,
    sst: IntGauge,
    pending: IntGauge,
    cache: IntGauge,
    stalled: IntGauge,
    open: IntGauge,
    left_to_reseal: IntGauge,
    pub(in crate::telemetry) flushes: IntCounter,
}

impl Store {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let gauge = |name, help| make::gauge(registry, name, help);
        Ok(Self {
            memtable: gauge("tributary_store_memtable_bytes", "Memory in memtables, over all partitions.")?,
            sst: gauge("tributary_store_sst_bytes", "Sorted files on disk, over all partitions.")?,
            pending: gauge(
                "tributary_store_pending_compaction_bytes",
                "Bytes that compaction is behind with, over all partitions.",
            )?,
            cache: gauge("tributary_store_block_cache_bytes", "Memory in the shared block cache.")?,
            stalled: gauge("tributary_store_stalled_partitions", "Partitions whose writes are slowed or stopped.")?,
            open: gauge("tributary_store_open_partitions", "Partitions whose state is open.")?,
            left_to_reseal: gauge(
                "tributary_seal_left_bytes",
                "What a rotation of keys still has to seal anew, estimated; at 0 the older key may go.",
            )?,
            flushes: make::counter(
                registry,
                "tributary_store_flushes_total",
                "Flushes asked for, cold ones included.",
            )?,
        })
    }

    /// Takes over what RocksDB said last.
    pub fn set(&self, sizes: &StoreSizes) {
        let pairs = [
            (&self.memtable, sizes.memtable_bytes),
            (&self.sst, sizes.sst_bytes),
            (&self.pending, sizes.pending_compaction_bytes),
            (&self.cache, sizes.block_cache_bytes),
            (&self.stalled, sizes.stalled_partitions),
            (&self.open, sizes.open_partitions),
            (&self.left_to_reseal, sizes.left_to_reseal_bytes),
        ];
        for (gauge, value) in pairs {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
