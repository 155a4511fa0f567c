//! Rollups: sums for reports, kept as the rows change. A report adds up cells instead of reading rows.
//!
//! A cell is (dimension, model, quarter of an hour, name, currency). Its key holds a hash of name and currency, its value
//! the texts themselves; where two cells meet on one hash, the second takes the next number.

use std::hash::{Hash, Hasher};

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::keys;
use crate::core::{Millis, Model};

/// The span of one bucket, in milliseconds: a quarter of an hour, which every time zone's day is a multiple of.
pub const BUCKET_MS: Millis = 900_000;

/// What a report sums by. A report by day adds up the buckets of any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Dimension {
    /// By channel.
    Channel = 0,
    /// By campaign.
    Campaign = 1,
    /// By kind of conversion.
    Kind = 2,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 3] = [Self::Channel, Self::Campaign, Self::Kind];

    /// The name in queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Campaign => "campaign",
            Self::Kind => "kind",
        }
    }
}

/// What one sum is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cell<'a> {
    /// What the name is one of.
    pub dimension: Dimension,
    /// Which model gave the credit.
    pub model: Model,
    /// The number of the quarter of an hour since 1970 in which the conversion happened.
    pub bucket: u32,
    /// The channel, campaign or kind; none where the rows have none.
    pub name: Option<&'a str>,
    /// Whether it sums the rows that say that nobody earned the conversion.
    pub unattributed: bool,
    /// The currency of the credited money, if any.
    pub currency: Option<&'a str>,
}

impl Cell<'_> {
    /// The bucket of a moment.
    pub fn bucket_of(at: Millis) -> u32 {
        u32::try_from(at.div_euclid(BUCKET_MS)).unwrap_or(if at < 0 { 0 } else { u32::MAX })
    }

    /// The first millisecond of this cell's bucket.
    pub fn starts_at(&self) -> Millis {
        Millis::from(self.bucket) * BUCKET_MS
    }
}

/// Credit and money, in millionths. Wide enough that no number of rows overflows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Credit: one conversion is 1 000 000.
    pub credit_micros: i128,
    /// Credited money, in micros of the cell's currency.
    pub credited_micros: i128,
}

impl Sum {
    /// Adds another sum, which may be negative.
    pub fn add(&mut self, other: Self) {
        self.credit_micros = self.credit_micros.wrapping_add(other.credit_micros);
        self.credited_micros = self.credited_micros.wrapping_add(other.credited_micros);
    }

    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// A cell's key: see `keys`.
pub(super) type CellKey = [u8; 15];

/// Flags of a cell's value, which the name and the currency follow.
const NAMED: u8 = 1;
const UNATTRIBUTED: u8 = 2;
const IN_CURRENCY: u8 = 4;

/// Writes flags and texts of a cell: the part of the value that says which cell it is.
fn write_label(cell: &Cell<'_>, into: &mut Vec<u8>) {
    let mut flags = 0;
    flags |= if cell.name.is_some() { NAMED } else { 0 };
    flags |= if cell.unattributed { UNATTRIBUTED } else { 0 };
    flags |= if cell.currency.is_some() { IN_CURRENCY } else { 0 };
    into.push(flags);
    for text in [cell.name, cell.currency].into_iter().flatten() {
        write_number(u128::from(text.len() as u64), into);
        into.extend_from_slice(text.as_bytes());
    }
}

fn write_sum(sum: Sum, into: &mut Vec<u8>) {
    for value in [sum.credit_micros, sum.credited_micros] {
        write_number(((value << 1) ^ (value >> 127)).cast_unsigned(), into);
    }
}

/// Seven bits a byte, the low ones first, the eighth bit on all but the last byte.
fn write_number(mut value: u128, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u128> {
    let mut value = 0_u128;
    for shift in (0..128).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

fn read_signed(bytes: &mut &[u8]) -> Option<i128> {
    let value = read_number(bytes)?;
    Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
}

/// The texts and the sum of a stored value.
struct Value<'a> {
    label: &'a [u8],
    name: Option<&'a str>,
    unattributed: bool,
    currency: Option<&'a str>,
    sum: Sum,
}

fn read_value(value: &[u8]) -> Option<Value<'_>> {
    let (flags, mut rest) = value.split_first()?;
    let name = if flags & NAMED == 0 { None } else { Some(read_text(&mut rest)?) };
    let currency = if flags & IN_CURRENCY == 0 { None } else { Some(read_text(&mut rest)?) };
    let label = value.get(..value.len() - rest.len())?;
    let sum = Sum { credit_micros: read_signed(&mut rest)?, credited_micros: read_signed(&mut rest)? };
    rest.is_empty().then_some(Value { label, name, unattributed: flags & UNATTRIBUTED != 0, currency, sum })
}

/// A stored cell, or none where the bytes are not one.
pub(super) fn read<'a>(key: &[u8], value: &'a [u8], model: Model, dimension: Dimension) -> Option<(Cell<'a>, Sum)> {
    let bucket = u32::from_be_bytes(key.get(3..7)?.try_into().ok()?);
    let Value { name, unattributed, currency, sum, .. } = read_value(value)?;
    Some((Cell { dimension, model, bucket, name, unattributed, currency }, sum))
}

/// Everything of a dimension and model before `bucket` lies before this key, everything else at or after it.
pub(super) fn bound(dimension: Dimension, model: Model, bucket: u32) -> [u8; 7] {
    let [a, b, c, d] = bucket.to_be_bytes();
    [keys::ROLLUPS, dimension as u8, model.number(), a, b, c, d]
}

fn key_of(bound: [u8; 7], number: u64) -> CellKey {
    let mut key = [0; 15];
    let parts = bound.into_iter().chain(number.to_be_bytes());
    key.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    key
}

/// Which cell: where it lies, the number it asks for there, and the bytes that say which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Label {
    bound: [u8; 7],
    number: u64,
    text: Box<[u8]>,
}

impl hashbrown::Equivalent<Label> for Seen<'_> {
    fn equivalent(&self, key: &Label) -> bool {
        self.number == key.number && self.bound == key.bound && *self.text == *key.text
    }
}

impl Hash for Label {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_place(self.bound, self.number, state);
    }
}

/// [`Label`] with borrowed text. It hashes alike, so that a cell that is there already costs no allocation.
struct Seen<'a> {
    bound: [u8; 7],
    number: u64,
    text: &'a [u8],
}

impl Hash for Seen<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_place(self.bound, self.number, state);
    }
}

/// The number is a hash of the text already. It is the plain one also where the key's is keyed: it stays in memory, and
/// most of the time the cell is there.
fn hash_place<H: Hasher>([_, dimension, model, a, b, c, d]: [u8; 7], number: u64, state: &mut H) {
    let place = u64::from_be_bytes([0, 0, dimension, model, a, b, c, d]);
    state.write_u64(number.wrapping_add(place));
}

/// What a batch adds to cells, summed up before it meets the store.
#[derive(Debug, Default)]
pub(super) struct Deltas {
    sums: HashMap<Label, Sum>,
    text: Vec<u8>,
}

impl Deltas {
    pub(super) fn add(&mut self, cell: &Cell<'_>, sum: Sum) {
        self.text.clear();
        write_label(cell, &mut self.text);
        let bound = bound(cell.dimension, cell.model, cell.bucket);
        let label = Seen { bound, number: xxh3_64(&self.text), text: &self.text };
        match self.sums.get_mut(&label) {
            Some(here) => here.add(sum),
            None => {
                let label = Label { bound, number: label.number, text: self.text.as_slice().into() };
                self.sums.insert(label, sum);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.sums.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.sums.len()
    }
}

/// The cells that were written lately, so that a busy one is not read again for every batch. Two generations: when the
/// younger is full, it becomes the older one, and what was not used meanwhile falls out.
#[derive(Debug, Default)]
pub(super) struct Hot {
    young: HashMap<CellKey, Vec<u8>>,
    old: HashMap<CellKey, Vec<u8>>,
}

/// How many cells one generation keeps: about 200 KiB.
const GENERATION: usize = 1024;
/// How many cells may share one hash before something is wrong with the store.
const MAX_PROBES: u64 = 64;

impl Hot {
    /// The stored value of a cell, empty where there is none: from here, else from `load`, in which case it stays here.
    fn value<E>(
        &mut self,
        key: &CellKey,
        load: impl FnOnce(&CellKey) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<&mut Vec<u8>, E> {
        if !self.young.contains_key(key) {
            let value = match self.old.remove(key) {
                Some(value) => value,
                None => load(key)?.unwrap_or_default(),
            };
            self.young.insert(*key, value);
        }
        Ok(self.young.entry(*key).or_default())
    }

    /// Adds a batch's deltas to the cells and hands every changed cell with its new value, empty where it is gone, to
    /// `put`. `load` reads a cell from the store. Must be followed by the write of what was handed out, or by
    /// [`Self::forget`].
    pub(super) fn merge<E: From<Unreadable>>(
        &mut self,
        hasher: &keys::Hasher,
        deltas: &mut Deltas,
        mut load: impl FnMut(&CellKey) -> Result<Option<Vec<u8>>, E>,
        mut put: impl FnMut(&CellKey, &[u8]),
    ) -> Result<(), E> {
        for (label, sum) in deltas.sums.drain() {
            let number = match hasher {
                keys::Hasher::Plain => label.number,
                keys::Hasher::Keyed(_) => hasher.cell(&label.text),
            };
            let mut probe = 0;
            loop {
                let key = key_of(label.bound, number.wrapping_add(probe));
                let value = self.value(&key, &mut load)?;
                if let Some(merged) = merged(value, &label.text, sum).map_err(|()| Unreadable(key))? {
                    if merged != *value {
                        *value = merged;
                        put(&key, value);
                    }
                    break;
                }
                probe += 1;
                if probe == MAX_PROBES {
                    return Err(Unreadable(key).into());
                }
            }
        }
        self.age();
        Ok(())
    }

    /// A batch that reads months again touches more cells than are worth keeping.
    fn age(&mut self) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        if self.old.len() > 4 * GENERATION {
            self.old = HashMap::new();
        }
    }

    pub(super) fn forget(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

/// The bytes under a rollup key are no cell, or more cells share a hash than can be.
#[derive(Debug)]
pub(super) struct Unreadable(pub(super) CellKey);

/// The value after adding `sum`; empty where nothing is left; none where the place belongs to another cell.
fn merged(value: &[u8], label: &[u8], mut sum: Sum) -> Result<Option<Vec<u8>>, ()> {
    if !value.is_empty() {
        let stored = read_value(value).ok_or(())?;
        if stored.label != label {
            return Ok(None);
        }
        sum.add(stored.sum);
    }
    let mut merged = Vec::new();
    if !sum.is_zero() {
        merged.extend_from_slice(label);
        write_sum(sum, &mut merged);
    }
    Ok(Some(merged))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn cell<'a>(name: Option<&'a str>, unattributed: bool, currency: Option<&'a str>) -> Cell<'a> {
        Cell { dimension: Dimension::Kind, model: Model::TimeDecay, bucket: 77, name, unattributed, currency }
    }

    fn label(text: &[u8]) -> Label {
        Label { bound: bound(Dimension::Kind, Model::TimeDecay, 77), number: 5, text: text.into() }
    }

    fn sum(credit_micros: i128) -> Sum {
        Sum { credit_micros, credited_micros: 0 }
    }

    /// Merges into a map, as the partition does into RocksDB.
    fn merge(hot: &mut Hot, stored: &mut BTreeMap<CellKey, Vec<u8>>, deltas: &mut Deltas) -> Result<(), Unreadable> {
        let mut writes = Vec::new();
        hot.merge(
            &keys::Hasher::Plain,
            deltas,
            |key| Ok(stored.get(key).cloned()),
            |key, value| writes.push((*key, value.to_vec())),
        )?;
        for (key, value) in writes {
            if value.is_empty() {
                stored.remove(&key)
            } else {
                stored.insert(key, value)
            };
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_cell_is_read_as_it_was_written(
            name in proptest::option::of(".{0,200}"),
            unattributed: bool,
            currency in proptest::option::of("[A-Z]{3}"),
            credit_micros: i128,
            credited_micros: i128,
        ) {
            let (cell, sum) = (cell(name.as_deref(), unattributed, currency.as_deref()), Sum { credit_micros, credited_micros });
            let (mut hot, mut stored, mut deltas) = (Hot::default(), BTreeMap::new(), Deltas::default());
            deltas.add(&cell, sum);
            merge(&mut hot, &mut stored, &mut deltas).unwrap();
            let found: Vec<_> = stored.iter().map(|(k, v)| read(k, v, Model::TimeDecay, Dimension::Kind).unwrap()).collect();
            prop_assert_eq!(found, if sum.is_zero() { vec![] } else { vec![(cell, sum)] });
        }

        #[test]
        fn no_bytes_make_reading_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(found) = read_value(&value) {
                let mut again = Vec::new();
                write_sum(found.sum, &mut again);
                prop_assert!(again.len() <= 38);
            }
        }
    }

    #[test]
    fn cells_that_share_a_hash_stay_apart() {
        let (mut hot, mut stored, mut deltas) = (Hot::default(), BTreeMap::new(), Deltas::default());
        let texts = [[0_u8].as_slice(), &[1, 1, b'a'], &[1, 1, b'b']];
        for round in 1..=3 {
            for (text, credit) in texts.iter().zip(1..) {
                deltas.sums.insert(label(text), sum(credit));
            }
            merge(&mut hot, &mut stored, &mut deltas).unwrap();
            let mut sums: Vec<_> = stored.values().map(|v| read_value(v).unwrap()).map(|v| (v.label, v.sum)).collect();
            sums.sort_by_key(|(label, _)| label.to_vec());
            let wanted: Vec<_> = texts.iter().copied().zip((1..).map(|credit| sum(credit * round))).collect();
            assert_eq!(sums, wanted);
            if round == 2 {
                hot.forget(); // the third round reads from the store
            }
        }
    }

    #[test]
    fn what_is_no_cell_stops_the_merge() {
        let (mut hot, mut deltas) = (Hot::default(), Deltas::default());
        deltas.sums.insert(label(&[0]), sum(1));
        let key = key_of(bound(Dimension::Kind, Model::TimeDecay, 77), 5);
        let mut stored = BTreeMap::from([(key, vec![0, 0x80])]);
        let error = merge(&mut hot, &mut stored, &mut deltas).unwrap_err();
        assert_eq!(error.0, key);
    }

    #[test]
    fn a_busy_cell_is_read_once_and_a_forgotten_one_again() {
        let mut hot = Hot::default();
        let mut reads = 0;
        for round in 0..3_u32 {
            let mut deltas = Deltas::default();
            // A busy cell, and so many others that a generation passes.
            deltas.add(&cell(Some("busy"), false, None), sum(1));
            for n in 0..GENERATION {
                deltas.add(&cell(Some(&format!("{round}-{n}")), false, None), sum(1));
            }
            hot.merge::<Unreadable>(
                &keys::Hasher::Plain,
                &mut deltas,
                |_| {
                    Ok({
                        reads += 1;
                        None
                    })
                },
                |_, _| {},
            )
            .unwrap();
        }
        assert_eq!(reads, 1 + 3 * GENERATION);
        assert!(hot.young.len() + hot.old.len() <= 3 * GENERATION, "what is not used falls out");
    }

    #[test]
    fn buckets_are_quarters_of_an_hour() {
        assert_eq!(Cell::bucket_of(0), 0);
        assert_eq!(Cell::bucket_of(899_999), 0);
        assert_eq!(Cell::bucket_of(900_000), 1);
        assert_eq!(Cell::bucket_of(-1), 0);
        assert_eq!(Cell::bucket_of(i64::MAX), u32::MAX);
        let cell = Cell { bucket: 3, ..cell(None, false, None) };
        assert_eq!(cell.starts_at(), 2_700_000);
    }
}
