//! First touch: who opened the journey earns it all.

use crate::core::Touchpoint;

pub(super) fn weigh(path: &[Touchpoint<'_>], weights: &mut Vec<u64>) {
    super::all_to(0, path.len(), weights);
}
