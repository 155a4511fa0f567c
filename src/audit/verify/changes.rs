//! Which changes of a chain were allowed, and neither done nor failed.

use std::collections::VecDeque;

use super::super::entry::Entry;

/// Actions that stand between two entries.
const CHANGES: [&str; 5] = ["key.create", "key.rotate", "key.revoke", "ingest", "reload"];
/// How many are remembered: far more than are ever under way.
const MOST: usize = 1_024;

/// What the two entries of a change have in common.
#[derive(PartialEq, Eq)]
struct Change {
    actor: String,
    action: String,
    object: String,
    request_id: String,
}

/// A change that is not known to have ended.
pub(super) struct Unfinished {
    pub(super) seq: u64,
    /// Action and object.
    pub(super) what: String,
}

/// First and second entries that the other is missing of. Where entries were written again, a second may be read first.
#[derive(Default)]
pub(super) struct Changes {
    allowed: VecDeque<(u64, Change)>,
    ended: VecDeque<(u64, Change)>,
}

impl Changes {
    /// Takes an entry that was not read before.
    pub(super) fn take(&mut self, entry: &Entry) {
        if !CHANGES.contains(&entry.action.as_str()) {
            return;
        }
        let (mine, others) = match entry.outcome.as_str() {
            "allowed" => (&mut self.allowed, &mut self.ended),
            "done" | "failed" => (&mut self.ended, &mut self.allowed),
            _ => return,
        };
        let change = Change {
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            object: entry.object.clone(),
            request_id: entry.request_id.clone(),
        };
        match others.iter().position(|(_, other)| *other == change) {
            Some(place) => drop(others.remove(place)),
            None => mine.push_back((entry.seq, change)),
        }
        if mine.len() > MOST {
            mine.pop_front(); // a forger's, or of a log of which much is missing, which is told of
        }
    }

    /// Those that have not ended so far. They are told once.
    pub(super) fn unfinished(&mut self) -> Vec<Unfinished> {
        let named =
            |(seq, change): (u64, Change)| Unfinished { seq, what: format!("{} {}", change.action, change.object) };
        std::mem::take(&mut self.allowed).into_iter().map(named).collect()
    }
}
