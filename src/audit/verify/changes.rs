//! Which changes of a chain were allowed, and neither done nor failed.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_128;

use super::super::entry::{Action, Entry, cut};

/// How many are remembered: far more than are ever under way.
const MOST: usize = 1_024;

/// The hash of what the two entries of a change have in common: a forger's texts may be long. Two changes of the same hash
/// would hide a note that one of them has no second entry, which whoever forges entries can as well write.
type Change = u128;

/// A change that is not known to have ended.
pub(super) struct Unfinished {
    pub(super) seq: u64,
    /// Action and object.
    pub(super) what: String,
    change: Change,
}

/// First and second entries that the other is missing of. Where entries were written again, a second may be read first.
#[derive(Default)]
pub(super) struct Changes {
    allowed: VecDeque<Unfinished>,
    ended: VecDeque<Change>,
}

impl Changes {
    /// Takes an entry that was not read before.
    pub(super) fn take(&mut self, entry: &Entry) {
        let Entry { seq, actor, action, object, request_id, .. } = entry;
        if !Action::named(action).is_some_and(Action::is_change) {
            return;
        }
        let change = xxh3_128(format!("{:?}", (actor, action, object, request_id)).as_bytes());
        match entry.outcome.as_str() {
            "allowed" if !take_out(&mut self.ended, |ended| *ended == change) => {
                keep(&mut self.allowed, Unfinished { seq: *seq, what: format!("{action} {}", cut(object)), change });
            }
            "done" | "failed" if !take_out(&mut self.allowed, |allowed| allowed.change == change) => {
                keep(&mut self.ended, change);
            }
            _ => {}
        }
    }

    /// Those that have not ended so far. Called once, at the end of the chain or of the log, it forgets the others too.
    pub(super) fn unfinished(&mut self) -> Vec<Unfinished> {
        std::mem::take(self).allowed.into()
    }
}

/// Takes the first out that is meant. Whether there was one.
fn take_out<T>(from: &mut VecDeque<T>, is_it: impl FnMut(&T) -> bool) -> bool {
    let place = from.iter().position(is_it);
    place.and_then(|place| from.remove(place)).is_some()
}

fn keep<T>(among: &mut VecDeque<T>, one: T) {
    among.push_back(one);
    if among.len() > MOST {
        among.pop_front(); // a forger's, or of a log of which much is missing, which is told of
    }
}
