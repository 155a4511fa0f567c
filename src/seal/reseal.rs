//! Sealing anew, after a rotation, what stands under keys that were drawn while an older KEK was in use.
//!
//! Two passes over the RocksDB, each in small steps and remembered in it, so that a restart goes on: the first writes every
//! such value again under the current key; the second compacts, so that no file holds what was written before, neither
//! values nor keys as the older KEK had wrapped them. Then the old keys go.

use rocksdb::{BottommostLevelCompaction, CompactOptions, DB, Range, ReadOptions, WriteBatch};

use super::Error;
use super::keyring::Keyring;

/// Behind every key there can be.
const END: [u8; 64] = [0xff; 64];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    Sealing,
    Compacting,
}

/// How far it has come.
#[derive(Debug)]
pub struct Reseal {
    pass: Pass,
    /// Everything before this key is done.
    at: Vec<u8>,
}

impl Reseal {
    /// Goes on where it was, or begins; none where nothing is to be sealed anew.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Forged`].
    pub fn resume(db: &DB, keyring: &Keyring) -> Result<Option<Self>, Error> {
        if keyring.stale().is_empty() {
            return Ok(None);
        }
        let beginning = Self { pass: Pass::Sealing, at: Vec::new() };
        let key = keyring.layout().cursor();
        let Some(stored) = db.get(&key)? else { return Ok(Some(beginning)) };
        let mut plain = Vec::new();
        keyring.open_value(&key, &stored, &mut plain)?;
        // Another KEK has come since: what was done is to be done again.
        Ok(Some(match plain.split_first_chunk::<5>() {
            Some(([pass, kek @ ..], at)) if *kek == keyring.kek().0 => {
                Self { pass: if *pass == 0 { Pass::Sealing } else { Pass::Compacting }, at: at.to_vec() }
            }
            _ => beginning,
        }))
    }

    /// Whether values are still to be written again: [`Self::step`] does it. Else [`Self::compact`] is what is left.
    pub fn is_sealing(&self) -> bool {
        self.pass == Pass::Sealing
    }

    /// Looks at up to `most` rows, and returns what to write before anything else is written. No row may change meanwhile.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Forged`] where a value does not open.
    pub fn step(&mut self, db: &DB, keyring: &Keyring, most: usize) -> Result<WriteBatch, Error> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.fill_cache(false);
        let mut rows = db.raw_iterator_opt(options);
        rows.seek(&self.at);
        let (mut batch, mut plain, mut sealed) = (WriteBatch::default(), Vec::new(), Vec::new());
        for _ in 0..most {
            let Some((key, value)) = rows.item() else { break };
            if !keyring.layout().is_clear(key) && keyring.is_stale(value)? {
                plain.clear();
                sealed.clear();
                keyring.open_value(key, value, &mut plain)?;
                keyring.seal(key, &plain, &mut sealed)?;
                batch.put(key, &sealed);
            }
            self.at.clear();
            self.at.extend_from_slice(key);
            self.at.push(0); // the next key there can be
            rows.next();
        }
        rows.status()?;
        if !rows.valid() {
            (self.pass, self.at) = (Pass::Compacting, Vec::new());
        }
        self.remember(keyring, &mut batch)?;
        Ok(batch)
    }

    /// Compacts the next stretch, about a file of the last level. Returns what to write, and whether it was the last.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn compact(&mut self, db: &DB, keyring: &Keyring) -> Result<(WriteBatch, bool), Error> {
        let files = db.live_files()?;
        let last = files.iter().map(|file| file.level).max().unwrap_or(0);
        let ends = files.into_iter().filter(|file| file.level == last).filter_map(|file| file.end_key);
        let end = ends.filter(|end| *end > self.at).min();
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        options.set_exclusive_manual_compaction(false);
        db.compact_range_opt(Some(&self.at), end.as_ref(), &options);
        let mut batch = WriteBatch::default();
        match end {
            Some(end) => {
                self.at = end;
                self.remember(keyring, &mut batch)?;
                Ok((batch, false))
            }
            None => {
                keyring.stale().iter().for_each(|number| batch.delete(keyring.layout().key(*number)));
                batch.delete(keyring.layout().cursor());
                Ok((batch, true))
            }
        }
    }

    fn remember(&self, keyring: &Keyring, batch: &mut WriteBatch) -> Result<(), Error> {
        let key = keyring.layout().cursor();
        let plain = [&[u8::from(self.pass == Pass::Compacting)], &keyring.kek().0[..], &self.at].concat();
        let mut sealed = Vec::new();
        keyring.seal(&key, &plain, &mut sealed)?;
        batch.put(key, sealed);
        Ok(())
    }

    /// About how many bytes are left; never 0.
    pub fn left_bytes(&self, db: &DB) -> u64 {
        let size = |from: &[u8]| db.get_approximate_sizes(&[Range::new(from, &END)]).into_iter().sum::<u64>();
        let left = size(&self.at) + if self.is_sealing() { size(&[]) } else { 0 };
        left.max(1)
    }
}
