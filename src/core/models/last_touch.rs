//! Last touch: who closed the journey earns it all.

use crate::core::Touchpoint;

pub(super) fn weigh(path: &[Touchpoint<'_>], weights: &mut Vec<u64>) {
    super::all_to(path.len().saturating_sub(1), path.len(), weights);
}
