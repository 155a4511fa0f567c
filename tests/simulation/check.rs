//! What must hold of a state that has applied all that is committed, and of the outputs at the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tributary::codec::avro::row_to_json;
use tributary::core::Model;
use tributary::core::event::{END_TIME, MIN_TIME};
use tributary::store::{self, BUCKET_MS, Dimension};
use tributary::stream::meta::Meta;
use tributary::topics::Input;
use tributary::topics::embedded::Topic;

use crate::answer::{Rows, Sums};
use crate::events::Meaning;
use crate::ledger::differences;
use crate::stage::{Scene, Stage};

/// The rollups of a state are the sums of the rows, and its own account is right, where it has applied all that is
/// committed.
pub fn state(stage: &mut Stage, partitions: &store::Partitions, partition: u32) -> Result<(), String> {
    let Some(open) = partitions.get(partition) else {
        return Ok(());
    };
    let view = open.view();
    let Some(meta) = view.meta().unwrap() else {
        return Ok(());
    };
    let meta = Meta::decode(&meta).unwrap();
    let book = stage.ledger.book_mut(partition);
    if meta.applied != book.committed {
        return Ok(());
    }
    book.answer.rows();
    let mut found = Sums::new();
    for model in Model::ALL {
        for dimension in Dimension::ALL {
            let each = |cell: &store::Cell<'_>, sum: store::Sum| {
                let texts = [cell.name, cell.currency].map(|text| text.map(str::to_owned));
                let [name, currency] = texts;
                let place = (cell.model, cell.dimension, cell.bucket, name, cell.unattributed, currency);
                let total = found.entry(place).or_default();
                *total = (total.0 + sum.credit_micros, total.1 + sum.credited_micros);
                Ok::<_, store::Error>(())
            };
            let whole = |at: i64| at - at % BUCKET_MS;
            view.rollups(model, dimension, whole(MIN_TIME), whole(END_TIME), each).unwrap();
        }
    }
    found.retain(|_, sum| *sum != (0, 0));
    let expected = book.answer.sums();
    if found != expected {
        let differs = |(cell, sum): &(_, _)| expected.get(cell) != Some(sum);
        let (more, less): (Vec<_>, Vec<_>) = (
            found.clone().into_iter().filter(differs).collect(),
            expected.iter().filter(|(cell, sum)| found.get(cell) != Some(sum)).collect(),
        );
        return Err(format!("partition {partition}: the rollups are not the sums of the rows: {more:?} for {less:?}"));
    }
    if meta.waiting != book.answer.waiting() {
        let expected = book.answer.waiting();
        return Err(format!(
            "partition {partition}: {} adjustments wait by the state, in truth {expected}",
            meta.waiting
        ));
    }
    let written = |input| book.written.get(input)[..*meta.applied.get(input) as usize].iter();
    let newest = Input::ALL.into_iter().flat_map(written).map(|record| record.logged_at).max().unwrap_or(0);
    if meta.as_of != newest {
        return Err(format!("partition {partition}: the state is as of {}, its newest record of {newest}", meta.as_of));
    }
    Ok(())
}

/// The compacted outputs are the batch answer, and whole by themselves.
pub fn end(scene: &Scene) -> Result<(), String> {
    let mut stage = scene.borrow_mut();
    let stage = &mut *stage;
    for partition in 0..stage.plan.partitions {
        let compacted = stage.broker.compacted(Topic::Attributions, partition).unwrap();
        let rows: Rows = compacted.into_iter().map(|row| (row.key.unwrap(), row.value.unwrap())).collect();
        let book = stage.ledger.book_mut(partition);
        let (expected, _) = book.answer.rows();
        if *expected != rows {
            return Err(format!("partition {partition} in the end: {}", differences(expected, &rows)));
        }
        whole(&rows)?;
        for input in Input::ALL {
            for (offset, record) in book.written.get(input).iter().enumerate() {
                let bad = matches!(record.meaning, Meaning::Bad(_));
                if bad != book.is_aside(input, offset as i64) {
                    return Err(format!("{} offset {offset} of partition {partition}: bad {bad}", input.name()));
                }
            }
        }
    }
    Ok(())
}

/// Credits and money of each conversion and model add up, and one revision stands in all rows of a conversion. This reads
/// the rows as a stranger would.
fn whole(rows: &Rows) -> Result<(), String> {
    let mut sums: BTreeMap<(String, String), (i64, i64, i64)> = BTreeMap::new();
    let mut revisions: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for (key, value) in rows {
        let mut json = Vec::new();
        if value.first() == Some(&0) {
            row_to_json(value, &mut json).map_err(|error| error.to_string())?;
        } else {
            json.clone_from(value);
        }
        let row: Value = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| row[name].as_i64().unwrap_or(i64::MIN);
        if text("row_id").as_bytes() != key {
            return Err(format!("the key {} holds the row {}", String::from_utf8_lossy(key), text("row_id")));
        }
        let sum = sums.entry((text("conversion_id"), text("model"))).or_default();
        sum.0 += number("credit_micros");
        sum.1 += number("credited_micros");
        sum.2 = number("conversion_micros");
        revisions.entry(text("conversion_id")).or_default().insert(number("revision"));
    }
    for (place, (credit, credited, value)) in sums {
        if credit != 1_000_000 || credited != value {
            return Err(format!("{place:?}: credits add up to {credit}, money to {credited} of {value}"));
        }
    }
    match revisions.into_iter().find(|(_, revisions)| revisions.len() > 1) {
        Some((conversion, revisions)) => Err(format!("{conversion} has revisions {revisions:?} at once")),
        None => Ok(()),
    }
}
