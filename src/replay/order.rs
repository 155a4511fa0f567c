//! The order of the output: by the bytes of `row_id`.
//!
//! All rows of one conversion begin with the same bytes, its escaped id and a `|` that is not escaped, and no other
//! conversion's rows do. So conversions are sorted as wholes, by these bytes, and rows only among those of theirs.

use std::cmp::Ordering;

use crate::core::Row;

/// Appends what the ids of all rows of `row`'s conversion begin with, and no others.
pub(super) fn write_key(row: &Row<'_>, out: &mut Vec<u8>) {
    Row { touchpoint_id: "", ..*row }.write_id(out); // key, model, `|`
    out.truncate(out.len().saturating_sub(row.model.name().len() + 1));
}

/// Sorts the rows of one conversion by the bytes of their ids, without writing these out.
pub(super) fn sort(rows: &mut [Row<'_>]) {
    rows.sort_unstable_by(|a, b| {
        let models = || model(a).cmp(model(b));
        if a.model == b.model { escaped(a.touchpoint_id, b.touchpoint_id) } else { models() }
    });
}

/// A model's name, where no name followed by `|` begins another.
fn model<'a>(row: &Row<'a>) -> &'static str {
    row.model.name()
}

/// The order of two strings once `\` and `|` in them are escaped by `\`.
fn escaped(a: &str, b: &str) -> Ordering {
    let differ = a.bytes().zip(b.bytes()).find(|(x, y)| x != y);
    let Some((x, y)) = differ else {
        return a.len().cmp(&b.len());
    };
    match (is_escaped(x), is_escaped(y)) {
        (true, false) => b'\\'.cmp(&y),
        (false, true) => x.cmp(&b'\\'),
        _ => x.cmp(&y),
    }
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'|' | b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::row::{Scratch, credit};
    use crate::core::{Conversion, Model, Rules};

    fn unattributed(conversion_id: &str, each: impl FnOnce(Row<'_>)) {
        let conversion = Conversion {
            event_id: conversion_id,
            user_id: "u",
            occurred_at: 0,
            kind: "conversion",
            value_micros: None,
            currency: None,
        };
        let mut rows = Vec::new();
        credit(&conversion, &[], &[], &Rules::default(), &mut Scratch::default(), &mut rows);
        each(rows[0]);
    }

    fn id(row: &Row<'_>) -> Vec<u8> {
        let mut id = Vec::new();
        row.write_id(&mut id);
        id
    }

    proptest! {
        #[test]
        fn rows_of_one_conversion_are_sorted_as_their_ids(
            touched in proptest::collection::vec(("[!\\[\\]|}~\\\\aé]{0,4}", 0usize..6), 0..20),
        ) {
            unattributed("c", |base| {
                let rows = touched.iter().map(|(id, model)| Row { touchpoint_id: id, model: Model::ALL[*model], ..base });
                let mut sorted: Vec<_> = rows.collect();
                let mut ids: Vec<_> = sorted.iter().map(id).collect();
                ids.sort();
                sort(&mut sorted);
                assert_eq!(sorted.iter().map(id).collect::<Vec<_>>(), ids);
            });
        }

        #[test]
        fn a_key_begins_the_ids_of_its_conversion_and_no_others(a in "[|\\\\a}]{1,4}", b in "[|\\\\a}]{1,4}") {
            let mut key = Vec::new();
            unattributed(&a, |row| {
                write_key(&row, &mut key);
                assert!(id(&row).starts_with(&key));
            });
            unattributed(&b, |row| assert_eq!(id(&row).starts_with(&key), a == b));
        }
    }
}
