//! The tables and their keys. All numbers are big-endian, so that the order of bytes is the order of values.
//!
//! | key | value |
//! | --- | --- |
//! | `f` | the store's format |
//! | `k` | keys of a sealed state, see `seal::Keyring` |
//! | `m` | meta: opaque bytes of the stream |
//! | `t`, user 16, occurred_at 6, hash of the record 8 | touchpoint record |
//! | `c`, user 16, occurred_at 6, conversion 16 | conversion record |
//! | `x`, conversion 16, user 16 | occurred_at 6: finds a conversion by its id alone |
//! | `a`, user 16, conversion 16, adjustment 16 | occurred_at 6, adjustment record |
//! | `r`, dimension 1, model 1, bucket 4, hash of the cell 8 | rollup cell |
//!
//! Users and ids stand in keys as hashes only; in a sealed state as keyed ones ([`Hasher`]), and all values but those of `f`
//! and `k` are sealed. The first 17 bytes of `t`, `c`, `x` and `a` are the prefix that the filters
//! know; the other tables' keys are shorter than that and so out of the filters' domain.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::core::Millis;
use crate::seal::Mac;

/// Bytes of the prefix: table and user, or table and conversion.
pub(super) const PREFIX: usize = 17;

/// The store's format, whose number stands in every partition's folder.
pub(super) const FORMAT_KEY: &[u8] = b"f";
/// Where the stream keeps its offsets.
pub(super) const META_KEY: &[u8] = b"m";
/// The keys of a sealed state.
pub(super) const KEYS: &[u8] = b"k";

pub(super) const TOUCHPOINTS: u8 = b't';
pub(super) const CONVERSIONS: u8 = b'c';
pub(super) const INDEX: u8 = b'x';
pub(super) const ADJUSTMENTS: u8 = b'a';
pub(super) const ROLLUPS: u8 = b'r';

/// Bytes of a moment in a key.
pub(super) const TIME: usize = 6;
const MAX_TIME: Millis = (1 << 48) - 1;

/// The hash of what stands in keys. Every state has its own; what one has hashed means nothing to another.
#[derive(Clone, Debug, Default)]
pub enum Hasher {
    /// XXH3: whoever guesses a user_id can tell whether it is there.
    #[default]
    Plain,
    /// HMAC-SHA256 under a key of the state's own: nobody can who has no key.
    Keyed(Mac),
}

impl Hasher {
    /// The key of a user_id.
    pub fn user(&self, user_id: &str) -> UserKey {
        UserKey(self.wide(b"u", user_id.as_bytes()))
    }

    /// The key of a conversion's event_id.
    pub fn conversion(&self, event_id: &str) -> ConversionKey {
        ConversionKey(self.wide(b"c", event_id.as_bytes()))
    }

    fn adjustment(&self, event_id: &str) -> [u8; 16] {
        self.wide(b"a", event_id.as_bytes())
    }

    fn touchpoint(&self, record: &[u8]) -> u64 {
        self.narrow(b"t", record)
    }

    /// Whether both hash alike.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain, Self::Plain) => true,
            (Self::Keyed(one), Self::Keyed(other)) => one.is(other),
            _ => false,
        }
    }

    /// Where a rollup cell lies among those of its bucket.
    pub(super) fn cell(&self, label: &[u8]) -> u64 {
        self.narrow(b"r", label)
    }

    /// In a keyed hash every kind has a domain of its own, so that a user_id that is also an order number shows nowhere.
    fn wide(&self, domain: &[u8], text: &[u8]) -> [u8; 16] {
        match self {
            Self::Plain => xxh3_128(text).to_be_bytes(),
            Self::Keyed(mac) => mac.hash(domain, text).first_chunk().copied().unwrap_or_default(),
        }
    }

    fn narrow(&self, domain: &[u8], text: &[u8]) -> u64 {
        match self {
            Self::Plain => xxh3_64(text),
            Self::Keyed(mac) => u64::from_be_bytes(mac.hash(domain, text).first_chunk().copied().unwrap_or_default()),
        }
    }
}

/// A user as keys know it: 16 bytes of a hash of the user_id, by [`Hasher::user`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(pub(super) [u8; 16]);

impl UserKey {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A conversion as keys know it: 16 bytes of a hash of its event_id, by [`Hasher::conversion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversionKey(pub(super) [u8; 16]);

impl ConversionKey {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A moment as six bytes. Event times lie between 2000 and 2100; the bounds of a scan may lie outside and are clamped.
pub(super) fn time(at: Millis) -> [u8; TIME] {
    let [_, _, rest @ ..] = at.clamp(0, MAX_TIME).to_be_bytes();
    rest
}

/// The moment of six bytes, none where there are not six.
pub(super) fn time_of(bytes: &[u8]) -> Option<Millis> {
    let [a, b, c, d, e, f] = *bytes else { return None };
    Some(Millis::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

/// A key of at most 49 bytes, on the stack.
#[derive(Clone, Copy)]
pub(super) struct Key {
    bytes: [u8; Self::ROOM],
    length: usize,
}

impl Key {
    const ROOM: usize = 49;

    fn new(parts: &[&[u8]]) -> Self {
        let mut key = Self { bytes: [0; Self::ROOM], length: 0 };
        for part in parts {
            let end = key.length + part.len();
            if let Some(room) = key.bytes.get_mut(key.length..end) {
                room.copy_from_slice(part);
                key.length = end;
            }
        }
        key
    }

    pub(super) fn touchpoint(hasher: &Hasher, user: UserKey, occurred_at: Millis, record: &[u8]) -> Self {
        Self::new(&[&[TOUCHPOINTS], &user.0, &time(occurred_at), &hasher.touchpoint(record).to_be_bytes()])
    }

    pub(super) fn conversion(user: UserKey, occurred_at: Millis, conversion: ConversionKey) -> Self {
        Self::new(&[&[CONVERSIONS], &user.0, &time(occurred_at), &conversion.0])
    }

    pub(super) fn index(conversion: ConversionKey, user: UserKey) -> Self {
        Self::new(&[&[INDEX], &conversion.0, &user.0])
    }

    /// The prefix of a conversion's index entries, one for each user that has it.
    pub(super) fn owners(conversion: ConversionKey) -> Self {
        Self::new(&[&[INDEX], &conversion.0])
    }

    pub(super) fn adjustment(hasher: &Hasher, user: UserKey, conversion: ConversionKey, adjustment_id: &str) -> Self {
        Self::new(&[&[ADJUSTMENTS], &user.0, &conversion.0, &hasher.adjustment(adjustment_id)])
    }

    /// The prefix of a conversion's adjustments.
    pub(super) fn adjustments(user: UserKey, conversion: ConversionKey) -> Self {
        Self::new(&[&[ADJUSTMENTS], &user.0, &conversion.0])
    }

    /// The prefix of everything of a user in a table that is ordered by time, from `at` on.
    pub(super) fn moment(table: u8, user: UserKey, at: Millis) -> Self {
        Self::new(&[&[table], &user.0, &time(at)])
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_bytes_is_order_of_time() {
        let times = [-5, 0, 1, 255, 256, 946_684_800_000, 4_102_444_799_999, MAX_TIME];
        let mut last = time(0);
        for at in times {
            assert!(time(at) >= last, "{at}");
            last = time(at);
            assert_eq!(time_of(&time(at)), Some(at.max(0)));
        }
        assert_eq!(time_of(&[1, 2, 3]), None);
    }

    #[test]
    fn keys_have_their_lengths_and_fit() {
        let hasher = &Hasher::Plain;
        let (user, conversion) = (hasher.user("u"), hasher.conversion("c"));
        for (key, length) in [
            (Key::touchpoint(hasher, user, 1, b"record"), 31),
            (Key::conversion(user, 1, conversion), 39),
            (Key::index(conversion, user), 33),
            (Key::owners(conversion), PREFIX),
            (Key::adjustment(hasher, user, conversion, "a"), 49),
            (Key::adjustments(user, conversion), 33),
            (Key::moment(TOUCHPOINTS, user, 1), 23),
        ] {
            assert_eq!(key.bytes().len(), length);
        }
    }

    #[test]
    fn stored_hashes_never_change() {
        // These values are on disks: a change here loses every journey.
        assert_eq!(u128::from_be_bytes(Hasher::Plain.user("user-1").0), xxh3_128(b"user-1"));
        assert_eq!(Hasher::Plain.user("").0, 0x99aa_06d3_0147_98d8_6001_c324_468d_497f_u128.to_be_bytes());
    }
}
