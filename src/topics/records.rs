//! A batch of records in one arena, so that reading a record allocates nothing.

use super::{Input, Offset};
use crate::core::Millis;

/// Where a record stands in its topic, and when it was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The topic.
    pub input: Input,
    /// The record's own offset.
    pub offset: Offset,
    /// The record's timestamp, in milliseconds.
    pub logged_at: Millis,
}

/// One record of a batch, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it stands.
    pub head: Head,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value, if any.
    pub value: Option<&'a [u8]>,
    /// Its headers, packed; see [`headers`].
    pub headers: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    head: Head,
    start: usize,
    key: Option<u32>,
    value: Option<u32>,
    headers: u32,
}

/// Records in the order they were read, their bytes in one arena. Cleared and filled again, it keeps its room.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Records {
    /// Appends a record. `headers` are name and value pairs in order.
    pub fn push(&mut self, head: Head, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, &[u8])]) {
        let start = self.bytes.len();
        let key = key.map(|bytes| self.append(bytes));
        let value = value.map(|bytes| self.append(bytes));
        let before = self.bytes.len();
        for (name, value) in headers {
            for part in [name.as_bytes(), value] {
                let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
                self.bytes.extend_from_slice(&length.to_le_bytes());
                self.bytes.extend_from_slice(part);
            }
        }
        let headers = u32::try_from(self.bytes.len() - before).unwrap_or(u32::MAX);
        self.entries.push(Entry { head, start, key, value, headers });
    }

    /// Appends a record of another batch.
    pub fn push_record(&mut self, record: &Record<'_>) {
        let start = self.bytes.len();
        let key = record.key.map(|bytes| self.append(bytes));
        let value = record.value.map(|bytes| self.append(bytes));
        let headers = self.append(record.headers);
        self.entries.push(Entry { head: record.head, start, key, value, headers });
    }

    fn append(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.extend_from_slice(bytes);
        u32::try_from(bytes.len()).unwrap_or(u32::MAX) // Kafka's own lengths are 31 bits
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of all keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The record at `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        self.entries.get(index).map(|entry| self.record(entry))
    }

    /// Every record in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Record<'_>> + ExactSizeIterator {
        self.entries.iter().map(|entry| self.record(entry))
    }

    fn record(&self, entry: &Entry) -> Record<'_> {
        let rest = self.bytes.get(entry.start..).unwrap_or_default();
        let (key, rest) = cut(rest, entry.key.unwrap_or(0));
        let (value, rest) = cut(rest, entry.value.unwrap_or(0));
        let (headers, _) = cut(rest, entry.headers);
        Record { head: entry.head, key: entry.key.map(|_| key), value: entry.value.map(|_| value), headers }
    }

    /// Forgets all records and keeps the room, except what one giant batch took.
    pub fn clear(&mut self) {
        const KEEP: usize = 8 << 20;
        self.entries.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
    }
}

fn cut(bytes: &[u8], length: u32) -> (&[u8], &[u8]) {
    bytes.split_at_checked(length as usize).unwrap_or((bytes, &[]))
}

/// The name and value pairs of packed headers.
pub fn headers(packed: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let mut rest = packed;
    std::iter::from_fn(move || {
        let name = part(&mut rest)?;
        let value = part(&mut rest)?;
        Some((std::str::from_utf8(name).unwrap_or("?"), value))
    })
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (part, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = tail;
    Some(part)
}
