//! Reads over one snapshot of a partition.

use std::cell::Cell as Slot;
use std::path::Path;

use rocksdb::{DB, DBRawIterator, ReadOptions, Snapshot};

use super::Error;
use super::keys::{self, ConversionKey, Hasher, Key, TIME, UserKey};
use super::rollups::{self, Cell, Dimension, Sum};
use super::seal::Seal;
use crate::core::{Millis, Model};

/// Records read from the store, one after the other in one arena that is kept from read to read.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    bytes: Vec<u8>,
    entries: Vec<(Millis, usize)>,
}

impl Stored {
    /// No records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the records; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a record.
    pub fn push(&mut self, occurred_at: Millis, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.entries.push((occurred_at, self.bytes.len()));
    }

    /// The record at `index` and when its event happened.
    pub fn get(&self, index: usize) -> Option<(Millis, &[u8])> {
        let (occurred_at, end) = *self.entries.get(index)?;
        let start = index.checked_sub(1).map_or(Some(0), |before| Some(self.entries.get(before)?.1))?;
        Some((occurred_at, self.bytes.get(start..end)?))
    }

    /// The records in the order they were read, each with when its event happened.
    pub fn iter(&self) -> impl Iterator<Item = (Millis, &[u8])> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// Where a conversion lies: the cursor of [`View::each_conversion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Whose it is.
    pub user: UserKey,
    /// When it happened.
    pub occurred_at: Millis,
    /// Which one.
    pub conversion: ConversionKey,
}

/// The state at one moment.
pub struct View<'p> {
    /// The iterator of the scans inside one prefix, used again and again: making one costs more than most scans. It sees
    /// through `snapshot`, so it stands before it and is dropped first.
    scan: Slot<Option<DBRawIterator<'p>>>,
    snapshot: Snapshot<'p>,
    db: &'p DB,
    dir: &'p Path,
    seal: &'p Seal,
}

impl<'p> View<'p> {
    pub(super) fn new(db: &'p DB, dir: &'p Path, seal: &'p Seal) -> Self {
        Self { scan: Slot::new(None), snapshot: db.snapshot(), db, dir, seal }
    }

    /// The hash of what stands in this state's keys.
    pub fn hasher(&self) -> &'p Hasher {
        &self.seal.hasher
    }

    /// Adds the user's touchpoints from `from` to `to`, both ends in, to `into`: by time, conflicting duplicates and one
    /// event sent with several times included, those of one millisecond in no order that means anything.
    pub fn touchpoints(&self, user: UserKey, from: Millis, to: Millis, into: &mut Stored) -> Result<(), Error> {
        self.timed(keys::TOUCHPOINTS, user, (from, to), into)
    }

    /// Adds at most `limit` of the user's touchpoints from `from` on to `into`, by time, and says whether there are more.
    pub fn touchpoints_page(
        &self,
        user: UserKey,
        from: Millis,
        limit: usize,
        into: &mut Stored,
    ) -> Result<bool, Error> {
        self.page(Key::moment(keys::TOUCHPOINTS, user, from), limit, into)
    }

    /// As [`Self::touchpoints_page`], for conversions.
    pub fn conversions_page(
        &self,
        user: UserKey,
        from: Millis,
        limit: usize,
        into: &mut Stored,
    ) -> Result<bool, Error> {
        self.page(Key::moment(keys::CONVERSIONS, user, from), limit, into)
    }

    /// Adds the user's conversions from `from` to `to`, both ends in, to `into`, by time. A user without any costs no read
    /// from disk.
    pub fn conversions(&self, user: UserKey, from: Millis, to: Millis, into: &mut Stored) -> Result<(), Error> {
        self.timed(keys::CONVERSIONS, user, (from, to), into)
    }

    /// The user's conversion of that id, with when it happened.
    pub fn conversion(&self, user: UserKey, conversion: ConversionKey) -> Result<Option<(Millis, Vec<u8>)>, Error> {
        let Some(index) = self.get(Key::index(conversion, user).bytes())? else {
            return Ok(None);
        };
        let occurred_at = keys::time_of(&index).ok_or_else(|| self.corrupt("an index entry that is no time"))?;
        let record = self.get(Key::conversion(user, occurred_at, conversion).bytes())?;
        let record = record.ok_or_else(|| self.corrupt("an index entry without its conversion"))?;
        Ok(Some((occurred_at, record)))
    }

    /// Every user who has a conversion of that id: more than one breaks the contract.
    pub fn owners(&self, conversion: ConversionKey) -> Result<Vec<UserKey>, Error> {
        let mut owners = Vec::new();
        let prefix = Key::owners(conversion);
        self.prefixed(prefix.bytes(), prefix.bytes(), |key, _| {
            owners.push(UserKey(key.get(keys::PREFIX..)?.try_into().ok()?));
            Some(())
        })?;
        Ok(owners)
    }

    /// Adds the adjustments of the user's conversion to `into`, in no order that means anything.
    pub fn adjustments(&self, user: UserKey, conversion: ConversionKey, into: &mut Stored) -> Result<(), Error> {
        let prefix = Key::adjustments(user, conversion);
        self.prefixed(prefix.bytes(), prefix.bytes(), |_, value| {
            let (occurred_at, record) = value.split_at_checked(TIME)?;
            into.push(keys::time_of(occurred_at)?, record);
            Some(())
        })
    }

    /// What the stream had applied.
    pub fn meta(&self) -> Result<Option<Vec<u8>>, Error> {
        self.get(keys::META_KEY)
    }

    /// Calls `each` with every cell of a model and dimension whose bucket begins in [from, to), both in milliseconds and
    /// multiples of [`rollups::BUCKET_MS`]. A cell may come in more than one part.
    pub fn rollups<E: From<Error>>(
        &self,
        model: Model,
        dimension: Dimension,
        from: Millis,
        to: Millis,
        mut each: impl FnMut(&Cell<'_>, Sum) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = rollups::bound(dimension, model, Cell::bucket_of(from));
        let end = rollups::bound(dimension, model, Cell::bucket_of(to));
        if start >= end {
            return Ok(());
        }
        let (mut iter, mut room) = (self.range(&start, &end, true), Vec::new());
        iter.seek(start);
        while let Some((key, value)) = iter.item() {
            let cell = rollups::read(key, self.opened(key, value, &mut room)?, model, dimension);
            let (cell, sum) = cell.ok_or_else(|| self.corrupt("a rollup cell that cannot be read"))?;
            each(&cell, sum)?;
            iter.next();
        }
        iter.status().map_err(|e| self.failed(&e).into())
    }

    /// Calls `each` with up to `limit` conversions that lie behind `after`, in the order of their places. The answer is the
    /// last place seen, to go on from, or none once all have been seen.
    pub fn each_conversion(
        &self,
        after: Option<Place>,
        limit: usize,
        mut each: impl FnMut(Place, &[u8]),
    ) -> Result<Option<Place>, Error> {
        let mut iter = self.range(&[keys::CONVERSIONS], &[keys::CONVERSIONS + 1], false);
        match after {
            None => iter.seek([keys::CONVERSIONS]),
            Some(Place { user, occurred_at, conversion }) => {
                let key = Key::conversion(user, occurred_at, conversion);
                iter.seek(key.bytes());
                if iter.key() == Some(key.bytes()) {
                    iter.next();
                }
            }
        }
        let (mut last, mut room) = (None, Vec::new());
        for _ in 0..limit {
            let Some((key, record)) = iter.item() else {
                last = None;
                break;
            };
            let place = place(key).ok_or_else(|| self.corrupt("a conversion's key that cannot be read"))?;
            each(place, self.opened(key, record, &mut room)?);
            last = Some(place);
            iter.next();
        }
        iter.status().map_err(|e| self.failed(&e))?;
        Ok(last)
    }

    fn timed(&self, table: u8, user: UserKey, (from, to): (Millis, Millis), into: &mut Stored) -> Result<(), Error> {
        let (start, end) = (Key::moment(table, user, from), Key::moment(table, user, to));
        if from > to {
            return Ok(());
        }
        self.prefixed(start.bytes(), end.bytes(), |key, record| {
            into.push(keys::time_of(key.get(keys::PREFIX..keys::PREFIX + TIME)?)?, record);
            Some(())
        })
    }

    fn page(&self, start: Key, limit: usize, into: &mut Stored) -> Result<bool, Error> {
        let prefix = start.bytes().get(..keys::PREFIX).unwrap_or_default();
        let mut iter = self.scanner();
        iter.seek(start.bytes());
        let (mut left, mut room) = (limit, Vec::new());
        while let Some((key, record)) = iter.item() {
            if !key.starts_with(prefix) || left == 0 {
                return Ok(key.starts_with(prefix));
            }
            let occurred_at = key.get(keys::PREFIX..keys::PREFIX + TIME).and_then(keys::time_of);
            let occurred_at = occurred_at.ok_or_else(|| self.corrupt("a key without its time"))?;
            into.push(occurred_at, self.opened(key, record, &mut room)?);
            left -= 1;
            iter.next();
        }
        iter.status().map_err(|e| self.failed(&e))?;
        Ok(false)
    }

    /// Calls `each` with every entry from `start` on whose key begins with `end` or less. Both lie inside one prefix;
    /// outside of it nothing is found. `each` answers none where the entry cannot be read.
    fn prefixed(
        &self,
        start: &[u8],
        end: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Option<()>,
    ) -> Result<(), Error> {
        let (mut iter, mut room) = (self.scan.take().unwrap_or_else(|| self.scanner()), Vec::new());
        iter.seek(start);
        while let Some((key, value)) = iter.item() {
            if key.get(..end.len()).is_none_or(|head| head > end) {
                break;
            }
            each(key, self.opened(key, value, &mut room)?)
                .ok_or_else(|| self.corrupt("an entry that cannot be read"))?;
            iter.next();
        }
        let status = iter.status();
        self.scan.set(Some(iter));
        status.map_err(|e| self.failed(&e))
    }

    fn scanner(&self) -> DBRawIterator<'p> {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        options.set_prefix_same_as_start(true); // the filters answer for a prefix that is not there
        self.db.raw_iterator_opt(options)
    }

    /// An iterator over [start, end) across prefixes. `keep` says whether what it reads is worth a place in the cache.
    fn range(&self, start: &[u8], end: &[u8], keep: bool) -> DBRawIterator<'p> {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        options.set_total_order_seek(true); // the filters know prefixes only
        options.set_iterate_lower_bound(start);
        options.set_iterate_upper_bound(end);
        options.fill_cache(keep);
        self.db.raw_iterator_opt(options)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.snapshot.get(key).map_err(|e| self.failed(&e))?;
        value.map(|value| self.seal.open_value(self.dir, key, value)).transpose()
    }

    /// A value as it was before it was sealed; `room` is for one that is.
    fn opened<'v>(&self, key: &[u8], value: &'v [u8], room: &'v mut Vec<u8>) -> Result<&'v [u8], Error> {
        self.seal.open_into(self.dir, key, value, room)
    }

    fn corrupt(&self, detail: &str) -> Error {
        Error::corrupt(self.dir, detail)
    }

    fn failed(&self, error: &rocksdb::Error) -> Error {
        Error::of(self.dir, error)
    }
}

fn place(key: &[u8]) -> Option<Place> {
    let (_, rest) = key.split_first()?;
    let (user, rest) = rest.split_at_checked(16)?;
    let (occurred_at, conversion) = rest.split_at_checked(TIME)?;
    Some(Place {
        user: UserKey(user.try_into().ok()?),
        occurred_at: keys::time_of(occurred_at)?,
        conversion: ConversionKey(conversion.try_into().ok()?),
    })
}
