//! Records in a row that made our code panic. One is a bad record: it is set aside. Many in a row are a bad build, which
//! must not empty a topic into the dead letters.

use std::collections::BTreeMap;

use super::prepare::{PANIC, Place};
use crate::core::Fault;
use crate::topics::{Input, Offset};

/// So many in a row end the process.
const MOST: usize = 50;

/// The last records in a row that made our code panic.
#[derive(Debug, Default)]
pub struct Panics {
    row: Vec<(u32, Place)>,
}

impl Panics {
    /// A record was used, or set aside because of this fault. One that is bad by itself says nothing of our code, so it
    /// neither counts nor ends the row.
    pub fn count(&mut self, partition: u32, place: Place, fault: Option<&Fault>) {
        match fault {
            None => self.row.clear(),
            Some(fault) if fault.field == PANIC => self.row.push((partition, place)),
            Some(_) => {}
        }
    }

    /// Why the process must end, if there were too many.
    pub fn verdict(&self) -> Option<String> {
        (self.row.len() >= MOST).then(|| {
            format!(
                "{} records in a row made this version panic and were set aside ({}), so it is rather at fault itself: run another version, and send these records in again from the dead-letter topic, where they lie whole with the reason {PANIC:?}; this version, started again, would set the next {MOST} aside",
                self.row.len(),
                self.places()
            )
        })
    }

    fn places(&self) -> String {
        let mut places: BTreeMap<(u32, Input), Vec<Offset>> = BTreeMap::new();
        for (partition, (input, offset)) in &self.row {
            places.entry((*partition, *input)).or_default().push(*offset);
        }
        let texts = places.into_iter().map(|((partition, input), mut offsets)| {
            offsets.sort_unstable();
            format!("partition {partition}: {} at offsets {}", input.name(), ranges(&offsets))
        });
        texts.collect::<Vec<_>>().join("; ")
    }
}

/// Sorted offsets, those that follow one another as `first-last`.
fn ranges(offsets: &[Offset]) -> String {
    let runs = offsets.chunk_by(|a, b| *b == *a + 1).filter_map(|run| Some((*run.first()?, *run.last()?)));
    let texts = runs.map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panicked(panics: &mut Panics, partition: u32, input: Input, offsets: std::ops::Range<Offset>) {
        let fault = Fault::new(PANIC, "index out of bounds");
        offsets.for_each(|offset| panics.count(partition, (input, offset), Some(&fault)));
    }

    #[test]
    fn a_row_ends_with_a_record_that_is_used_and_not_with_a_bad_one() {
        let mut panics = Panics::default();
        panicked(&mut panics, 0, Input::Touchpoints, 0..49);
        assert_eq!(panics.verdict(), None);
        panics.count(0, (Input::Touchpoints, 49), None);
        panicked(&mut panics, 0, Input::Touchpoints, 50..99);
        assert_eq!(panics.verdict(), None);
        panics.count(0, (Input::Touchpoints, 99), Some(&Fault::new("value", "null")));
        assert_eq!(panics.verdict(), None);
        panicked(&mut panics, 0, Input::Touchpoints, 100..101);
        assert!(panics.verdict().is_some());
    }

    #[test]
    fn the_verdict_names_every_record() {
        let mut panics = Panics::default();
        panicked(&mut panics, 3, Input::Conversions, 7..8);
        panicked(&mut panics, 0, Input::Touchpoints, 0..40);
        panicked(&mut panics, 3, Input::Conversions, 9..18);
        let verdict = panics.verdict().unwrap();
        let places = "(partition 0: touchpoints at offsets 0-39; partition 3: conversions at offsets 7, 9-17)";
        assert!(verdict.starts_with("50 records in a row") && verdict.contains(places), "{verdict}");
        assert!(verdict.contains("run another version"), "{verdict}");
    }
}
