//! What all partitions of a process share: one block cache, one bound on memory that is not yet on disk, one set of threads.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, Env, InfoLogger, LogLevel, Options, SliceTransform,
    WriteBufferManager, WriteOptions,
};

use std::sync::Arc;

use super::Error;
use super::keys;
use crate::seal::Keks;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Where there is one level only, RocksDB rewrites every table alone, at once, to be rid of old versions of a few keys: half of
/// all compaction. They go when tables are merged; this is how long it waits, in seconds.
const NO_REWRITE: u32 = 30 * 86_400;

/// What the state of all partitions of a process may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Memory for cached blocks, indexes, filters and writes that are not yet on disk, in bytes; at least 8 MiB.
    pub memory_bytes: usize,
    /// File handles for all partitions together.
    pub open_files: usize,
    /// How many partitions are expected to be open at once; more may be, with less room for each than they need.
    pub partitions: usize,
    /// Threads that flush and compact.
    pub threads: usize,
    /// Whether a partition that is closed loses what was not flushed, as a power cut would: for tests of recovery.
    pub lose_unflushed_on_close: bool,
}

impl Default for Budget {
    /// 256 MiB, 4096 file handles, 64 partitions, 2 threads, nothing lost on purpose.
    fn default() -> Self {
        Self { memory_bytes: 256 * MIB, open_files: 4096, partitions: 64, threads: 2, lose_unflushed_on_close: false }
    }
}

impl Budget {
    /// Half of the memory holds writes that are not yet on disk.
    fn unflushed_bytes(&self) -> usize {
        self.memory_bytes.max(8 * MIB) / 2
    }

    /// A memtable that is full is flushed. Four must fit into what may be unflushed, or partitions that are written at
    /// the same time would flush one another all the time.
    fn memtable_bytes(&self) -> usize {
        (self.unflushed_bytes() / 4).clamp(MIB, 64 * MIB)
    }

    /// A memtable's filter is allocated with it, whatever comes into it: at 10 bits each, 64 KiB answer for 50,000 users.
    fn memtable_filter_bytes(&self) -> usize {
        (self.unflushed_bytes() / self.partitions.max(1) / 16).clamp(16 * KIB, 512 * KIB)
    }

    /// RocksDB opens at least ten tables whatever it is told.
    fn files_each(&self) -> i32 {
        let share = self.open_files / self.partitions.max(1);
        i32::try_from(share.clamp(20, 100_000)).unwrap_or(i32::MAX)
    }

    fn threads(&self) -> i32 {
        i32::try_from(self.threads.clamp(2, 64)).unwrap_or(2)
    }
}

/// The resources that every partition of a process draws on. Cheap to clone; the clones are one.
#[derive(Clone)]
pub struct Shared {
    env: Env,
    cache: Cache,
    unflushed: WriteBufferManager,
    budget: Budget,
    in_memory: bool,
    seal: Option<Arc<Keks>>,
}

/// How much of the shared memory is in use, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Cached blocks, indexes and filters, and the memtables charged to the cache.
    pub cache_bytes: usize,
    /// What of it cannot be dropped now.
    pub pinned_bytes: usize,
    /// Memtables of all partitions.
    pub unflushed_bytes: usize,
    /// From where on partitions flush because of memory.
    pub unflushed_limit_bytes: usize,
}

impl Shared {
    /// The resources of a process whose partitions lie on disk.
    pub fn open(budget: &Budget) -> Result<Self, Error> {
        let env = Env::new().map_err(|e| Error::of(Path::new("the environment"), &e))?;
        Ok(Self::with(env, budget, false))
    }

    /// Partitions that lie in memory: for simulations. What was flushed is found again by the next open of the same folder
    /// through this value or a clone of it, and by nothing else.
    pub fn in_memory(budget: &Budget) -> Result<Self, Error> {
        let env = Env::mem_env().map_err(|e| Error::of(Path::new("the environment"), &e))?;
        Ok(Self::with(env, budget, true))
    }

    fn with(mut env: Env, budget: &Budget, in_memory: bool) -> Self {
        // Flushes have threads of their own: a long compaction must not keep a partition from writing.
        env.set_low_priority_background_threads(budget.threads());
        env.set_high_priority_background_threads((budget.threads() / 2).max(1));
        let cache = Cache::new_lru_cache(budget.memory_bytes.max(8 * MIB));
        // No stall: one partition that cannot flush must not stop all the others.
        let unflushed =
            WriteBufferManager::new_write_buffer_manager_with_cache(budget.unflushed_bytes(), false, cache.clone());
        Self { env, cache, unflushed, budget: budget.clone(), in_memory, seal: None }
    }

    /// The same resources for partitions that are sealed under these keys.
    #[must_use]
    pub fn sealed(self, keks: Arc<Keks>) -> Self {
        Self { seal: Some(keks), ..self }
    }

    /// The keys that partitions are sealed under, if they are.
    pub(super) fn keks(&self) -> Option<&Keks> {
        self.seal.as_deref()
    }

    /// What is in use now.
    pub fn usage(&self) -> Usage {
        Usage {
            cache_bytes: self.cache.get_usage(),
            pinned_bytes: self.cache.get_pinned_usage(),
            unflushed_bytes: self.unflushed.get_usage(),
            unflushed_limit_bytes: self.unflushed.get_buffer_size(),
        }
    }

    /// Whether partitions lie in memory.
    pub(super) fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    /// The options of the partition in `dir`.
    pub(super) fn options(&self, dir: &Path) -> Result<Options, rocksdb::Error> {
        // Options that the binding has no setter for; they must come first, the text makes new options.
        let lose = self.budget.lose_unflushed_on_close;
        let text = format!(
            "bottommost_file_compaction_delay={NO_REWRITE};avoid_flush_during_shutdown={lose};\
             memtable_insert_with_hint_prefix_extractor=fixed:1"
        );
        let mut options = Options::default().get_options_from_string(text)?;
        options.create_if_missing(true);
        options.set_env(&self.env);
        options.set_info_logger(logger(dir));
        options.set_write_buffer_manager(&self.unflushed);
        self.memtables(&mut options);
        self.tables(&mut options);
        self.upkeep(&mut options);
        Ok(options)
    }

    fn memtables(&self, options: &mut Options) {
        let size = self.budget.memtable_bytes();
        options.set_write_buffer_size(size);
        options.set_max_write_buffer_number(3);
        options.set_arena_block_size(64 * KIB); // an idle partition holds one block, not an eighth of a memtable
        // One writer a partition, and its batches are sorted: with a hint a table (see `options`), each insert looks on from
        // where the last one was. Without hints RocksDB starts from the top as soon as one key of the memtable lies between.
        options.set_allow_concurrent_memtable_write(false);
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(keys::PREFIX));
        options.set_memtable_prefix_bloom_ratio(self.budget.memtable_filter_bytes() as f64 / size as f64);
    }

    fn tables(&self, options: &mut Options) {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        table.set_block_size(16 * KIB);
        table.set_format_version(6);
        table.set_bloom_filter(10.0, false);
        table.set_whole_key_filtering(false); // every read knows its prefix; a second set of bits would say nothing new
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_optimize_filters_for_memory(true);
        options.set_block_based_table_factory(&table);
        // What is sealed looks random.
        let compress = |to| if self.seal.is_some() { DBCompressionType::None } else { to };
        options.set_compression_type(compress(DBCompressionType::Lz4));
        options.set_bottommost_compression_type(compress(DBCompressionType::Zstd));
        let size = self.budget.memtable_bytes() as u64;
        options.set_target_file_size_base(size.max(16 * MIB as u64));
        options.set_max_bytes_for_level_base(4 * size);
        options.set_level_compaction_dynamic_level_bytes(true);
    }

    fn upkeep(&self, options: &mut Options) {
        options.set_max_background_jobs(self.budget.threads());
        options.set_max_open_files(self.budget.files_each());
        options.set_table_cache_num_shard_bits(1);
        options.set_max_file_opening_threads(1);
        options.set_skip_stats_update_on_db_open(true);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_bytes_per_sync(MIB as u64); // no burst of dirty pages at the end of a table
        options.set_max_manifest_file_size(4 * MIB);
    }
}

/// What RocksDB has to say goes where everything else of this process goes: a file of its own in every folder would cost
/// 50 KiB and a handle for each partition.
pub(super) fn logger(dir: &Path) -> InfoLogger {
    let dir = dir.display().to_string();
    InfoLogger::new_callback_logger(LogLevel::Warn, move |level, text| match level {
        LogLevel::Warn => tracing::warn!(target: "rocksdb", dir, "{text}"),
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "rocksdb", dir, "{text}"),
        LogLevel::Debug | LogLevel::Info | LogLevel::Header => {}
    })
}

/// How batches are written: the log of inputs is the write-ahead log.
pub(super) fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}
