//! The path of a conversion: the touchpoints that may earn its credit.

use hashbrown::HashSet;

use super::{Conversion, Rules, Touchpoint, journey};

/// The touchpoints of one conversion inside its lookback window, oldest first, as they are credited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path<'a> {
    /// At most `max_path` touchpoints, each event_id once, ordered by (occurred_at, event_id).
    pub touchpoints: Vec<Touchpoint<'a>>,
    /// All touchpoints of the window by identity, also those that are not credited; they count in the revision.
    pub in_window: usize,
    /// Whether there were more distinct touchpoints than `max_path`.
    pub truncated: bool,
}

/// How many event ids are compared one by one before a hash set pays.
const FEW: usize = 24;

/// The path of `conversion` in a settled journey of its user.
pub fn of<'a>(conversion: &Conversion<'a>, journey: &[Touchpoint<'a>], rules: &Rules) -> Path<'a> {
    let from = conversion.occurred_at.saturating_sub(rules.lookback_ms());
    let window = journey::between(journey, from, conversion.occurred_at);
    let mut touchpoints = Vec::with_capacity(window.len().min(rules.max_path()));
    let mut truncated = false;
    let mut seen = Seen::default();
    // From the latest on: an id that was sent again with a new time counts at its latest, and a truncated path keeps
    // its end, so nothing older than the first `max_path` has to be looked at.
    for touchpoint in window.iter().rev() {
        if !seen.insert(&touchpoints, touchpoint.event_id) {
            continue;
        }
        if touchpoints.len() == rules.max_path() {
            truncated = true;
            break;
        }
        touchpoints.push(*touchpoint);
    }
    touchpoints.reverse();
    Path { touchpoints, in_window: window.len(), truncated }
}

/// The event ids met so far: the path itself while it is short, a set beyond that.
#[derive(Default)]
struct Seen<'a>(HashSet<&'a str>);

impl<'a> Seen<'a> {
    fn insert(&mut self, path: &[Touchpoint<'a>], event_id: &'a str) -> bool {
        if path.len() < FEW {
            return path.iter().all(|t| t.event_id != event_id);
        }
        if self.0.is_empty() {
            self.0.extend(path.iter().map(|t| t.event_id));
        }
        self.0.insert(event_id)
    }
}
