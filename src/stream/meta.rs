//! What a partition's state says of itself, and what travels with every committed offset.

use serde::{Deserialize, Serialize};

use crate::core::{CORE_VERSION, Millis, Rules};
use crate::topics::{LogIdentity, Offset, PerInput};

/// The state's own account, written in the same batch as what it describes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The next offset to apply of each input: the state is the fold of everything before.
    pub applied: PerInput<Offset>,
    /// Where the fold began: the start of the log when the group first read it.
    pub began: PerInput<Offset>,
    /// XXH3-64 of the last applied record of each input; none before the first.
    pub last: PerInput<Option<u64>>,
    /// The log that was folded.
    pub log: LogIdentity,
    /// The digest of the rules that the rows were made by.
    pub rules: String,
    /// Those rules in words, so that a refusal can say what differs.
    pub rules_text: String,
    /// The dead-letter partition's records from here on may be of records after `applied`.
    pub dead_letters: Offset,
    /// The greatest log timestamp applied, in milliseconds; 0 before the first record.
    pub as_of: Millis,
    /// The latest conversion, in milliseconds of event time; no touchpoint after it can be late.
    pub latest_conversion: Millis,
    /// Adjustments whose conversion is not there yet.
    pub waiting: i64,
}

impl Meta {
    /// The account of an empty state whose fold begins at `began`.
    pub fn new(began: PerInput<Offset>, log: LogIdentity, rules: &Rules) -> Self {
        Self {
            applied: began,
            began,
            last: PerInput::default(),
            log,
            rules: rules.digest(),
            rules_text: rules.canonical(),
            dead_letters: 0,
            as_of: 0,
            latest_conversion: 0,
            waiting: 0,
        }
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // plain strings and numbers always encode
    }

    /// Reads the stored form; says why when it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }

    /// What travels with the offsets that are committed for this state.
    pub fn stamp(&self) -> Stamp {
        Stamp { rules: self.rules.clone(), core: CORE_VERSION, log: fingerprint(&self.log), began: self.began }
    }
}

/// The metadata of a committed offset: enough for whoever takes the partition with an empty folder to know whether the
/// group's rows were made by its own rules, from this log, and from which offsets on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The rules digest.
    pub rules: String,
    /// The version of the core.
    pub core: u32,
    /// [`fingerprint`] of the log.
    pub log: String,
    /// Where the fold began.
    pub began: PerInput<Offset>,
}

impl Stamp {
    /// The text that is committed.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // as for `Meta::encode`
    }

    /// Reads the committed text; none when it is not ours.
    pub fn decode(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// A short name of a log: 16 hexadecimal digits of XXH3-64 over its identity.
pub fn fingerprint(log: &LogIdentity) -> String {
    let text = format!("{}\n{}\n{}\n{}", log.cluster, log.topics.touchpoints, log.topics.conversions, log.partitions);
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queries read a few of these fields by name, and must not import the stream to do so.
    #[test]
    fn queries_read_what_is_written() {
        let topics = PerInput { touchpoints: "touchpoints".to_owned(), conversions: "conversions".to_owned() };
        let log = LogIdentity { cluster: "c".into(), topics, partitions: 2 };
        let mut meta = Meta::new(PerInput { touchpoints: 7, conversions: 3 }, log, &Rules::default());
        (meta.as_of, meta.waiting) = (1_767_225_600_000, 5);
        let read: crate::query::Applied = serde_json::from_slice(&meta.encode()).unwrap();
        assert_eq!((read.applied, read.as_of, read.waiting), (meta.applied, meta.as_of, meta.waiting));
        assert_eq!(Meta::decode(&meta.encode()), Ok(meta));
    }
}
