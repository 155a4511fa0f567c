//! Records set aside, by reason. The reasons are a closed set: a label never takes a value that a producer chose.

use prometheus::{IntCounter, Registry, Result};

use super::make;

/// Every reason there is: the fields of the contract, then what is wrong with a record as a whole. What is none of these
/// counts as `other`.
pub const REASONS: [&str; 27] = [
    "event_id",
    "user_id",
    "occurred_at",
    "channel",
    "interaction",
    "source",
    "medium",
    "campaign",
    "content",
    "term",
    "cost_micros",
    "currency",
    "milestone",
    "kind",
    "value_micros",
    "adjusts",
    "future",
    "key",
    "framing",
    "schema",
    "avro",
    "json",
    "value",
    "panic",
    "too_large",
    "rows",
    "other",
];

/// Counters of records set aside.
#[derive(Debug)]
pub struct DeadLetters {
    by_reason: Vec<(&'static str, IntCounter)>,
    other: IntCounter,
}

impl DeadLetters {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let help = "Records set aside in the dead-letter topic, by the field or rule that was broken.";
        let counters = make::counters(registry, "tributary_dead_letters_total", help, &["reason"])?;
        let by_reason = REASONS.iter().map(|reason| (*reason, counters.with_label_values(&[*reason]))).collect();
        Ok(Self { by_reason, other: counters.with_label_values(&["other"]) })
    }

    /// Counts a record set aside because of `field: reason`. An event time in the future counts as `future`.
    pub fn count(&self, field: &str, reason: &str) {
        let name = if field == "occurred_at" && reason.starts_with("future") { "future" } else { field };
        let found = self.by_reason.iter().find(|(known, _)| *known == name);
        found.map_or(&self.other, |(_, counter)| counter).inc();
    }

    /// How many records were set aside in all.
    pub fn total(&self) -> u64 {
        self.by_reason.iter().map(|(_, counter)| counter.get()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_make_labels() {
        let registry = Registry::new();
        let dead_letters = DeadLetters::new(&registry).unwrap();
        dead_letters.count("no such field\n", "anything");
        dead_letters.count("occurred_at", "future: by far");
        dead_letters.count("occurred_at", "required");
        let count = |name| dead_letters.by_reason.iter().find(|(known, _)| *known == name).unwrap().1.get();
        assert_eq!((count("other"), count("future"), count("occurred_at"), dead_letters.total()), (1, 1, 1, 3));
    }
}
