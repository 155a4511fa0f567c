//! The compacted output of a partition against what its state answers.
//!
//! What the log holds is kept as two hashes a row, so a partition with ten million rows takes about half a gigabyte. The
//! state is walked conversion by conversion; what is then left of the log's rows is what the state does not answer.

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::app::{Error, line};
use crate::codec::{json, record};
use crate::core::row::{self, Scratch};
use crate::core::{Adjustment, Row, Rules, Touchpoint, journey};
use crate::store::{Place, Stored, View};

/// Conversions read at a time.
const PAGE: usize = 1_000;

/// What is wrong with a row of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The state answers it, the log has it not.
    Missing,
    /// Both have it, and not the same.
    Differs,
    /// The log has it, the state does not answer it.
    Extra,
}

impl Wrong {
    /// The word in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::Extra => "extra",
        }
    }
}

/// One difference, with the row as it should be; an extra one should not be.
#[derive(Clone, Copy, Debug)]
pub struct Difference<'r> {
    /// What is wrong.
    pub wrong: Wrong,
    /// The row's id.
    pub row_id: &'r [u8],
    /// The row that the state answers.
    pub row: Option<&'r Row<'r>>,
}

/// Takes differences as they are found.
pub type Each<'e> = dyn FnMut(Difference<'_>) -> Result<(), Error> + 'e;

/// Hands every row of a compacted partition, key and value, to what it is given.
pub type Compacted<'c> = dyn FnMut(&mut dyn FnMut(&[u8], &[u8])) -> Result<(), Error> + 'c;

/// Compares one partition and hands every difference to `each`. Returns how many rows the state answers.
pub fn compare(
    view: &View<'_>,
    rules: &Rules,
    compacted: &mut Compacted<'_>,
    each: &mut Each<'_>,
) -> Result<u64, Error> {
    let mut logged: HashMap<u128, u128> = HashMap::new();
    let mut text = Vec::new();
    compacted(&mut |key, value| {
        text.clear();
        line::append_row(value, &mut text);
        logged.insert(xxh3_128(key), xxh3_128(&text));
    })?;
    let mut answered = 0;
    walk(view, rules, &mut |row| {
        answered += 1;
        let (mut id, mut text) = (Vec::new(), Vec::new());
        row.write_id(&mut id);
        json::write_row(row, &mut text);
        let wrong = match logged.remove(&xxh3_128(&id)) {
            None => Wrong::Missing,
            Some(hash) if hash != xxh3_128(&text) => Wrong::Differs,
            Some(_) => return Ok(()),
        };
        each(Difference { wrong, row_id: &id, row: Some(row) })
    })?;
    if logged.is_empty() {
        return Ok(answered);
    }
    let mut outcome = Ok(());
    compacted(&mut |key, _| {
        if outcome.is_ok() && logged.contains_key(&xxh3_128(key)) {
            outcome = each(Difference { wrong: Wrong::Extra, row_id: key, row: None });
        }
    })?;
    outcome.map(|()| answered)
}

/// Hands every row that the state answers to `each`.
fn walk(view: &View<'_>, rules: &Rules, each: &mut dyn FnMut(&Row<'_>) -> Result<(), Error>) -> Result<(), Error> {
    let mut after = None;
    loop {
        let mut page: Vec<(Place, Vec<u8>)> = Vec::new();
        after = view.each_conversion(after, PAGE, |place, record| page.push((place, record.to_vec())))?;
        for (place, record) in &page {
            answer(view, rules, *place, record, each)?;
        }
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The rows of one conversion.
fn answer(
    view: &View<'_>,
    rules: &Rules,
    place: Place,
    bytes: &[u8],
    each: &mut dyn FnMut(&Row<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let conversion = record::decode_conversion(place.occurred_at, bytes).map_err(corrupt)?;
    let (mut stored, mut adjusted) = (Stored::new(), Stored::new());
    view.touchpoints(place.user, place.occurred_at - rules.lookback_ms(), place.occurred_at, &mut stored)?;
    view.adjustments(place.user, place.conversion, &mut adjusted)?;
    let touchpoints: Result<Vec<Touchpoint<'_>>, _> =
        stored.iter().map(|(at, bytes)| record::decode_touchpoint(at, bytes)).collect();
    let adjustments: Result<Vec<Adjustment<'_>>, _> =
        adjusted.iter().map(|(at, bytes)| record::decode_adjustment(at, bytes)).collect();
    let (mut touchpoints, mut adjustments) = (touchpoints.map_err(corrupt)?, adjustments.map_err(corrupt)?);
    journey::settle(&mut touchpoints);
    journey::settle_adjustments(&mut adjustments);
    let mut rows = Vec::new();
    row::credit(&conversion, &adjustments, &touchpoints, rules, &mut Scratch::default(), &mut rows);
    rows.iter().try_for_each(each)
}

fn corrupt(error: record::Corrupt) -> Error {
    Error::State(format!(
        "a record of the state cannot be read ({error}): move the state away, and the log restores it"
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::Conversion;
    use crate::store::{Batch, Budget, Hasher, Partition, Shared};

    fn conversion() -> Conversion<'static> {
        Conversion {
            event_id: "order-1",
            user_id: "u",
            occurred_at: 1_700_000_000_000,
            kind: "purchase",
            value_micros: Some(9_000_000),
            currency: Some("EUR"),
        }
    }

    fn touchpoint(event_id: &'static str, occurred_at: i64) -> Touchpoint<'static> {
        Touchpoint { channel: Some("email"), ..Touchpoint::click(event_id, "u", occurred_at) }
    }

    fn partition() -> Partition {
        let shared = Shared::in_memory(&Budget::default()).unwrap();
        let partition = Partition::open(&shared, std::path::Path::new("/p")).unwrap();
        let mut batch = Batch::default();
        let user = Hasher::Plain.user("u");
        let mut bytes = Vec::new();
        for t in [touchpoint("t1", 1_699_999_000_000), touchpoint("t2", 1_699_999_500_000)] {
            bytes.clear();
            record::encode_touchpoint(&t, &mut bytes);
            batch.put_touchpoint(user, t.occurred_at, &bytes);
        }
        bytes.clear();
        record::encode_conversion(&conversion(), &mut bytes);
        batch.put_conversion(user, Hasher::Plain.conversion("order-1"), conversion().occurred_at, &bytes, None);
        partition.write(&mut batch).unwrap();
        partition
    }

    fn compared(partition: &Partition, log: &BTreeMap<Vec<u8>, Vec<u8>>) -> (u64, Vec<(Wrong, String)>) {
        let mut found = Vec::new();
        let mut compacted = |each: &mut dyn FnMut(&[u8], &[u8])| {
            log.iter().for_each(|(key, value)| each(key, value));
            Ok(())
        };
        let rows = compare(&partition.view(), &Rules::default(), &mut compacted, &mut |difference| {
            found.push((difference.wrong, String::from_utf8_lossy(difference.row_id).into_owned()));
            Ok(())
        });
        (rows.unwrap(), found)
    }

    #[test]
    fn what_is_missing_differs_or_is_too_much_is_found() {
        let partition = partition();
        let (rows, missing) = compared(&partition, &BTreeMap::new());
        assert_eq!(rows, 9, "three models of one row, three of two");
        assert_eq!(missing.len(), 9);

        let mut log = BTreeMap::new();
        walk(&partition.view(), &Rules::default(), &mut |row| {
            let (mut id, mut text) = (Vec::new(), Vec::new());
            row.write_id(&mut id);
            json::write_row(row, &mut text);
            log.insert(id, text);
            Ok(())
        })
        .unwrap();
        assert_eq!(compared(&partition, &log), (9, Vec::new()));

        let changed = log.get_mut(b"order-1|linear|t1".as_slice()).unwrap();
        *changed = String::from_utf8(changed.clone()).unwrap().replace("email", "social").into_bytes();
        log.remove(b"order-1|linear|t2".as_slice()).unwrap();
        log.insert(b"order-2|linear|".to_vec(), b"{}".to_vec());
        let (_, mut found) = compared(&partition, &log);
        found.sort_by(|a, b| a.1.cmp(&b.1));
        let expected = [
            (Wrong::Differs, "order-1|linear|t1"),
            (Wrong::Missing, "order-1|linear|t2"),
            (Wrong::Extra, "order-2|linear|"),
        ];
        assert_eq!(found, expected.map(|(wrong, id)| (wrong, id.to_owned())));
    }
}
