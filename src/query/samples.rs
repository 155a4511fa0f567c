//! A small state for tests: two partitions in memory, filled as the stream would fill them.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::Reader;
use crate::codec::record;
use crate::core::event::{Adjustment, Conversion, DEFAULT_KIND, Touchpoint};
use crate::core::{Millis, Rules};
use crate::store::{Batch, Budget, Cell, Hasher, Partition, Partitions, Shared, Sum};
use crate::topics::PerInput;

/// Times of samples count from here.
pub(crate) const EPOCH: Millis = 1_767_225_600_000; // 2026-01-01T00:00:00Z

/// The state, and a reader over it.
pub(crate) struct Shop {
    pub(crate) reader: Reader,
    partitions: Arc<Partitions>,
    rules: Arc<Rules>,
    applied: Mutex<PerInput<i64>>,
    _shared: Shared,
}

/// A touchpoint `at` milliseconds after [`EPOCH`].
pub(crate) fn touchpoint<'a>(event_id: &'a str, user_id: &'a str, at: Millis, channel: &'a str) -> Touchpoint<'a> {
    Touchpoint { occurred_at: EPOCH + at, channel: Some(channel), ..crate::codec::samples::bare(event_id, user_id) }
}

impl Shop {
    /// Two partitions, both held, nothing in them but an account of 4 touchpoints and 2 conversions applied.
    pub(crate) fn open() -> Self {
        let shared = Shared::in_memory(&Budget::default()).unwrap();
        let partitions = Arc::new(Partitions::new());
        for number in 0..2 {
            let dir = PathBuf::from(format!("/state/{number}"));
            partitions.publish(number, Arc::new(Partition::open(&shared, &dir).unwrap()));
        }
        let rules = Arc::new(Rules::default());
        let reader = Reader::new(Arc::clone(&partitions), Arc::clone(&rules), NonZeroU32::new(2).unwrap());
        let applied = Mutex::new(PerInput { touchpoints: 4, conversions: 2 });
        Self { reader, partitions, rules, applied, _shared: shared }
    }

    /// No partitions at all.
    pub(crate) fn nothing() -> Arc<Partitions> {
        Arc::new(Partitions::new())
    }

    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    pub(crate) fn partitions(&self) -> Arc<Partitions> {
        Arc::clone(&self.partitions)
    }

    pub(crate) fn partition(&self, user: &str) -> u32 {
        self.reader.partition_of(user)
    }

    fn write(&self, partition: u32, count: impl FnOnce(&mut PerInput<i64>), fill: impl FnOnce(&mut Batch)) {
        let mut applied = self.applied.lock().unwrap();
        count(&mut applied);
        let meta =
            serde_json::json!({ "applied": *applied, "as_of": EPOCH + 5_000, "waiting": 3, "rules": "beside it" });
        let mut batch = Batch::new();
        fill(&mut batch);
        batch.set_meta(meta.to_string().as_bytes());
        self.partitions.get(partition).unwrap().write(&mut batch).unwrap();
    }

    pub(crate) fn touch(&self, touchpoint: &Touchpoint<'_>) {
        let mut bytes = Vec::new();
        record::encode_touchpoint(touchpoint, &mut bytes);
        let user = Hasher::Plain.user(touchpoint.user_id);
        self.write(
            self.partition(touchpoint.user_id),
            |applied| applied.touchpoints += 1,
            |batch| batch.put_touchpoint(user, touchpoint.occurred_at, &bytes),
        );
    }

    pub(crate) fn conversion<'a>(&self, id: &'a str, user: &'a str, at: Millis, value: Option<i64>) -> Conversion<'a> {
        Conversion {
            event_id: id,
            user_id: user,
            occurred_at: EPOCH + at,
            kind: DEFAULT_KIND,
            value_micros: value,
            currency: value.map(|_| "EUR"),
        }
    }

    pub(crate) fn convert(&self, id: &str, user: &str, at: Millis, value: Option<i64>) {
        let conversion = self.conversion(id, user, at, value);
        let mut bytes = Vec::new();
        record::encode_conversion(&conversion, &mut bytes);
        self.write(
            self.partition(user),
            |applied| applied.conversions += 1,
            |batch| {
                let (user, id) = (Hasher::Plain.user(user), Hasher::Plain.conversion(id));
                batch.put_conversion(user, id, conversion.occurred_at, &bytes, None);
            },
        );
    }

    #[allow(clippy::too_many_arguments)] // the fields of an adjustment
    pub(crate) fn adjust(&self, id: &str, adjusts: &str, user: &str, at: Millis, value: Option<i64>) {
        let adjustment = Adjustment {
            event_id: id,
            user_id: user,
            occurred_at: EPOCH + at,
            kind: DEFAULT_KIND,
            value_micros: value,
            currency: value.map(|_| "EUR"),
            adjusts,
        };
        let mut bytes = Vec::new();
        record::encode_adjustment(&adjustment, &mut bytes);
        self.write(
            self.partition(user),
            |applied| applied.conversions += 1,
            |batch| {
                let (user, of) = (Hasher::Plain.user(user), Hasher::Plain.conversion(adjusts));
                batch.put_adjustment(user, of, id, adjustment.occurred_at, &bytes);
            },
        );
    }

    /// Adds to a rollup cell.
    pub(crate) fn add(&self, partition: u32, cell: &Cell<'_>, sum: Sum) {
        self.write(partition, |_| (), |batch| batch.add_rollup(cell, sum));
    }
}
