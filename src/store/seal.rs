//! Sealing of a partition's state. Whether a folder is sealed stands in its format, under which keys in its key rows.
//!
//! Sealing anew goes through the ordinary write path, so that the state on disk stays the state after some prefix of the
//! batches: a crash loses the last steps as it loses the last batches.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rocksdb::{DB, IteratorMode, Options, WriteBatch};

use super::keys::{self, Hasher};
use super::partition::Partition;
use super::{Error, shared};
use crate::seal::{self, Keks, Keyring, Layout, Reseal, Row, Standing};

/// The format of keys and of what the store itself writes.
const FORMAT: u32 = 1;
const PLAIN: &str = "1";
const SEALED: &str = "1 sealed";

const LAYOUT: Layout = Layout { keys: keys::KEYS, clear: &[keys::FORMAT_KEY] };

/// What the folder is, where that fits `keks`.
fn standing(db: &DB, dir: &Path, keks: Option<&Keks>) -> Result<Standing, Error> {
    let failed = |e: rocksdb::Error| Error::of(dir, &e);
    let refused = |why| Err(Error::Sealed { dir: dir.display().to_string(), why });
    let refuse = |found: String| Err(Error::Format { dir: dir.display().to_string(), found, expected: FORMAT });
    let format = db.get(keys::FORMAT_KEY).map_err(failed)?;
    let format = format.map(|format| String::from_utf8_lossy(&format).into_owned());
    match (format.as_deref(), keks) {
        (Some(PLAIN), None) => Ok(Standing::Plain),
        (Some(PLAIN), Some(_)) => refused(seal::Error::NotSealed),
        (Some(SEALED), keks) => {
            let wanted = LAYOUT.rows(db).and_then(|rows| Keyring::wanted(&rows)).map_err(|e| Error::seal(dir, e))?;
            match (wanted, keks) {
                (Some(wanted), None) => refused(seal::Error::NoKey { wanted }),
                (Some(wanted), Some(_)) => Ok(Standing::Sealed(wanted)),
                (None, None) => Err(Error::corrupt(dir, "a sealed state without keys")),
                // Its first flush had the format alone: the keys are drawn now.
                (None, Some(keks)) => Ok(Standing::Sealed(keks.current())),
            }
        }
        (Some(other), _) => refuse(format!("store format {other}")),
        (None, _) if db.iterator(IteratorMode::Start).next().transpose().map_err(failed)?.is_some() => {
            refuse("no store format".into())
        }
        (None, _) => Ok(Standing::New),
    }
}

fn keyring(db: &DB, dir: &Path, keks: &Keks) -> Result<(Keyring, Vec<Row>), Error> {
    LAYOUT.rows(db).and_then(|rows| Keyring::open(LAYOUT, &rows, keks)).map_err(|e| Error::seal(dir, e))
}

/// Looks at how the state in `dir` is sealed, beside whoever has it open: nothing is locked, and nothing written. What was not
/// flushed yet is not seen.
///
/// # Errors
///
/// What [`Partition::open`] would refuse with these keys, in the same words, but for a state that is in use.
pub fn look(dir: &Path, keks: Option<&Keks>) -> Result<Standing, Error> {
    if !dir.join("CURRENT").exists() {
        return Ok(Standing::New);
    }
    let mut options = Options::default();
    options.set_max_open_files(16);
    options.set_info_logger(shared::logger(dir)); // and so no file of RocksDB's own
    let db = DB::open_for_read_only(&options, dir, false).map_err(|e| Error::of(dir, &e))?;
    let standing = standing(&db, dir, keks)?;
    keks.filter(|_| standing != Standing::New).map(|keks| keyring(&db, dir, keks)).transpose()?;
    Ok(standing)
}

/// How a partition's values and hashes are kept.
#[derive(Default)]
pub(super) struct Seal {
    pub(super) keyring: Option<Keyring>,
    pub(super) hasher: Hasher,
    reseal: Mutex<Option<Reseal>>,
}

impl Seal {
    /// Says what the folder is, or makes it that. The format is the first thing that is ever written, so every flushed
    /// state has it; the key rows come before anything that they seal.
    pub(super) fn open(db: &DB, dir: &Path, keks: Option<&Keks>) -> Result<Self, Error> {
        if standing(db, dir, keks)? == Standing::New {
            let format = if keks.is_some() { SEALED } else { PLAIN };
            db.put_opt(keys::FORMAT_KEY, format, &shared::unlogged()).map_err(|e| Error::of(dir, &e))?;
        }
        keks.map_or_else(|| Ok(Self::default()), |keks| Self::unlock(db, dir, keks))
    }

    fn unlock(db: &DB, dir: &Path, keks: &Keks) -> Result<Self, Error> {
        let failed = |e| Error::seal(dir, e);
        let (keyring, writes) = keyring(db, dir, keks)?;
        let mut batch = WriteBatch::default();
        writes.iter().for_each(|(key, value)| batch.put(key, value));
        db.write_opt(batch, &shared::unlogged()).map_err(|e| Error::of(dir, &e))?;
        let reseal = Mutex::new(Reseal::resume(db, &keyring).map_err(failed)?);
        let hasher = Hasher::Keyed(keyring.mac().clone());
        Ok(Self { keyring: Some(keyring), hasher, reseal })
    }

    /// A stored value as it was before it was sealed.
    pub(super) fn open_value(&self, dir: &Path, key: &[u8], value: Vec<u8>) -> Result<Vec<u8>, Error> {
        let Some(keyring) = &self.keyring else { return Ok(value) };
        let mut plain = Vec::with_capacity(value.len());
        keyring.open_value(key, &value, &mut plain).map_err(|e| Error::seal(dir, e))?;
        Ok(plain)
    }

    /// As [`Self::open_value`]; `room` holds it where it was sealed.
    pub(super) fn open_into<'v>(
        &self,
        dir: &Path,
        key: &[u8],
        value: &'v [u8],
        room: &'v mut Vec<u8>,
    ) -> Result<&'v [u8], Error> {
        let Some(keyring) = &self.keyring else { return Ok(value) };
        room.clear();
        keyring.open_value(key, value, room).map_err(|e| Error::seal(dir, e))?;
        Ok(room)
    }

    fn reseal(&self) -> MutexGuard<'_, Option<Reseal>> {
        self.reseal.lock().unwrap_or_else(PoisonError::into_inner) // at worst a stretch is looked at again
    }
}

impl Partition {
    /// Whether values stand under an older key, for [`Self::reseal`] to write again.
    pub fn is_resealing(&self) -> bool {
        // Who compacts holds the lock for long; then nothing is left to write.
        self.seal.reseal.try_lock().is_ok_and(|under_way| under_way.as_ref().is_some_and(Reseal::is_sealing))
    }

    /// Looks at the next `records` rows and writes those again that stand under an older key. Called by the owner now and
    /// then, it ends a rotation of keys; [`Self::compact_resealed`] does the rest.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn reseal(&self, records: usize) -> Result<(), Error> {
        let mut writer = self.writer();
        let mut reseal = self.seal.reseal();
        if let (Some(keyring), Some(under_way)) = (&self.seal.keyring, reseal.as_mut().filter(|r| r.is_sealing())) {
            let batch = under_way.step(&self.db, keyring, records).map_err(|e| Error::seal(&self.dir, e))?;
            self.put(batch)?;
            writer.dirty = true;
        }
        Ok(())
    }

    /// Compacts the next stretch of a state whose values were all sealed anew, so that nothing older is in any file, and
    /// says whether there is more. It takes as long as rewriting one file, so the owner leaves it to others.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn compact_resealed(&self) -> Result<bool, Error> {
        let mut reseal = self.seal.reseal();
        let (Some(keyring), Some(under_way)) = (&self.seal.keyring, reseal.as_mut().filter(|r| !r.is_sealing())) else {
            return Ok(false);
        };
        let compacted = under_way.compact(&self.db, keyring);
        let (batch, done) = compacted.map_err(|e| Error::seal(&self.dir, e))?;
        if done {
            *reseal = None;
        }
        drop(reseal);
        {
            let mut writer = self.writer();
            self.put(batch)?;
            writer.dirty = true;
        }
        if done {
            self.flush()?; // the older key may be destroyed now
        }
        Ok(!done)
    }

    /// About how many bytes are still to be written again after a rotation of keys; 0 when there is none under way.
    pub fn left_to_reseal(&self) -> u64 {
        self.seal.reseal().as_ref().map_or(0, |under_way| under_way.left_bytes(&self.db))
    }
}
