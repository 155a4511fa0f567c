//! One user's events, settled and credited.

use crate::core::row::{Scratch, credit};
use crate::core::{Adjustment, Conversion, Row, Rules, Touchpoint, journey};

use super::{Summary, order};

/// What came of one user, in any order, with any duplicates.
#[derive(Default)]
pub(super) struct Events<'a> {
    pub(super) touchpoints: Vec<Touchpoint<'a>>,
    pub(super) conversions: Vec<Conversion<'a>>,
    pub(super) adjustments: Vec<Adjustment<'a>>,
}

impl<'a> Events<'a> {
    pub(super) fn clear(&mut self) {
        self.touchpoints.clear();
        self.conversions.clear();
        self.adjustments.clear();
    }

    /// Whether all of it is of one user, as it is unless the hashes of two users are the same.
    pub(super) fn is_of_one_user(&self) -> bool {
        let mut ids = self.user_ids();
        let first = ids.next();
        ids.all(|id| Some(id) == first)
    }

    /// The user of each event.
    pub(super) fn user_ids(&self) -> impl Iterator<Item = &'a str> + '_ {
        let touched = self.touchpoints.iter().map(|t| t.user_id);
        let converted = self.conversions.iter().map(|c| c.user_id);
        touched.chain(converted).chain(self.adjustments.iter().map(|a| a.user_id))
    }

    /// The events of one of several users.
    pub(super) fn of(&self, user_id: &str) -> Self {
        Self {
            touchpoints: self.touchpoints.iter().filter(|t| t.user_id == user_id).copied().collect(),
            conversions: self.conversions.iter().filter(|c| c.user_id == user_id).copied().collect(),
            adjustments: self.adjustments.iter().filter(|a| a.user_id == user_id).copied().collect(),
        }
    }
}

/// Credits one user after the other, in room that it keeps.
pub(super) struct Creditor<'a, 'r> {
    rules: &'r Rules,
    scratch: Scratch,
    rows: Vec<Row<'a>>,
    of_one: Vec<Adjustment<'a>>,
    /// What was met; of what is read and written, nothing.
    pub(super) counts: Summary,
}

impl<'a, 'r> Creditor<'a, 'r> {
    pub(super) fn new(rules: &'r Rules) -> Self {
        let (scratch, rows, of_one, counts) = Default::default();
        Self { rules, scratch, rows, of_one, counts }
    }

    /// Calls `each` with every conversion of the user and its rows, sorted by id; a retracted one has none.
    pub(super) fn credit(&mut self, events: &mut Events<'a>, each: &mut impl FnMut(&Conversion<'a>, &[Row<'a>])) {
        let conflicts = journey::settle(&mut events.touchpoints) + settle_conversions(&mut events.conversions);
        self.counts.conflicting_duplicates += conflicts as u64;
        self.counts.distinct_conversions += events.conversions.len() as u64;
        events.adjustments.sort_unstable_by(|a, b| a.adjusts.as_bytes().cmp(b.adjusts.as_bytes()));
        let mut adjusted = events.adjustments.as_slice();
        for conversion in &events.conversions {
            // Both are sorted by the conversion's id, so one walk meets each with its adjustments.
            adjusted = self.wait(adjusted, |a| a.adjusts.as_bytes() < conversion.event_id.as_bytes());
            let own = adjusted.partition_point(|a| a.adjusts == conversion.event_id);
            let (own, rest) = adjusted.split_at_checked(own).unwrap_or_default();
            adjusted = rest;
            self.settle_adjustments(own);
            self.rows.clear();
            let Self { rules, scratch, rows, of_one, .. } = self;
            credit(conversion, of_one, &events.touchpoints, rules, scratch, rows);
            order::sort(rows);
            each(conversion, rows);
            self.counts.retracted += u64::from(self.rows.is_empty());
        }
        self.wait(adjusted, |_| true);
    }

    /// Counts the adjustments at the front that no conversion claims, and returns the others.
    fn wait<'e>(
        &mut self,
        mut adjusted: &'e [Adjustment<'a>],
        unclaimed: impl Fn(&Adjustment<'a>) -> bool,
    ) -> &'e [Adjustment<'a>] {
        while let Some(first) = adjusted.first().filter(|a| unclaimed(a)) {
            let own = adjusted.partition_point(|a| a.adjusts == first.adjusts);
            let (own, rest) = adjusted.split_at_checked(own).unwrap_or_default();
            self.settle_adjustments(own);
            self.counts.waiting_adjustments += self.of_one.len() as u64;
            adjusted = rest;
        }
        adjusted
    }

    fn settle_adjustments(&mut self, own: &[Adjustment<'a>]) {
        self.of_one.clear();
        self.of_one.extend_from_slice(own);
        self.counts.conflicting_duplicates += journey::settle_adjustments(&mut self.of_one) as u64;
    }
}

/// Sorts one user's conversions by id, each once, the greater of conflicting duplicates kept. Returns how many
/// conflicting duplicates fell away.
fn settle_conversions(conversions: &mut Vec<Conversion<'_>>) -> usize {
    conversions.sort_unstable_by(|a, b| a.event_id.as_bytes().cmp(b.event_id.as_bytes()).then_with(|| b.cmp(a)));
    let mut conflicts = 0;
    conversions.dedup_by(|later, kept| {
        let same = later.event_id == kept.event_id;
        conflicts += usize::from(same && later != kept);
        same
    });
    conflicts
}
