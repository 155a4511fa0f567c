//! Linear: everybody on the path earns the same.

use crate::core::Touchpoint;

pub(super) fn weigh(path: &[Touchpoint<'_>], weights: &mut Vec<u64>) {
    weights.resize(path.len(), 1);
}
