//! Sealing: what lies on disk is of no use to who has only the disk.
//!
//! ```text
//! key file (KEK) ── wraps ──> data keys, rows of each RocksDB ── seal ──> its values (XChaCha20-Poly1305)
//!                             and its hash key                ── key ──> the hashes in its keys (HMAC-SHA256)
//! ```
//!
//! | file | holds |
//! | --- | --- |
//! | `kek` | key-encryption keys: files, ids, wrapping |
//! | `envelope` | data keys: one value, sealed and opened |
//! | `keyring` | the keys of one RocksDB: found, wrapped anew, drawn |
//! | `mac` | the keyed hash of what stands in keys |
//! | `reseal` | sealing everything anew after a rotation, in small steps |
//! | `spool` | temporary files, under a key that nobody keeps |
//!
//! What it protects against, and what stays visible, is docs/sealing.md.
//!
//! **Architecture invariant:** nothing here knows what a value means; no secret is ever in a message or a `Debug`.

mod envelope;
mod kek;
mod keyring;
mod mac;
mod reseal;
mod spool;
#[cfg(test)]
mod tests;

pub use envelope::OVERHEAD;
pub use kek::{Kek, Keks, KeyId, Random};
pub use keyring::{Keyring, Layout, Row};
pub use mac::Mac;
pub use reseal::Reseal;
pub use spool::{Reader, Writer};

/// How a RocksDB is kept, as far as sealing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was ever written.
    New,
    /// It is not sealed.
    Plain,
    /// It is sealed under this key-encryption key.
    Sealed(KeyId),
}

/// Why something cannot be sealed or opened; each reads on from "the state in …", and is followed by what else can be done
/// there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A key file cannot be used.
    #[error("{0}")]
    KeyFile(String),
    /// The folder was filled without sealing.
    #[error("is not sealed, but seal.key_file is set: leave the setting out")]
    NotSealed,
    /// The folder is sealed, and no key was given.
    #[error("is sealed under key {wanted}, but seal.key_file is not set: name the file with that key")]
    NoKey {
        /// The id of the key.
        wanted: KeyId,
    },
    /// The folder is sealed under another key.
    #[error(
        "is sealed under key {wanted}, which is none of those given ({given}): name its file in seal.key_file or seal.older_key_files"
    )]
    WrongKey {
        /// The id of the key.
        wanted: KeyId,
        /// The ids of the given ones.
        given: String,
    },
    /// What was opened is not what was sealed there.
    #[error("holds what was not sealed there: {0}")]
    Forged(&'static str),
    /// No random bytes, no keys.
    #[error("cannot be sealed: {0}")]
    Unable(String),
    /// RocksDB failed.
    #[error("cannot be read or written: {0}")]
    Storage(#[from] rocksdb::Error),
}
