//! The writes of one transaction, gathered in one arena and sorted by key before they go to RocksDB.

use rocksdb::WriteBatch;

use super::keys::{self, ConversionKey, Hasher, Key, UserKey};
use super::rollups::{Cell, Deltas, Sum};
use crate::core::Millis;
use crate::seal::{self, Keyring, OVERHEAD};

/// Writes that become visible and durable together, or not at all. Of several writes of one key the last counts.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    pub(super) deltas: Deltas,
    pub(super) hasher: Hasher,
}

/// One write: where its key and value lie in the arena. `head` is the start of the key as a number, which settles most
/// comparisons without a look at the arena.
#[derive(Clone, Copy, Debug)]
struct Entry {
    head: u64,
    start: usize,
    value_length: usize,
    key_length: u16,
    delete: bool,
}

impl Batch {
    /// An empty batch for a state that is not sealed.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch for the state of this hasher ([`super::Partition::hasher`]).
    pub fn of(hasher: &Hasher) -> Self {
        Self { hasher: hasher.clone(), ..Self::default() }
    }

    /// Empties the batch; its memory stays for the next one.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.deltas.clear();
    }

    /// Writes gathered so far, a rollup cell counted once.
    pub fn len(&self) -> usize {
        self.entries.len() + self.deltas.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of keys and values gathered so far, without rollups.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// A touchpoint: lands on itself when it is the same record as one that is there, beside it otherwise.
    pub fn put_touchpoint(&mut self, user: UserKey, occurred_at: Millis, record: &[u8]) {
        self.put(Key::touchpoint(&self.hasher, user, occurred_at, record).bytes(), &[record]);
    }

    /// A conversion and its index entry, in place of the one with the same user and id. `moved_from` is the `occurred_at`
    /// that the stored one has, if there is one.
    pub fn put_conversion(
        &mut self,
        user: UserKey,
        conversion: ConversionKey,
        occurred_at: Millis,
        record: &[u8],
        moved_from: Option<Millis>,
    ) {
        if let Some(before) = moved_from.filter(|before| *before != occurred_at) {
            self.delete(Key::conversion(user, before, conversion).bytes());
        }
        self.put(Key::conversion(user, occurred_at, conversion).bytes(), &[record]);
        self.put(Key::index(conversion, user).bytes(), &[&keys::time(occurred_at)]);
    }

    /// An adjustment, in place of the one with the same user, conversion and id.
    pub fn put_adjustment(
        &mut self,
        user: UserKey,
        conversion: ConversionKey,
        adjustment_id: &str,
        occurred_at: Millis,
        record: &[u8],
    ) {
        let key = Key::adjustment(&self.hasher, user, conversion, adjustment_id);
        self.put(key.bytes(), &[&keys::time(occurred_at), record]);
    }

    /// Adds to a cell; `sum` may be negative. A cell whose sums come out as 0 is deleted.
    pub fn add_rollup(&mut self, cell: &Cell<'_>, sum: Sum) {
        self.deltas.add(cell, sum);
    }

    /// Replaces the meta record: what the stream has applied once this batch is written.
    pub fn set_meta(&mut self, meta: &[u8]) {
        self.put(keys::META_KEY, &[meta]);
    }

    pub(super) fn put(&mut self, key: &[u8], value: &[&[u8]]) {
        let start = self.push_key(key);
        value.iter().for_each(|part| self.bytes.extend_from_slice(part));
        let value_length = self.bytes.len() - start - key.len();
        self.push(key, start, value_length, false);
    }

    pub(super) fn delete(&mut self, key: &[u8]) {
        let start = self.push_key(key);
        self.push(key, start, 0, true);
    }

    fn push_key(&mut self, key: &[u8]) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        start
    }

    fn push(&mut self, key: &[u8], start: usize, value_length: usize, delete: bool) {
        let key_length = u16::try_from(key.len()).unwrap_or(u16::MAX); // the longest key has 49 bytes
        self.entries.push(Entry { head: head(key), start, value_length, key_length, delete });
    }

    /// The batch as RocksDB takes it: sorted by key, of several writes of one key only the last, values sealed where there
    /// are keys.
    pub(super) fn sorted(&mut self, keyring: Option<&Keyring>) -> Result<WriteBatch, seal::Error> {
        let bytes = &self.bytes;
        // A later write starts later in the arena, so that `start` keeps the order of writes of one key.
        self.entries.sort_unstable_by(|a, b| {
            a.head.cmp(&b.head).then_with(|| a.key(bytes).cmp(b.key(bytes))).then(a.start.cmp(&b.start))
        });
        // Header, then for each entry a tag and at most two lengths beside its bytes.
        let beside = 8 + keyring.map_or(0, |_| OVERHEAD);
        let mut batch = WriteBatch::with_capacity_bytes(16 + bytes.len() + self.entries.len() * beside);
        let mut sealed = Vec::new();
        let mut entries = self.entries.iter().peekable();
        while let Some(entry) = entries.next() {
            let key = entry.key(bytes);
            if entries.peek().is_some_and(|next| next.head == entry.head && next.key(bytes) == key) {
                continue;
            }
            match keyring {
                _ if entry.delete => batch.delete(key),
                None => batch.put(key, entry.value(bytes)),
                Some(keyring) => {
                    sealed.clear();
                    keyring.seal(key, entry.value(bytes), &mut sealed)?;
                    batch.put(key, &sealed);
                }
            }
        }
        Ok(batch)
    }
}

impl Entry {
    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start..self.start + usize::from(self.key_length)).unwrap_or_default()
    }

    fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = self.start + usize::from(self.key_length);
        bytes.get(start..start + self.value_length).unwrap_or_default()
    }
}

/// The first eight bytes, zeros behind a shorter key.
fn head(key: &[u8]) -> u64 {
    let mut head = [0; 8];
    head.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(head)
}
