//! Time decay: a touchpoint one half-life older than the path's last weighs half of it.

use crate::core::{Millis, Touchpoint};

/// 2^52: the last touchpoint's weight, so that weights are whole numbers which 64-bit floats hold exactly.
const ONE: f64 = 4_503_599_627_370_496.0;

/// The weight is floor(2^52 * 2^(-(t_last - t_i) / half_life) + 1/2). Only one division and `libm::exp2` are not exact,
/// and both are the same on every machine.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
// Times and half-lives lie below 2^53 milliseconds, the weight in [0, 2^52].
pub(super) fn weigh(path: &[Touchpoint<'_>], half_life_ms: Millis, weights: &mut Vec<u64>) {
    let last = path.last().map_or(0, |t| t.occurred_at);
    weights.extend(path.iter().map(|t| {
        let age = (last - t.occurred_at) as f64;
        (ONE * libm::exp2(-age / half_life_ms as f64) + 0.5).floor() as u64
    }));
}
