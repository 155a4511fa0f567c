//! The RocksDB under the log: opening it, one way to write, two ways to read.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, IteratorMode, LogLevel, Options, ReadOptions,
    WriteBatch, WriteOptions,
};

use super::rows::{Row, offset_of, record_key};
use super::{Error, Place, Topic};
use crate::core::Millis;
use crate::topics::Offset;

/// Of these there may be three, and of the memory that is two parts of seven each; the cache has the last.
const WRITE_BUFFER: usize = 16 << 20;
const BLOCK_CACHE: usize = 8 << 20;
const WRITE_AHEAD_LOG: u64 = 64 << 20;

/// The rows.
pub(super) struct Storage {
    db: DB,
    place: String,
}

impl Storage {
    pub(super) fn open(place: &Place, memory_bytes: usize) -> Result<Self, Error> {
        let mut options = options(memory_bytes);
        let path = match place {
            Place::Folder(folder) => {
                std::fs::create_dir_all(folder)
                    .map_err(|error| Error::Storage(format!("cannot make the folder {}: {error}", folder.display())))?;
                options.set_track_and_verify_wals_in_manifest(true);
                folder.as_path()
            }
            Place::Memory(env) => {
                options.set_env(env);
                Path::new("/log")
            }
        };
        let shown = path.display().to_string();
        let db = DB::open(&options, path).map_err(|error| refused(&shown, &error))?;
        Ok(Self { db, place: shown })
    }

    /// Where it lies, for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.db.get(key).map_err(|error| self.failed("cannot be read", &error))
    }

    /// Writes a batch at the end of the write-ahead log; it is durable after the next [`Self::sync`].
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), Error> {
        let mut options = WriteOptions::default();
        options.set_memtable_insert_hint_per_batch(true);
        self.db.write_opt(batch, &options).map_err(|error| self.failed("cannot be written", &error))
    }

    /// Makes everything written so far durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.db.flush_wal(true).map_err(|error| self.failed("cannot be synced", &error))
    }

    /// Hands out the records of a range of offsets in order, for as long as `each` says.
    pub(super) fn scan(
        &self,
        (topic, partition): (Topic, u32),
        range: Range<Offset>,
        mut each: impl FnMut(Offset, Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(record_key(topic, partition, range.end));
        let mut rows = self.db.raw_iterator_opt(options);
        rows.seek(record_key(topic, partition, range.start));
        while let Some((key, value)) = rows.item() {
            let (Some(offset), Some(row)) = (offset_of(key), Row::decode(value)) else {
                return Err(self.corrupt(&format!("a row of {} partition {partition}", topic.name())));
            };
            if each(offset, row).is_break() {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(|error| self.failed("cannot be read", &error))
    }

    /// The timestamp of the newest record of a range of offsets.
    pub(super) fn last(&self, (topic, partition): (Topic, u32), range: Range<Offset>) -> Result<Option<Millis>, Error> {
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            return Ok(None);
        };
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(record_key(topic, partition, range.start));
        let from = record_key(topic, partition, last);
        match self.db.iterator_opt(IteratorMode::From(&from, Direction::Reverse), options).next() {
            None => Ok(None),
            Some(Err(error)) => Err(self.failed("cannot be read", &error)),
            Some(Ok((_, value))) => match Row::decode(&value) {
                Some(row) => Ok(Some(row.timestamp)),
                None => Err(self.corrupt(&format!("the last row of {} partition {partition}", topic.name()))),
            },
        }
    }

    /// Gives back the files that hold nothing but this range. What they held must be deleted or invisible already.
    pub(super) fn drop_files(&self, (topic, partition): (Topic, u32), range: Range<Offset>) -> Result<(), Error> {
        let (from, to) = (record_key(topic, partition, range.start), record_key(topic, partition, range.end));
        self.db.delete_file_in_range(from, to).map_err(|error| self.failed("cannot give back space", &error))
    }

    /// What the log holds cannot be right.
    pub(super) fn corrupt(&self, what: &str) -> Error {
        Error::Storage(format!(
            "{what} in {} is corrupt: restore the folder, or choose another data folder",
            self.place
        ))
    }

    fn failed(&self, what: &str, error: &rocksdb::Error) -> Error {
        Error::Storage(format!("{} {what}: {error}", self.place))
    }
}

fn refused(place: &str, error: &rocksdb::Error) -> Error {
    let message = error.to_string();
    let locked = ["lock hold by current process", "While lock file"].iter().any(|sign| message.contains(sign));
    if locked { Error::InUse(place.to_owned()) } else { Error::Storage(format!("cannot open {place}: {message}")) }
}

fn options(memory_bytes: usize) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE.min(memory_bytes / 7)));
    // Inside the bound too, however long the log gets; and small, for the log is read a stretch at a time.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_block_size(16 << 10);
    table.set_format_version(6);

    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(WRITE_BUFFER.min(memory_bytes / 7 * 2));
    options.set_max_write_buffer_number(3);
    options.set_max_total_wal_size(WRITE_AHEAD_LOG);
    // What is young is read soon and rewritten soon: only deeper levels are worth compressing.
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_min_level_to_compress(2);
    options.set_level_compaction_dynamic_level_bytes(true);
    // Every file of level 0 holds a bit of each partition, so merging it rewrites all of level 1: not too often.
    options.set_level_zero_file_num_compaction_trigger(8);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    options.set_max_open_files(256);
    // Statistics would start a timer thread of their own; its log is kept to what went wrong.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options
}
