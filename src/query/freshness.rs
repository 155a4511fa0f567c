//! Up to where the partitions of an answer had been applied.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Error;
use crate::core::Millis;
use crate::store::View;
use crate::topics::{Offset, PerInput};

/// What one partition's state says of itself. The stream writes more beside these fields; a test of it holds their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Applied {
    /// The next offset to apply of each input.
    pub applied: PerInput<Offset>,
    /// The greatest log timestamp applied, in milliseconds; 0 before the first record.
    pub as_of: Millis,
    /// Adjustments whose conversion has not come yet.
    #[serde(default)]
    pub waiting: i64,
}

/// How fresh an answer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    by_partition: BTreeMap<u32, Applied>,
}

impl Freshness {
    /// Adds what a partition's snapshot says of itself. One without an account has applied nothing.
    pub(super) fn add(&mut self, partition: u32, view: &View<'_>) -> Result<(), Error> {
        let nothing = Applied { applied: PerInput::default(), as_of: 0, waiting: 0 };
        let applied = match view.meta()? {
            None => nothing,
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| Error::Meta(e.to_string()))?,
        };
        self.by_partition.insert(partition, applied);
        Ok(())
    }

    /// Every record that was logged before this moment, in any of the answer's partitions, had been applied: the least of
    /// their greatest log timestamps, in milliseconds. None where nothing was applied. A partition that gets no records
    /// holds it back.
    pub fn as_of(&self) -> Option<Millis> {
        self.by_partition.values().map(|applied| applied.as_of).filter(|at| *at > 0).min()
    }

    /// The offset to be applied next of each input, by partition: `partition:touchpoints:conversions`, joined by commas.
    pub fn position(&self) -> String {
        let mut text = String::new();
        for (partition, Applied { applied, .. }) in &self.by_partition {
            let comma = if text.is_empty() { "" } else { "," };
            text += &format!("{comma}{partition}:{}:{}", applied.touchpoints, applied.conversions);
        }
        text
    }

    /// Adjustments that wait for their conversion, over all partitions of the answer.
    pub fn waiting(&self) -> i64 {
        self.by_partition.values().map(|applied| applied.waiting).sum()
    }

    /// What a partition's state says of itself, where it answered.
    pub fn of(&self, partition: u32) -> Option<Applied> {
        self.by_partition.get(&partition).copied()
    }

    /// The partitions that answered.
    pub fn partitions(&self) -> impl Iterator<Item = u32> {
        self.by_partition.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(touchpoints: Offset, conversions: Offset, as_of: Millis) -> Applied {
        Applied { applied: PerInput { touchpoints, conversions }, as_of, waiting: 2 }
    }

    #[test]
    fn the_least_fresh_partition_speaks_for_all() {
        let by_partition = [(0, applied(12, 4, 5_000)), (3, applied(7, 0, 3_000)), (9, applied(0, 0, 0))];
        let freshness = Freshness { by_partition: by_partition.into() };
        assert_eq!(freshness.as_of(), Some(3_000));
        assert_eq!(freshness.position(), "0:12:4,3:7:0,9:0:0");
        assert_eq!((freshness.waiting(), Freshness::default().as_of()), (6, None));
    }
}
