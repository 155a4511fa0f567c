//! One open folder: one RocksDB, written by one worker, read by anyone.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rocksdb::{DB, FlushOptions, ReadOptions, ReadTier, WriteBatch, WriteOptions, properties};

use super::Error;
use super::batch::Batch;
use super::keys::{self, Hasher};
use super::rollups::{CellKey, Hot, Unreadable};
use super::seal::Seal;
use super::shared::{self, Shared};
use super::view::View;
use crate::core::Millis;

/// RocksDB's own number of levels.
const LEVELS: usize = 7;

/// The state of one partition, open.
pub struct Partition {
    pub(super) db: DB,
    pub(super) dir: PathBuf,
    pub(super) seal: Seal,
    unlogged: WriteOptions,
    writer: Mutex<Writer>,
}

/// What only the one who writes needs.
#[derive(Default)]
pub(super) struct Writer {
    hot: Hot,
    /// Whether something was written since the last flush was asked for.
    pub(super) dirty: bool,
    /// When that was first seen by [`Partition::flush_if_older`].
    dirty_since: Option<Millis>,
}

/// Figures of one partition, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Memtables: written, not yet on disk.
    pub memtable_bytes: u64,
    /// Memtables that wait for their flush.
    pub waiting_memtables: u64,
    /// Tables on disk.
    pub table_bytes: u64,
    /// How many tables.
    pub tables: u64,
    /// What compaction still has to rewrite, estimated.
    pub pending_compaction_bytes: u64,
    /// The rate to which writes are held down, in bytes a second; 0 where they are not.
    pub delayed_write_rate: u64,
    /// Whether writes are stopped until a flush or compaction ends.
    pub stopped: bool,
    /// Errors of flushes and compactions since the partition was opened.
    pub background_errors: u64,
    /// Keys, estimated.
    pub keys: u64,
}

impl Partition {
    /// Opens the state in `dir`, which is made where there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] while another handle has it open, [`Error::Format`] where the folder holds something else,
    /// [`Error::Sealed`] where it is sealed and should not be, or under other keys, or the other way round.
    pub fn open(shared: &Shared, dir: &Path) -> Result<Self, Error> {
        let failed = |e: &rocksdb::Error| Error::of(dir, e);
        if !shared.is_in_memory() {
            let made = std::fs::create_dir_all(dir);
            made.map_err(|e| Error::Io { dir: dir.display().to_string(), detail: e.to_string() })?;
        }
        let options = shared.options(dir).map_err(|e| failed(&e))?;
        let db = DB::open(&options, dir).map_err(|e| failed(&e))?;
        let seal = Seal::open(&db, dir, shared.keks())?;
        Ok(Self { db, dir: dir.into(), seal, unlogged: shared::unlogged(), writer: Mutex::default() })
    }

    /// The hash of what stands in this state's keys.
    pub fn hasher(&self) -> &Hasher {
        &self.seal.hasher
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The state as it is now; later writes do not show in it. Keep it for one batch or one query: what it sees cannot be
    /// compacted away.
    pub fn view(&self) -> View<'_> {
        View::new(&self.db, &self.dir, &self.seal)
    }

    /// Writes the batch, all of it or nothing, and empties it. It is visible at once and durable after the next flush.
    ///
    /// # Errors
    ///
    /// Every error is fatal ([`Error::is_fatal`]): the transaction stands in Kafka, so the process must end and replay.
    pub fn write(&self, batch: &mut Batch) -> Result<(), Error> {
        let mut writer = self.writer();
        let written = self.merge_and_write(&mut writer.hot, batch);
        match written {
            Ok(()) => writer.dirty = true,
            Err(_) => writer.hot.forget(),
        }
        batch.clear();
        written
    }

    /// Puts everything written so far on disk and waits for it.
    pub fn flush(&self) -> Result<(), Error> {
        self.start_flush(&mut self.writer(), true)
    }

    /// Starts a flush, without waiting for it, where there are writes that a call at least `age_ms` ago saw already. Called
    /// every now and then by the owner, it bounds how much of the log a crash makes it read again; `now` is any clock in
    /// milliseconds that does not go back.
    pub fn flush_if_older(&self, now: Millis, age_ms: Millis) -> Result<bool, Error> {
        let mut writer = self.writer();
        if !writer.dirty {
            return Ok(false);
        }
        let since = *writer.dirty_since.get_or_insert(now);
        if now.saturating_sub(since) < age_ms {
            return Ok(false);
        }
        self.start_flush(&mut writer, false)?;
        Ok(true)
    }

    /// The meta record as a power cut now would leave it: what of [`View::meta`] is on disk.
    pub fn durable_meta(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::Persisted);
        let meta = self.db.get_opt(keys::META_KEY, &options).map_err(|e| self.failed(&e))?;
        meta.map(|meta| self.seal.open_value(&self.dir, keys::META_KEY, meta)).transpose()
    }

    /// Figures for metrics. A figure that RocksDB does not give is 0.
    pub fn sizes(&self) -> Sizes {
        let figure = |name: &properties::PropName| self.db.property_int_value(name).ok().flatten().unwrap_or(0);
        let tables = |level| figure(&properties::num_files_at_level(level));
        Sizes {
            memtable_bytes: figure(properties::CUR_SIZE_ALL_MEM_TABLES),
            waiting_memtables: figure(properties::NUM_IMMUTABLE_MEM_TABLE),
            table_bytes: figure(properties::TOTAL_SST_FILES_SIZE),
            tables: (0..LEVELS).map(tables).sum(),
            pending_compaction_bytes: figure(properties::ESTIMATE_PENDING_COMPACTION_BYTES),
            delayed_write_rate: figure(properties::ACTUAL_DELAYED_WRITE_RATE),
            stopped: figure(properties::IS_WRITE_STOPPED) != 0,
            background_errors: figure(properties::BACKGROUND_ERRORS),
            keys: figure(properties::ESTIMATE_NUM_KEYS),
        }
    }

    fn merge_and_write(&self, hot: &mut Hot, batch: &mut Batch) -> Result<(), Error> {
        if !batch.hasher.is(self.hasher()) {
            // A bug: nothing of it would be found again.
            return Err(Error::corrupt(&self.dir, "a batch that was hashed for another state"));
        }
        let mut deltas = std::mem::take(&mut batch.deltas);
        let load = |key: &CellKey| {
            let value = self.db.get(key).map_err(|e| self.failed(&e))?;
            value.map(|value| self.seal.open_value(&self.dir, key, value)).transpose()
        };
        let load = |key: &CellKey| load(key).map_err(Stopped::Failed);
        let merged = hot.merge(self.hasher(), &mut deltas, load, |key, value| match value {
            [] => batch.delete(key),
            value => batch.put(key, &[value]),
        });
        batch.deltas = deltas;
        merged.map_err(|stopped| match stopped {
            Stopped::Failed(error) => error,
            Stopped::Unreadable(key) => Error::corrupt(&self.dir, format!("no rollup cell under {key:02x?}")),
        })?;
        let sorted = batch.sorted(self.seal.keyring.as_ref()).map_err(|e| Error::seal(&self.dir, e))?;
        self.put(sorted)
    }

    /// Writes without the rest of [`Self::write`]; under the lock of the writer only.
    pub(super) fn put(&self, batch: WriteBatch) -> Result<(), Error> {
        self.db.write_opt(batch, &self.unlogged).map_err(|e| self.failed(&e))
    }

    fn start_flush(&self, writer: &mut Writer, wait: bool) -> Result<(), Error> {
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        self.db.flush_opt(&options).map_err(|e| self.failed(&e))?;
        writer.dirty = false;
        writer.dirty_since = None;
        Ok(())
    }

    /// A writer that panicked left at worst a stale cache behind, and its error ends the process.
    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            let mut writer = PoisonError::into_inner(poisoned);
            writer.hot.forget();
            writer
        })
    }

    pub(super) fn failed(&self, error: &rocksdb::Error) -> Error {
        Error::of(&self.dir, error)
    }
}

/// Why rollups could not be merged.
enum Stopped {
    Failed(Error),
    Unreadable(CellKey),
}

impl From<Unreadable> for Stopped {
    fn from(Unreadable(key): Unreadable) -> Self {
        Self::Unreadable(key)
    }
}
