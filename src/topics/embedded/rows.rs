//! Keys and values of rows.
//!
//! | key | value |
//! | --- | --- |
//! | topic u8, partition u32, offset u64 (big-endian) | a record: flags u8, timestamp i64, key and value with their lengths, packed headers |
//! | 0, `I` | the log's identity, JSON |
//! | 0, `B`, topic u8, partition u32 | bounds: start, end, cleaned, kept (i64 each) |
//! | 0, `O`, partition u32 | committed offsets: one i64 for each input, then the metadata |
//! | 0, `K`, … | keys of a sealed log, see `seal::Keyring`; then every other value is sealed |
//!
//! Numbers in values are little-endian. What lies at or beyond `end` does not exist yet.

use crate::core::Millis;
use crate::topics::{Committed, Offset, PerInput};

use super::Topic;

pub(super) const IDENTITY: [u8; 2] = [0, b'I'];
/// The beginning of the keys of key rows.
pub(super) const KEYS: &[u8] = &[0, b'K'];

const HAS_KEY: u8 = 1;
const HAS_VALUE: u8 = 2;

/// The key of a record's row.
pub(super) fn record_key(topic: Topic, partition: u32, offset: Offset) -> [u8; 13] {
    let [p0, p1, p2, p3] = partition.to_be_bytes();
    let [o0, o1, o2, o3, o4, o5, o6, o7] = offset.max(0).to_be_bytes();
    [topic.number(), p0, p1, p2, p3, o0, o1, o2, o3, o4, o5, o6, o7]
}

/// The offset in a record's key.
pub(super) fn offset_of(key: &[u8]) -> Option<Offset> {
    key.last_chunk::<8>().map(|bytes| Offset::from_be_bytes(*bytes))
}

/// The key of a partition's bounds.
pub(super) fn bounds_key(topic: Topic, partition: u32) -> [u8; 7] {
    let [p0, p1, p2, p3] = partition.to_be_bytes();
    [0, b'B', topic.number(), p0, p1, p2, p3]
}

/// The key of a partition's committed offsets.
pub(super) fn committed_key(partition: u32) -> [u8; 6] {
    let [p0, p1, p2, p3] = partition.to_be_bytes();
    [0, b'O', p0, p1, p2, p3]
}

/// A record's row, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) timestamp: Millis,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    /// Packed as [`crate::topics::headers`] reads them.
    pub(super) headers: &'a [u8],
}

impl<'a> Row<'a> {
    /// Reads a row's value; none if it is corrupt.
    pub(super) fn decode(mut bytes: &'a [u8]) -> Option<Self> {
        let [flags] = take::<1>(&mut bytes)?;
        let timestamp = Millis::from_le_bytes(take(&mut bytes)?);
        let key = if flags & HAS_KEY == 0 { None } else { Some(part(&mut bytes)?) };
        let value = if flags & HAS_VALUE == 0 { None } else { Some(part(&mut bytes)?) };
        Some(Self { timestamp, key, value, headers: bytes })
    }
}

/// What is written in a row, in the terms of a producer.
#[derive(Clone, Copy)]
pub(super) struct Draft<'a> {
    pub(super) timestamp: Millis,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [(&'a str, &'a [u8])],
}

impl Draft<'_> {
    /// Appends the row's value.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let flags = if self.key.is_some() { HAS_KEY } else { 0 } | if self.value.is_some() { HAS_VALUE } else { 0 };
        into.push(flags);
        into.extend_from_slice(&self.timestamp.to_le_bytes());
        let headers = self.headers.iter().flat_map(|(name, value)| [name.as_bytes(), *value]);
        for part in self.key.into_iter().chain(self.value).chain(headers) {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX); // bounded by the request's size far below this
            into.extend_from_slice(&length.to_le_bytes());
            into.extend_from_slice(part);
        }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(bytes)?);
    let (part, rest) = bytes.split_at_checked(length as usize)?;
    *bytes = rest;
    Some(part)
}

/// Where a partition begins and ends, up to where its superseded records were removed, and how many are left before there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) cleaned: Offset,
    pub(super) kept: i64,
}

impl Extent {
    pub(super) fn encode(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let numbers = [self.start, self.end, self.cleaned, self.kept];
        for (slot, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *slot = number.to_le_bytes();
        }
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut next = || take(&mut bytes).map(Offset::from_le_bytes);
        Some(Self { start: next()?, end: next()?, cleaned: next()?, kept: next()? })
    }
}

/// What the group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) next: PerInput<Offset>,
    pub(super) metadata: String,
}

impl Commit {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.metadata.len());
        bytes.extend_from_slice(&self.next.touchpoints.to_le_bytes());
        bytes.extend_from_slice(&self.next.conversions.to_le_bytes());
        bytes.extend_from_slice(self.metadata.as_bytes());
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let touchpoints = Offset::from_le_bytes(take(&mut bytes)?);
        let conversions = Offset::from_le_bytes(take(&mut bytes)?);
        let metadata = std::str::from_utf8(bytes).ok()?.to_owned();
        Some(Self { next: PerInput { touchpoints, conversions }, metadata })
    }

    /// As the log's reader is told.
    pub(super) fn told(&self) -> PerInput<Option<Committed>> {
        PerInput::from_fn(|input| Some(Committed { next: *self.next.get(input), metadata: self.metadata.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::headers;

    #[test]
    fn a_row_comes_back_as_it_went() {
        let mut bytes = Vec::new();
        for (key, value) in [(None, None), (Some(&b""[..]), None), (None, Some(&b"v"[..])), (Some(b"k"), Some(b""))] {
            let draft = Draft { timestamp: -5, key, value, headers: &[("a", b"1"), ("", b"")] };
            bytes.clear();
            draft.encode(&mut bytes);
            let row = Row::decode(&bytes).unwrap();
            assert_eq!((row.timestamp, row.key, row.value), (-5, key, value));
            assert_eq!(headers(row.headers).collect::<Vec<_>>(), vec![("a", &b"1"[..]), ("", &b""[..])]);
        }
    }

    #[test]
    fn a_row_cut_short_is_corrupt() {
        let mut bytes = Vec::new();
        Draft { timestamp: 1, key: Some(b"key"), value: Some(b"value"), headers: &[] }.encode(&mut bytes);
        for length in 0..bytes.len() {
            assert_eq!(Row::decode(&bytes[..length]), None, "{length}");
        }
    }

    #[test]
    fn keys_order_by_topic_partition_and_offset() {
        let keys = [
            record_key(Topic::Touchpoints, 0, 255),
            record_key(Topic::Touchpoints, 0, 256),
            record_key(Topic::Touchpoints, 1, 0),
            record_key(Topic::Touchpoints, 256, 0),
            record_key(Topic::Conversions, 0, 0),
        ];
        assert!(keys.is_sorted());
        assert_eq!(offset_of(&keys[1]), Some(256));
    }

    #[test]
    fn extents_and_commits_come_back_as_they_went() {
        let extent = Extent { start: 1, end: 5, cleaned: 4, kept: 2 };
        assert_eq!(Extent::decode(&extent.encode()), Some(extent));
        let commit = Commit { next: PerInput { touchpoints: 7, conversions: 0 }, metadata: "{}".to_owned() };
        assert_eq!(Commit::decode(&commit.encode()), Some(commit));
        assert_eq!(Commit::decode(&[0; 15]), None);
    }
}
