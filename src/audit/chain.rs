//! One chain a life of the process: each entry holds the hash of the one before it, the first that of the life before.

use serde::{Deserialize, Serialize};

use super::Error;
use super::entry::{Draft, Place, Record, hex, seal};
use crate::core::Millis;

/// Longest part of the instance's name in the id of a chain, in bytes.
const MAX_NAME: usize = 100;

/// The last entry of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The chain.
    pub chain: String,
    /// The entry's number in it.
    pub seq: u64,
    /// Its hash, hexadecimal.
    pub hash: String,
}

/// The chain of this life, as far as it is made.
#[derive(Debug)]
pub(super) struct Chain {
    id: String,
    instance: String,
    next: u64,
    prev: String,
    /// Where the chain before ended; told by the first entry.
    previous: Option<End>,
}

impl Chain {
    /// A chain that goes on where the life before ended.
    pub(super) fn new(instance: &str, now: Millis, previous: Option<End>) -> Result<Self, Error> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| Error::Refused(format!("no random bytes to be had: {error}")))?;
        let name = instance.get(..instance.floor_char_boundary(MAX_NAME)).unwrap_or_default();
        Ok(Self {
            id: format!("{name}-{now}-{}", hex(&random)),
            instance: name.to_owned(),
            next: 0,
            prev: previous.as_ref().map(|end| end.hash.clone()).unwrap_or_default(),
            previous,
        })
    }

    /// The next entry.
    pub(super) fn seal(&mut self, draft: &Draft, at: Millis) -> Record {
        let previous = self.previous.take();
        let place = Place {
            chain: &self.id,
            seq: self.next,
            at,
            instance: &self.instance,
            previous: previous.as_ref().map(|end| (end.chain.as_str(), end.seq)),
            prev: &self.prev,
        };
        let (record, hash) = seal(draft, place);
        self.prev = hash;
        self.next += 1;
        record
    }
}
