//! What can go wrong with the state, and what to do about it.

use std::path::Path;

use rocksdb::ErrorKind;

use crate::seal;

/// A failure of the store. All of them but [`Error::Locked`], [`Error::InUse`], [`Error::Format`] and [`Error::Sealed`] leave the state of the
/// partition unknown: the process must end, and the next one replays from what is on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another process, or another handle of this one, has the folder open.
    #[error(
        "the state in {dir} is open elsewhere: end the other process, or give this one another data folder ({detail})"
    )]
    Locked {
        /// The partition's folder.
        dir: String,
        /// RocksDB's own words.
        detail: String,
    },
    /// The folder holds something that this version does not read.
    #[error(
        "the state in {dir} has {found}, this version reads store format {expected}: use the version that wrote it, or move the folder away and let the state be rebuilt from the log"
    )]
    Format {
        /// The partition's folder.
        dir: String,
        /// What was found instead.
        found: String,
        /// The format that this version reads and writes.
        expected: u32,
    },
    /// The folder is sealed otherwise than this process is set to.
    #[error("the state in {dir} {why}, or move that folder away, and the log rebuilds the state as far as it reaches")]
    Sealed {
        /// The partition's folder.
        dir: String,
        /// What is wrong and what to do.
        why: seal::Error,
    },
    /// The stored bytes are not what was written.
    #[error("the state in {dir} is corrupt: move the folder away, and a snapshot or the log restores it ({detail})")]
    Corrupt {
        /// The partition's folder.
        dir: String,
        /// What was found.
        detail: String,
    },
    /// The disk is full.
    #[error("no space left for the state in {dir}: make room, then start again ({detail})")]
    NoSpace {
        /// The partition's folder.
        dir: String,
        /// RocksDB's own words.
        detail: String,
    },
    /// Anything else that RocksDB or the file system answered.
    #[error("the state in {dir} cannot be read or written: {detail}")]
    Io {
        /// The partition's folder.
        dir: String,
        /// RocksDB's own words.
        detail: String,
    },
    /// Queries still hold a partition that is to be closed; it closes when the last of them ends.
    #[error("partition {partition} is still in use by {readers} readers after {waited_ms} ms")]
    InUse {
        /// The partition number.
        partition: u32,
        /// How many handles are out.
        readers: usize,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
}

impl Error {
    /// Whether the process must end: the state in memory can no longer be trusted.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::NoSpace { .. } | Self::Io { .. })
    }

    pub(super) fn corrupt(dir: &Path, detail: impl Into<String>) -> Self {
        Self::Corrupt { dir: dir.display().to_string(), detail: detail.into() }
    }

    /// What sealing or opening a value answered.
    pub(super) fn seal(dir: &Path, error: seal::Error) -> Self {
        match error {
            seal::Error::Storage(error) => Self::of(dir, &error),
            seal::Error::Forged(what) => Self::corrupt(dir, format!("{what} was not sealed there")),
            seal::Error::Unable(why) => Self::Io { dir: dir.display().to_string(), detail: why },
            why => Self::Sealed { dir: dir.display().to_string(), why },
        }
    }

    /// The meaning of what RocksDB answered. It hands over texts only, so they are told apart by their words.
    pub(super) fn of(dir: &Path, error: &rocksdb::Error) -> Self {
        Self::classify(dir.display().to_string(), error.kind(), error.to_string())
    }

    fn classify(dir: String, kind: ErrorKind, detail: String) -> Self {
        let lower = detail.to_ascii_lowercase();
        if lower.contains("no space left") || lower.contains("disk quota") {
            return Self::NoSpace { dir, detail };
        }
        // A file system that lies in memory has its own words.
        let locked = ["lock hold by current process", "while lock file", "lock is already held"];
        if locked.iter().any(|words| lower.contains(words)) {
            return Self::Locked { dir, detail };
        }
        match kind {
            ErrorKind::Corruption => Self::Corrupt { dir, detail },
            _ => Self::Io { dir, detail },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: ErrorKind, detail: &str) -> Error {
        Error::classify("/data/7".into(), kind, detail.into())
    }

    #[test]
    fn answers_of_rocksdb_are_told_apart() {
        let full = of(ErrorKind::IOError, "IO error: No space left on device: While appending to file: 000012.sst");
        assert!(matches!(full, Error::NoSpace { .. }) && full.is_fatal());
        let here =
            of(ErrorKind::IOError, "IO error: lock hold by current process, acquire time 1 acquiring thread 2: LOCK");
        assert!(matches!(here, Error::Locked { .. }) && !here.is_fatal());
        let there = of(ErrorKind::IOError, "IO error: While lock file: /data/7/LOCK: Resource temporarily unavailable");
        assert!(matches!(there, Error::Locked { .. }));
        let rotten = of(ErrorKind::Corruption, "Corruption: block checksum mismatch");
        assert!(matches!(rotten, Error::Corrupt { .. }) && rotten.is_fatal());
        let other = of(ErrorKind::IOError, "IO error: Input/output error");
        assert!(matches!(other, Error::Io { .. }) && other.is_fatal());
        assert!(other.to_string().contains("/data/7"), "{other}");
    }
}
