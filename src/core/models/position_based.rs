//! Position based, "U-shaped": 40 % to the opener, 40 % to the closer, 20 % shared by those between. With weights of
//! 2(n - 2) at the ends and 1 between, the ends have 4(n - 2) of 5(n - 2), which is exact in integers.

use crate::core::Touchpoint;

pub(super) fn weigh(path: &[Touchpoint<'_>], weights: &mut Vec<u64>) {
    weights.resize(path.len(), 1);
    if let [first, middle @ .., last] = weights.as_mut_slice() {
        let end = 2 * middle.len() as u64;
        if end > 0 {
            *first = end;
            *last = end;
        }
    }
}
