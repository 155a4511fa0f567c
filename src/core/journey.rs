//! Journeys as sets: of two events with the same identity the greater stands, so no order of arrival can show.

use std::cmp::Ordering;

use super::{Adjustment, Conversion, Millis, Touchpoint};

/// Turns the touchpoints of *one user*, in any order and with any duplicates, into the journey: sorted by
/// (occurred_at, event_id), each identity once, the greater of conflicting duplicates kept. Returns how many conflicting
/// duplicates (same identity, other content) fell away.
pub fn settle(touchpoints: &mut Vec<Touchpoint<'_>>) -> usize {
    if touchpoints.windows(2).all(|pair| matches!(pair, [a, b] if place(a, b) == Ordering::Less)) {
        return 0;
    }
    // Within one identity the greatest comes first, and the first is the one that `dedup_by` keeps.
    touchpoints.sort_unstable_by(|a, b| place(a, b).then_with(|| b.cmp(a)));
    let mut conflicts = 0;
    touchpoints.dedup_by(|later, kept| {
        let same = place(kept, later) == Ordering::Equal;
        conflicts += usize::from(same && later != kept);
        same
    });
    conflicts
}

fn place(a: &Touchpoint<'_>, b: &Touchpoint<'_>) -> Ordering {
    a.occurred_at.cmp(&b.occurred_at).then_with(|| a.event_id.as_bytes().cmp(b.event_id.as_bytes()))
}

/// The slice of a settled journey with `occurred_at` in [from, to], both ends in.
pub fn between<'s, 'a>(journey: &'s [Touchpoint<'a>], from: Millis, to: Millis) -> &'s [Touchpoint<'a>] {
    let start = journey.partition_point(|t| t.occurred_at < from);
    let end = journey.partition_point(|t| t.occurred_at <= to);
    journey.get(start..end).unwrap_or_default()
}

/// Turns the adjustments of *one conversion* into a set sorted by event_id, the greater of conflicting duplicates kept.
/// Returns how many conflicting duplicates fell away.
pub fn settle_adjustments(adjustments: &mut Vec<Adjustment<'_>>) -> usize {
    adjustments.sort_unstable_by(|a, b| a.event_id.as_bytes().cmp(b.event_id.as_bytes()).then_with(|| b.cmp(a)));
    let mut conflicts = 0;
    adjustments.dedup_by(|later, kept| {
        let same = kept.event_id == later.event_id;
        conflicts += usize::from(same && later != kept);
        same
    });
    conflicts
}

/// What a conversion is worth after its adjustments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It counts, with this value in micros and this currency.
    Counts {
        /// Micros of `currency`; 0 where the event gave none.
        value_micros: i64,
        /// The currency, if one is known.
        currency: Option<&'a str>,
    },
    /// It was taken back and earns nobody anything.
    Retracted,
}

/// The standing of a conversion: the greatest adjustment by (occurred_at, event_id) has the last word.
pub fn standing<'a>(conversion: &Conversion<'a>, adjustments: &[Adjustment<'a>]) -> Standing<'a> {
    let last = adjustments.iter().max_by(|a, b| {
        a.occurred_at.cmp(&b.occurred_at).then_with(|| a.event_id.as_bytes().cmp(b.event_id.as_bytes()))
    });
    match last {
        None => Standing::Counts { value_micros: conversion.value_micros.unwrap_or(0), currency: conversion.currency },
        Some(Adjustment { value_micros: Some(value_micros), currency, .. }) => {
            Standing::Counts { value_micros: *value_micros, currency: *currency }
        }
        Some(_) => Standing::Retracted,
    }
}
