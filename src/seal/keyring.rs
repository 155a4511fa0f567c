//! The keys of one RocksDB, which lie in it as rows, each wrapped by a key-encryption key:
//!
//! | key | value |
//! | --- | --- |
//! | `keys`, number 4 | version 1, id of the KEK 4, id of the KEK in use when it was drawn 4, nonce 24, the key 48, tag 16 |
//! | `keys`, 0xff | how far sealing anew has come: see `reseal` |
//!
//! Number 0 keys the hashes in keys and is never drawn again, for every key would change. The others seal values; each
//! opening draws one. A rotation wraps all of them by the new KEK at once, and then seals anew, in the background, what
//! stands under a key that was drawn while an older KEK was in use.

use rocksdb::{DB, Direction, IteratorMode, ReadOptions};
use secrecy::zeroize::Zeroizing;

use super::Error;
use super::envelope::{DataKey, SECRET, Sealed};
use super::kek::{Keks, KeyId};
use super::mac::Mac;

const VERSION: u8 = 1;
const HEADER: usize = 1 + 4 + 4;

/// Which rows of a RocksDB are not sealed.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The beginning of the keys of key rows.
    pub keys: &'static [u8],
    /// Keys of other rows that are not sealed.
    pub clear: &'static [&'static [u8]],
}

impl Layout {
    /// All rows about keys.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn rows(&self, db: &DB) -> Result<Vec<Row>, Error> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.set_iterate_upper_bound([self.keys, &[0xff; 2]].concat());
        let rows = db.iterator_opt(IteratorMode::From(self.keys, Direction::Forward), options);
        rows.map(|row| row.map(|(key, value)| (key.into(), value.into())).map_err(Error::from)).collect()
    }

    /// Whether the row of this key is not sealed.
    pub(super) fn is_clear(&self, key: &[u8]) -> bool {
        self.clear.contains(&key) || self.number(key).is_some()
    }

    pub(super) fn key(&self, number: u32) -> Vec<u8> {
        [self.keys, &number.to_be_bytes()].concat()
    }

    /// Where it is remembered how far sealing anew has come.
    pub(super) fn cursor(&self) -> Vec<u8> {
        [self.keys, &[0xff]].concat()
    }

    fn number(&self, key: &[u8]) -> Option<u32> {
        key.strip_prefix(self.keys)?.try_into().ok().map(u32::from_be_bytes)
    }
}

/// A row, key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// The keys of one RocksDB, open.
pub struct Keyring {
    layout: Layout,
    mac: Mac,
    /// By number; the last one seals.
    keys: Vec<DataKey>,
    current: DataKey,
    /// Which were drawn while an older KEK was in use, in order.
    stale: Vec<u32>,
    kek: KeyId,
}

/// One key row.
struct Wrapped<'a> {
    kek: KeyId,
    drawn_under: KeyId,
    sealed: &'a [u8],
}

impl<'a> Wrapped<'a> {
    fn parse(value: &'a [u8]) -> Result<Self, Error> {
        match value.split_first_chunk::<HEADER>() {
            Some((&[VERSION, a, b, c, d, e, f, g, h], sealed)) => {
                Ok(Self { kek: KeyId([a, b, c, d]), drawn_under: KeyId([e, f, g, h]), sealed })
            }
            _ => Err(Error::Forged("a key row")),
        }
    }

    fn open(&self, key: &[u8], keks: &Keks) -> Result<Zeroizing<[u8; SECRET]>, Error> {
        let secret = keks.unwrap(self.kek, &context(key, self.drawn_under), self.sealed)?;
        secret.as_slice().try_into().map(Zeroizing::new).map_err(|_| Error::Forged("a key of another length"))
    }
}

/// What a wrapped key is bound to.
fn context(key: &[u8], drawn_under: KeyId) -> Vec<u8> {
    [b"tributary data key", key, &drawn_under.0].concat()
}

fn wrap(key: &[u8], drawn_under: KeyId, secret: &[u8], keks: &Keks) -> Result<Vec<u8>, Error> {
    let sealed = keks.wrap(&context(key, drawn_under), secret)?;
    Ok([&[VERSION], &keks.current().0[..], &drawn_under.0, &sealed].concat())
}

impl Keyring {
    /// Which KEK the key rows of a RocksDB need, for who has none.
    ///
    /// # Errors
    /// [`Error::Forged`] where a row is none.
    pub fn wanted(rows: &[Row]) -> Result<Option<KeyId>, Error> {
        rows.iter()
            .find(|(_, value)| value.len() >= HEADER)
            .map(|(_, value)| Ok(Wrapped::parse(value)?.kek))
            .transpose()
    }

    /// Opens the keys in `rows` ([`Layout::rows`]) and draws one to seal with.
    /// Returns also the rows to write before anything that is sealed: the new key, and keys that an older KEK had wrapped.
    ///
    /// # Errors
    /// [`Error::WrongKey`], [`Error::Forged`], [`Error::Unable`].
    pub fn open(layout: Layout, rows: &[Row], keks: &Keks) -> Result<(Self, Vec<Row>), Error> {
        let (mut keys, mut stale, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut mac, mut last) = (None, 0);
        for (key, value) in rows {
            let Some(number) = layout.number(key) else { continue };
            let wrapped = Wrapped::parse(value)?;
            let secret = wrapped.open(key, keks)?;
            if wrapped.kek != keks.current() {
                writes.push((key.clone(), wrap(key, wrapped.drawn_under, secret.as_slice(), keks)?));
            }
            last = last.max(number);
            if number == 0 {
                mac = Some(hash_key(&secret));
                continue;
            }
            if wrapped.drawn_under != keks.current() {
                stale.push(number);
            }
            keys.push(DataKey::new(number, &secret)?);
        }
        keys.sort_unstable_by_key(|key| key.number);
        stale.sort_unstable();
        let mut draw = |number: u32| {
            let mut secret = Zeroizing::new([0; SECRET]);
            keks.fill(secret.as_mut_slice())?;
            let key = layout.key(number);
            let value = wrap(&key, keks.current(), secret.as_slice(), keks)?;
            writes.push((key, value));
            Ok::<_, Error>(secret)
        };
        let mac = match mac {
            Some(mac) => mac,
            None if keys.is_empty() => hash_key(&*draw(0)?),
            None => return Err(Error::Forged("data keys without the hash key")),
        };
        let number = last.checked_add(1).ok_or_else(|| Error::Unable("no number left for a data key".into()))?;
        let current = DataKey::new(number, &*draw(number)?)?;
        Ok((Self { layout, mac, keys, current, stale, kek: keks.current() }, writes))
    }

    /// The keyed hash for what stands in keys.
    pub fn mac(&self) -> &Mac {
        &self.mac
    }

    /// Appends the sealed form of the value of `key`.
    ///
    /// # Errors
    /// [`Error::Unable`].
    pub fn seal(&self, key: &[u8], value: &[u8], into: &mut Vec<u8>) -> Result<(), Error> {
        self.current.seal(key, value, into)
    }

    /// Appends what was sealed as the value of `key`.
    ///
    /// # Errors
    /// [`Error::Forged`] where it was not.
    pub fn open_value(&self, key: &[u8], sealed: &[u8], into: &mut Vec<u8>) -> Result<(), Error> {
        let sealed = Sealed::parse(sealed)?;
        self.find(sealed.number).ok_or(Error::Forged("a value under a key that is not there"))?.open(key, &sealed, into)
    }

    fn find(&self, number: u32) -> Option<&DataKey> {
        if number == self.current.number {
            return Some(&self.current);
        }
        let at = self.keys.binary_search_by_key(&number, |key| key.number).ok()?;
        self.keys.get(at)
    }

    /// Whether a sealed value stands under a key that is to go.
    pub(super) fn is_stale(&self, sealed: &[u8]) -> Result<bool, Error> {
        Ok(self.stale.binary_search(&Sealed::parse(sealed)?.number).is_ok())
    }

    /// The numbers of the keys that are to go.
    pub(super) fn stale(&self) -> &[u32] {
        &self.stale
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn kek(&self) -> KeyId {
        self.kek
    }
}

fn hash_key(secret: &[u8; SECRET]) -> Mac {
    let mut key = Zeroizing::new([0; 32]);
    key.iter_mut().zip(secret).for_each(|(to, from)| *to = *from);
    Mac::new(&key)
}
