//! One value, sealed: version 1 · number of the data key 4 · counter 6 · ciphertext · tag 16.
//!
//! The cipher is XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), whose nonce of 24 bytes is used in two parts: HChaCha20
//! makes a key of the first 16, and ChaCha20-Poly1305 (RFC 8439) seals under that with the other 8. Here the first part is
//! drawn with each data key, so its half of the work is done once a key and not once a value; the second counts. A test opens
//! values with another implementation of the whole.
//!
//! **No nonce comes twice.** A data key is drawn from the system each time a RocksDB is opened, seals from this one place
//! only, and its counter lives no longer than the process: no crash, no lost memory and no copied folder can set it back.
//! So nonces need neither be random (192 bits in every value, and a generator to trust) nor be derived from what is sealed
//! (RFC 5297), which would be wrong for keys whose value changes: equal values would show as equal.
//!
//! The record's key is associated data: a value that is moved under another key does not open.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20::R20;

use super::Error;

const VERSION: u8 = 1;
const NUMBER: usize = 4;
const COUNTER: usize = 6;
const HEADER: usize = 1 + NUMBER + COUNTER;
const TAG: usize = 16;
/// By how many bytes a sealed value is longer.
pub const OVERHEAD: usize = HEADER + TAG;
/// Counters have 48 bits: a million values a second for nine years.
const MOST: u64 = (1 << (8 * COUNTER)) - 1;

/// The secret of a data key: 32 bytes of key, 16 of nonce.
pub(super) const SECRET: usize = 48;

/// A data key.
pub(super) struct DataKey {
    pub(super) number: u32,
    key: LessSafeKey,
    used: AtomicU64,
}

impl DataKey {
    pub(super) fn new(number: u32, secret: &[u8; SECRET]) -> Result<Self, Error> {
        let (key, nonce) = secret.split_at(32);
        let refuse = || Error::Unable("no cipher for a data key".into());
        let (key, nonce) = (key.try_into().map_err(|_| refuse())?, nonce.try_into().map_err(|_| refuse())?);
        let subkey = secrecy::zeroize::Zeroizing::new(<[u8; 32]>::from(chacha20::hchacha::<R20>(key, nonce)));
        let key = UnboundKey::new(&CHACHA20_POLY1305, subkey.as_slice()).map_err(|_| refuse())?;
        Ok(Self { number, key: LessSafeKey::new(key), used: AtomicU64::new(0) })
    }

    /// Appends the sealed value.
    pub(super) fn seal(&self, place: &[u8], value: &[u8], into: &mut Vec<u8>) -> Result<(), Error> {
        let counter = self.used.fetch_add(1, Ordering::Relaxed);
        let refuse = || Error::Unable("a value could not be sealed".into());
        if counter > MOST {
            return Err(refuse());
        }
        into.reserve(value.len() + OVERHEAD);
        into.push(VERSION);
        into.extend_from_slice(&self.number.to_be_bytes());
        into.extend_from_slice(counter.to_be_bytes().get(8 - COUNTER..).unwrap_or_default());
        let start = into.len();
        into.extend_from_slice(value);
        let plain = into.get_mut(start..).unwrap_or_default();
        let tag = self.key.seal_in_place_separate_tag(nonce(counter), Aad::from(place), plain);
        into.extend_from_slice(tag.map_err(|_| refuse())?.as_ref());
        Ok(())
    }

    /// Appends the opened value; nothing where it is not what this key sealed there.
    pub(super) fn open(&self, place: &[u8], sealed: &Sealed<'_>, into: &mut Vec<u8>) -> Result<(), Error> {
        let start = into.len();
        into.extend_from_slice(sealed.text);
        let text = into.get_mut(start..).unwrap_or_default();
        let opened = self.key.open_in_place(nonce(sealed.counter), Aad::from(place), text).map(|plain| plain.len());
        into.truncate(start + opened.as_ref().copied().unwrap_or(0));
        opened.map(drop).map_err(|_| Error::Forged("a value"))
    }
}

/// The last 12 bytes of the nonce, as HChaCha20 leaves them to ChaCha20: four zeros, then the last 8.
fn nonce(counter: u64) -> Nonce {
    let [a, b, c, d, e, f, g, h] = counter.to_be_bytes();
    Nonce::assume_unique_for_key([0, 0, 0, 0, a, b, c, d, e, f, g, h])
}

/// The parts of a sealed value.
pub(super) struct Sealed<'a> {
    pub(super) number: u32,
    counter: u64,
    /// Ciphertext and tag.
    text: &'a [u8],
}

impl<'a> Sealed<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let forged = Error::Forged("a value that is no sealed one");
        let Some((&[version, n0, n1, n2, n3, c0, c1, c2, c3, c4, c5], text)) = bytes.split_first_chunk::<HEADER>()
        else {
            return Err(forged);
        };
        if version != VERSION || text.len() < TAG {
            return Err(forged);
        }
        let counter = u64::from_be_bytes([0, 0, c0, c1, c2, c3, c4, c5]);
        Ok(Self { number: u32::from_be_bytes([n0, n1, n2, n3]), counter, text })
    }
}
