//! Which touchpoints may be late, without a read: a touchpoint needs the conversions of its user only when one of them
//! happened at or after it.

use crate::core::Millis;
use crate::store::UserKey;

const SLOTS: usize = 1 << 16;

/// An upper bound of the latest conversion of each user: a fixed table of maxima in which users share slots, so memory
/// is bounded and a wrong answer is only ever a needless read. It costs nothing to open: the slots start out at the
/// latest conversion of the whole partition.
#[derive(Debug)]
pub struct LateFilter {
    floor: u32,
    slots: Vec<u32>,
}

impl LateFilter {
    /// A filter for a state whose latest conversion is `latest` (event time in ms).
    pub fn new(latest: Millis) -> Self {
        Self { floor: ceil_seconds(latest), slots: Vec::new() }
    }

    /// Whether the user may have a conversion at or after `occurred_at`.
    pub fn may_be_late(&self, user: UserKey, occurred_at: Millis) -> bool {
        let latest = self.slots.get(slot(user)).copied().unwrap_or(0).max(self.floor);
        latest >= floor_seconds(occurred_at)
    }

    /// Remembers a conversion that the state now holds.
    pub fn add(&mut self, user: UserKey, occurred_at: Millis) {
        let latest = ceil_seconds(occurred_at);
        if latest <= self.floor {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, 0);
        }
        if let Some(slot) = self.slots.get_mut(slot(user)) {
            *slot = (*slot).max(latest);
        }
    }
}

fn slot(user: UserKey) -> usize {
    let [a, b, ..] = *user.bytes();
    usize::from(u16::from_be_bytes([a, b]))
}

fn floor_seconds(at: Millis) -> u32 {
    u32::try_from(at / 1000).unwrap_or(0) // checked events lie between 2000 and 2100
}

fn ceil_seconds(at: Millis) -> u32 {
    u32::try_from((at + 999) / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Hasher;

    #[test]
    fn a_conversion_at_or_after_the_touchpoint_is_always_seen() {
        let mut filter = LateFilter::new(0);
        let user = Hasher::Plain.user("u1");
        filter.add(user, 1_700_000_000_001);
        assert!(filter.may_be_late(user, 1_700_000_000_001));
        assert!(filter.may_be_late(user, 1_600_000_000_000));
        assert!(!filter.may_be_late(user, 1_700_000_002_000));
        assert!(!filter.may_be_late(Hasher::Plain.user("u2"), 1_600_000_000_000));
    }

    #[test]
    fn an_opened_state_starts_from_its_latest_conversion() {
        let filter = LateFilter::new(1_700_000_000_000);
        assert!(filter.may_be_late(Hasher::Plain.user("anyone"), 1_699_999_999_999));
        assert!(!filter.may_be_late(Hasher::Plain.user("anyone"), 1_700_000_001_000));
    }
}
