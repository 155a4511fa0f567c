//! Key-encryption keys: what the operator holds. They seal data keys and nothing else, so a new one costs little.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretBox};

use super::Error;
use super::mac::Mac;

/// Bytes of a key.
const LENGTH: usize = 32;
const NONCE: usize = 24;

/// A public name of a key-encryption key: four bytes of a keyed hash, so that it tells nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(super) [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key-encryption key.
pub struct Kek {
    id: KeyId,
    /// Derived from the file's, so that its id and what it wraps have nothing in common.
    wrapping: SecretBox<[u8; LENGTH]>,
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kek").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Kek {
    /// A key of these bytes.
    pub fn new(bytes: &[u8; LENGTH]) -> Self {
        let mac = Mac::new(bytes);
        let [a, b, c, d, ..] = mac.hash(b"tributary seal id", &[]);
        let wrapping = Zeroizing::new(mac.hash(b"tributary seal wrap", &[]));
        Self { id: KeyId([a, b, c, d]), wrapping: SecretBox::init_with_mut(|key: &mut [u8; LENGTH]| *key = *wrapping) }
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::KeyFile`] for anything else.
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let refuse = || Error::KeyFile("not 64 hexadecimal digits; make a key with `openssl rand -hex 32`".into());
        let digits = text.trim().as_bytes();
        let mut bytes = Zeroizing::new([0; LENGTH]);
        let (pairs, rest) = digits.as_chunks::<2>();
        if pairs.len() != LENGTH || !rest.is_empty() {
            return Err(refuse());
        }
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let [high, low] = pair.map(digit);
            *byte = high.zip(low).map(|(high, low)| high << 4 | low).ok_or_else(refuse)?;
        }
        Ok(Self::new(&bytes))
    }

    /// Reads a key file. Refuses one that everybody may read.
    ///
    /// # Errors
    /// [`Error::KeyFile`], which names the file.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let refuse = |why: String| Error::KeyFile(format!("{}: {why}", path.display()));
        let mode = fs::metadata(path).map_err(|e| refuse(format!("cannot be read: {e}")))?.permissions().mode();
        if mode & 0o004 != 0 {
            return Err(refuse("can be read by everybody; `chmod 600` it".into()));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| refuse(format!("cannot be read: {e}")))?);
        Self::from_hex(&text).map_err(|error| refuse(error.to_string()))
    }

    /// Its public name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.wrapping.expose_secret().into())
    }
}

/// Where random bytes come from.
pub type Random = fn(&mut [u8]) -> Result<(), Error>;

/// The key-encryption key in use, and older ones that data keys may still be wrapped by.
#[derive(Debug)]
pub struct Keks {
    current: Kek,
    older: Vec<Kek>,
    random: Random,
}

impl Keks {
    /// The current key and the older ones.
    pub fn new(current: Kek, older: Vec<Kek>) -> Self {
        Self { current, older, random: system }
    }

    /// With random bytes from elsewhere than the system: for simulations, whose runs must be the same each time. Nothing
    /// sealed so is safe.
    #[must_use]
    pub fn with_random(self, random: Random) -> Self {
        Self { random, ..self }
    }

    /// The id of the key in use.
    pub fn current(&self) -> KeyId {
        self.current.id
    }

    /// The ids of all keys, for messages.
    pub(super) fn ids(&self) -> String {
        let ids = std::iter::once(&self.current).chain(&self.older).map(|kek| kek.id.to_string());
        ids.collect::<Vec<_>>().join(", ")
    }

    /// Fills with random bytes.
    pub(super) fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        (self.random)(bytes)
    }

    /// Wraps a secret under the current key: nonce, ciphertext, tag. The nonce is random: of so few secrets no two share
    /// one of 192 bits.
    pub(super) fn wrap(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE];
        self.fill(&mut nonce)?;
        let payload = Payload { msg: secret, aad: context };
        let sealed = self.current.cipher().encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| Error::Unable("a key could not be wrapped".into()))?;
        Ok([&nonce, sealed.as_slice()].concat())
    }

    /// Opens what the key of that id has wrapped.
    pub(super) fn unwrap(&self, id: KeyId, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let kek = std::iter::once(&self.current).chain(&self.older).find(|kek| kek.id == id);
        let kek = kek.ok_or_else(|| Error::WrongKey { wanted: id, given: self.ids() })?;
        let forged = Error::Forged("a wrapped key");
        let Some((nonce, sealed)) = wrapped.split_first_chunk::<NONCE>() else { return Err(forged) };
        let payload = Payload { msg: sealed, aad: context };
        kek.cipher().decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| forged)
    }
}

fn system(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Unable(format!("no random bytes to be had: {error}")))
}
