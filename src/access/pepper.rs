//! The pepper: 32 secret bytes that hashes of keys are made with, so that a stolen control topic opens nothing.
//!
//! A key's secret holds 256 random bits, so a fast keyed hash is enough: there is no small set of guesses that a slow one
//! would have to protect. Instances that share keys must share the pepper; on one machine it is made in the data folder.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Error, file};

const LENGTH: usize = 32;
const FILE: &str = "pepper";

/// A keyed hash of a secret.
pub(super) type Hash = [u8; 32];

/// The secret that hashes are made with.
#[derive(Clone)]
pub struct Pepper {
    bytes: Zeroizing<[u8; LENGTH]>,
    id: String,
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pepper").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Pepper {
    /// A pepper of these bytes.
    pub fn new(bytes: &[u8; LENGTH]) -> Self {
        let mut pepper = Self { bytes: Zeroizing::new(*bytes), id: String::new() };
        let digest = pepper.hmac(b"tributary pepper id");
        pepper.id = hex(digest.get(..4).unwrap_or_default());
        pepper
    }

    /// Reads 64 hexadecimal digits, as a secret in the environment or in a file holds them.
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let refuse = || Error::Pepper("not 64 hexadecimal digits; make one with `openssl rand -hex 32`".into());
        unhex(text.trim()).map(Zeroizing::new).map(|bytes| Self::new(&bytes)).ok_or_else(refuse)
    }

    /// Reads a pepper file. Refuses one that others may read.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        if file::is_open_to_everybody(path).map_err(|e| Error::file(path, e))? {
            return Err(Error::Pepper(format!("{0} can be read by everybody; `chmod 600 {0}`", path.display())));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| Error::file(path, e))?);
        Self::from_hex(&text).map_err(|error| Error::Pepper(format!("{}: {error}", path.display())))
    }

    /// The pepper of a data folder, if it has one.
    pub fn in_folder(folder: &Path) -> Result<Option<Self>, Error> {
        match Self::from_file(&folder.join(FILE)) {
            Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// A pepper of random bytes, which is kept nowhere.
    pub fn draw() -> Result<Self, Error> {
        random().map(|bytes| Self::new(&bytes))
    }

    /// The pepper of a data folder, made at the first start, readable by its owner alone.
    pub fn of_folder(folder: &Path) -> Result<Self, Error> {
        Self::in_folder(folder)?.map_or_else(|| Self::make(folder, &folder.join(FILE)), Ok)
    }

    /// Written beside its name and linked into place, so that a crash leaves none or a whole one, and of two processes
    /// that start together both take the same.
    fn make(folder: &Path, path: &Path) -> Result<Self, Error> {
        let bytes = random()?;
        let draft = folder.join(format!("{FILE}.{}", hex(bytes.get(..4).unwrap_or_default())));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(Zeroizing::new(hex(bytes.as_slice())).as_bytes())?;
            file.sync_all()
        };
        write().map_err(|e| Error::file(&draft, e))?;
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft).map_err(|e| Error::file(&draft, e))?;
        match linked {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(Error::file(path, e)),
            _ => Self::from_file(path),
        }
    }

    /// A short public name for the pepper, kept beside each hash.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The keyed hash of a secret.
    pub(super) fn hash(&self, secret: &str) -> Hash {
        self.hmac(secret.as_bytes())
    }

    fn hmac(&self, message: &[u8]) -> Hash {
        // HMAC takes keys of any length, so this cannot fail; an empty hash would open nothing.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.bytes.as_slice()) else {
            return [0; 32];
        };
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

fn random() -> Result<Zeroizing<[u8; LENGTH]>, Error> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|e| Error::Random(e.to_string()))?;
    Ok(bytes)
}

/// The pepper that new keys are hashed with, and older ones that keys still stand under.
#[derive(Clone, Debug)]
pub struct Peppers {
    current: Pepper,
    older: Vec<Pepper>,
}

impl Peppers {
    /// The current pepper and the older ones.
    pub fn new(current: Pepper, older: Vec<Pepper>) -> Self {
        Self { current, older }
    }

    /// The pepper of new keys.
    pub fn current(&self) -> &Pepper {
        &self.current
    }

    /// The pepper of that id.
    pub(super) fn get(&self, id: &str) -> Option<&Pepper> {
        std::iter::once(&self.current).chain(&self.older).find(|pepper| pepper.id == id)
    }
}

/// Compares without telling by its time where two hashes differ.
pub(super) fn same(a: &Hash, b: &Hash) -> bool {
    a.ct_eq(b).into()
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}

/// 32 bytes of 64 hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_hash_is_hmac_sha256() {
        // RFC 4231, test case 1, with its 20-byte key padded by zeros, as HMAC itself pads it.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let hash = Pepper::new(&key).hash("Hi There");
        assert_eq!(hex(&hash), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn a_folder_keeps_its_pepper_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let first = Pepper::of_folder(folder.path()).unwrap();
        let again = Pepper::of_folder(folder.path()).unwrap();
        assert_eq!((first.id(), *first.bytes), (again.id(), *again.bytes));
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft stays behind");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Pepper::of_folder(folder.path()), Err(Error::Pepper(_))));
    }

    #[test]
    fn debug_shows_no_secret() {
        let pepper = Pepper::from_hex(&"ab".repeat(32)).unwrap();
        assert!(!format!("{pepper:?}").contains("abab") && !format!("{pepper:?}").contains("171"), "{pepper:?}");
        assert!(Pepper::from_hex("short").is_err());
    }
}
