//! What an embedded log says, and what one batch pass over its inputs says.

use std::collections::BTreeMap;

use tributary::codec::json;
use tributary::core::Rules;
use tributary::replay;
use tributary::topics::embedded::{Broker, Topic};

/// Rows by their id.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The rows that the log has, and those of one batch pass over its inputs.
pub fn streamed_and_batch(broker: &Broker) -> (Rows, Rows) {
    let partitions = broker.partitions().get();
    let mut streamed = BTreeMap::new();
    let all = |topic| {
        let records = (0..partitions).flat_map(|number| broker.read(topic, number, 0, usize::MAX).unwrap());
        records.map(|record| record.value.unwrap()).collect::<Vec<_>>()
    };
    let (touchpoints, conversions) = (all(Topic::Touchpoints), all(Topic::Conversions));
    for row in (0..partitions).flat_map(|number| broker.compacted(Topic::Attributions, number).unwrap()) {
        streamed.insert(row.key.unwrap(), row.value.unwrap());
    }
    let touchpoints: Vec<_> = touchpoints.iter().map(|bytes| json::touchpoint(bytes).unwrap()).collect();
    let conversions: Vec<_> = conversions.iter().map(|bytes| json::conversion(bytes).unwrap()).collect();
    let rows = replay::rows_of(
        touchpoints.iter().map(|draft| draft.check().unwrap()),
        conversions.iter().map(|draft| draft.check().unwrap()),
        &Rules::default(),
    );
    (streamed, rows.into_iter().collect())
}
