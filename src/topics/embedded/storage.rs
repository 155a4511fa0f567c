//! The RocksDB under the log: opening it, one way to write, two ways to read.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, InfoLogger, IteratorMode, LogLevel, Options,
    ReadOptions, WriteBatch, WriteOptions,
};

use super::rows::{IDENTITY, KEYS, Row, offset_of, record_key};
use super::{Error, Place, Settings, Topic};
use crate::core::Millis;
use crate::seal::{self, Keks, Keyring, Layout, Standing};
use crate::topics::Offset;

/// Of these there may be three, and of the memory that is two parts of seven each; the cache has the last.
const WRITE_BUFFER: usize = 16 << 20;
const BLOCK_CACHE: usize = 8 << 20;
const WRITE_AHEAD_LOG: u64 = 64 << 20;

const LAYOUT: Layout = Layout { keys: KEYS, clear: &[] };

/// The rows.
pub(super) struct Storage {
    pub(super) db: DB,
    place: String,
    pub(super) keyring: Option<Keyring>,
}

impl Storage {
    pub(super) fn open(place: &Place, settings: &Settings) -> Result<Self, Error> {
        let mut options = options(settings.memory_bytes, settings.seal.is_some());
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
        let mut storage = Self { db, place: shown, keyring: None };
        // They stand in the write-ahead log before anything that they seal, so whatever is synced later is synced with them.
        let writes = storage.unlock(settings.seal.as_deref())?;
        let mut batch = WriteBatch::default();
        writes.iter().for_each(|(key, value)| batch.put(key, value));
        storage.write(batch)?;
        Ok(storage)
    }

    /// Opens what lies in a folder for reading alone, beside whoever has it open; none where there is nothing. What needs
    /// RocksDB's lock, or writes, is not done: its own log file neither.
    pub(super) fn glimpse(folder: &Path, keks: Option<&Keks>) -> Result<Option<Self>, Error> {
        if !folder.join("CURRENT").exists() {
            return Ok(None);
        }
        let mut options = Options::default();
        options.set_max_open_files(64);
        options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| ()));
        let place = folder.display().to_string();
        let db = DB::open_for_read_only(&options, folder, false).map_err(|error| refused(&place, &error))?;
        let mut storage = Self { db, place, keyring: None };
        storage.unlock(keks)?;
        Ok(Some(storage))
    }

    /// Opens the keys, or makes them for a new log. Returns the rows to write before anything that is sealed.
    fn unlock(&mut self, keks: Option<&Keks>) -> Result<Vec<seal::Row>, Error> {
        let rows = LAYOUT.rows(&self.db).map_err(|error| self.sealed(error))?;
        match (keks, self.standing(&rows)?) {
            (None, Standing::New | Standing::Plain) => Ok(Vec::new()),
            (None, Standing::Sealed(wanted)) => Err(self.sealed(seal::Error::NoKey { wanted })),
            (Some(_), Standing::Plain) => Err(self.sealed(seal::Error::NotSealed)),
            (Some(keks), Standing::New | Standing::Sealed(_)) => {
                let (keyring, writes) = Keyring::open(LAYOUT, &rows, keks).map_err(|error| self.sealed(error))?;
                self.keyring = Some(keyring);
                Ok(writes)
            }
        }
    }

    fn standing(&self, rows: &[seal::Row]) -> Result<Standing, Error> {
        if let Some(kek) = Keyring::wanted(rows).map_err(|error| self.sealed(error))? {
            return Ok(Standing::Sealed(kek));
        }
        let identity = self.db.get(IDENTITY).map_err(|error| self.failed("cannot be read", &error))?;
        Ok(if identity.is_none() { Standing::New } else { Standing::Plain })
    }

    /// How it is sealed.
    pub(super) fn sealing(&self) -> Result<Standing, Error> {
        self.standing(&LAYOUT.rows(&self.db).map_err(|error| self.sealed(error))?)
    }

    /// Where it lies, for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.db.get(key).map_err(|error| self.failed("cannot be read", &error))?;
        let mut room = Vec::new();
        value.map(|value| self.opened(key, &value, &mut room).map(<[u8]>::to_vec)).transpose()
    }

    /// A value as it was before it was sealed; `room` is for one that is.
    fn opened<'v>(&self, key: &[u8], value: &'v [u8], room: &'v mut Vec<u8>) -> Result<&'v [u8], Error> {
        let Some(keyring) = &self.keyring else { return Ok(value) };
        room.clear();
        keyring.open_value(key, value, room).map_err(|error| self.sealed(error))?;
        Ok(room)
    }

    /// Adds a row to a batch.
    pub(super) fn put(&self, batch: &mut WriteBatch, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let Some(keyring) = &self.keyring else {
            batch.put(key, value);
            return Ok(());
        };
        let mut sealed = Vec::with_capacity(value.len() + seal::OVERHEAD);
        keyring.seal(key, value, &mut sealed).map_err(|error| self.sealed(error))?;
        batch.put(key, &sealed);
        Ok(())
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
        let (mut rows, mut room) = (self.db.raw_iterator_opt(options), Vec::new());
        rows.seek(record_key(topic, partition, range.start));
        while let Some((key, value)) = rows.item() {
            let value = self.opened(key, value, &mut room)?;
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
            Some(Ok((key, value))) => match Row::decode(self.opened(&key, &value, &mut Vec::new())?) {
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

    /// What sealing or opening answered.
    pub(super) fn sealed(&self, error: seal::Error) -> Error {
        match error {
            seal::Error::Forged(what) => self.corrupt(&format!("{what}, not sealed there,")),
            seal::Error::Storage(_) | seal::Error::Unable(_) => Error::Storage(format!("{} {error}", self.place)),
            why => Error::Sealed { place: self.place.clone(), why },
        }
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

fn options(memory_bytes: usize, sealed: bool) -> Options {
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
    options.set_compression_type(if sealed { DBCompressionType::None } else { DBCompressionType::Lz4 }); // sealed looks random
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
