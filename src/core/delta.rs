//! What differs between the rows of one conversion before and after.

use std::cmp::Ordering;

use super::Row;

/// One difference. A row that is the same before and after is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'r, 'a> {
    /// The row is new.
    Added(&'r Row<'a>),
    /// The row says something else now.
    Replaced {
        /// What it said.
        before: &'r Row<'a>,
        /// What it says now.
        after: &'r Row<'a>,
    },
    /// The row is gone.
    Removed(&'r Row<'a>),
}

impl<'r, 'a> Change<'r, 'a> {
    /// The row before, if there was one.
    pub fn before(&self) -> Option<&'r Row<'a>> {
        match self {
            Self::Added(_) => None,
            Self::Replaced { before, .. } | Self::Removed(before) => Some(before),
        }
    }

    /// The row after, if there is one.
    pub fn after(&self) -> Option<&'r Row<'a>> {
        match self {
            Self::Removed(_) => None,
            Self::Replaced { after, .. } | Self::Added(after) => Some(after),
        }
    }
}

/// Calls `each` with every difference between two states of the rows of *one* conversion. Both vectors are as
/// [`super::row::credit`] fills them; where both hold rows they are left sorted by (model, touchpoint_id).
pub fn diff<'a>(before: &mut [Row<'a>], after: &mut [Row<'a>], mut each: impl FnMut(Change<'_, 'a>)) {
    if before.is_empty() {
        after.iter().for_each(|row| each(Change::Added(row)));
        return;
    }
    before.sort_unstable_by(place);
    after.sort_unstable_by(place);
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(o), Some(n)) => place(o, n),
        };
        let gone = if order.is_le() { old.next() } else { None };
        let here = if order.is_ge() { new.next() } else { None };
        match (gone, here) {
            (Some(before), Some(after)) if before == after => {}
            (Some(before), Some(after)) => each(Change::Replaced { before, after }),
            (Some(before), None) => each(Change::Removed(before)),
            (None, Some(after)) => each(Change::Added(after)),
            (None, None) => return,
        }
    }
}

fn place(a: &Row<'_>, b: &Row<'_>) -> Ordering {
    a.model.cmp(&b.model).then_with(|| a.touchpoint_id.as_bytes().cmp(b.touchpoint_id.as_bytes()))
}
