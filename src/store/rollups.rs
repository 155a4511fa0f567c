//! Rollups: sums for reports, kept as the rows change. A report adds up cells instead of reading rows.
//!
//! A cell is (dimension, model, quarter of an hour, name, currency). Its key holds a hash of name and currency, its value
//! the texts themselves; where two cells meet on one hash, the second takes the next number.

use hashbrown::HashMap;
use xxhash_rust::xxh3::Xxh3Default;

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
    let name = if flags & NAMED == 0 {
        None
    } else {
        Some(read_text(&mut rest)?)
    };
    let currency = if flags & IN_CURRENCY == 0 {
        None
    } else {
        Some(read_text(&mut rest)?)
    };
    let label = value.get(..value.len() - rest.len())?;
    let sum = Sum {
        credit_micros: read_signed(&mut rest)?,
        credited_micros: read_signed(&mut rest)?,
    };
    rest.is_empty().then_some(Value {
        label,
        name,
        unattributed: flags & UNATTRIBUTED != 0,
        currency,
        sum,
    })
}

/// A stored cell, or none where the bytes are not one.
pub(super) fn read<'a>(key: &[u8], value: &'a [u8], model: Model, dimension: Dimension) -> Option<(Cell<'a>, Sum)> {
    let bucket = u32::from_be_bytes(key.get(3..7)?.try_into().ok()?);
    let Value {
        name,
        unattributed,
        currency,
        sum,
        ..
    } = read_value(value)?;
    Some((
        Cell {
            dimension,
            model,
            bucket,
            name,
            unattributed,
            currency,
        },
        sum,
    ))
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Label {
    bound: [u8; 7],
    number: u64,
    text: Box<[u8]>,
}

impl hashbrown::Equivalent<Label> for Label2<'_> {
    fn equivalent(&self, key: &Label) -> bool {
        self.number == key.number && self.bound == key.bound && *self.text == *key.text
    }
}

/// [`Label`] with borrowed text. It hashes alike, so that a cell that is there already costs no allocation.
#[derive(Hash)]
struct Label2<'a> {
    bound: [u8; 7],
    number: u64,
    text: &'a [u8],
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
        let mut hasher = Xxh3Default::new();
        hasher.update(&self.text);
        let bound = bound(cell.dimension, cell.model, cell.bucket);
        let label = Label2 {
            bound,
            number: hasher.digest(),
            text: &self.text,
        };
        match self.sums.get_mut(&label) {
            Some(here) => here.add(sum),
            None => {
                let label = Label {
                    bound,
                    number: label.number,
                    text: self.text.as_slice().into(),
                };
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
        deltas: &mut Deltas,
        mut load: impl FnMut(&CellKey) -> Result<Option<Vec<u8>>, E>,
        mut put: impl FnMut(&CellKey, &[u8]),
    ) -> Result<(), E> {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        for (label, sum) in deltas.sums.drain() {
            let mut probe = 0;
            loop {
                let key = key_of(label.bound, label.number.wrapping_add(probe));
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
        Ok(())
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
