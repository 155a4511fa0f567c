//! Shares that add up exactly: the largest remainder method (Hamilton's) in 128-bit integers.

/// All of the credit of one conversion under one model, in micros.
pub const WHOLE: i64 = 1_000_000;

/// Shares `total` (not negative) out by `weights` into `shares`, which is cleared first and ends as long as `weights`:
/// each gets the floor of its exact share, then one more each to the largest remainders, ties to the earlier.
///
/// The shares add up to `total` exactly. Weights that are all 0 give everything to the last; an empty `weights` leaves
/// `shares` empty.
pub fn share(total: i64, weights: &[u64], shares: &mut Vec<i64>) {
    shares.clear();
    let total = u128::from(total.unsigned_abs());
    let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum();
    if sum == 0 {
        shares.resize(weights.len(), 0);
        if let Some(last) = shares.last_mut() {
            *last = narrow(total);
        }
        return;
    }
    let mut left = total;
    let mut remainders = Vec::with_capacity(weights.len());
    for weight in weights {
        let (floor, remainder) = divide(total, *weight, sum);
        left -= floor;
        shares.push(narrow(floor));
        remainders.push(remainder);
    }
    if left > 0 {
        hand_out(left, &remainders, shares);
    }
}

/// `total * weight / sum` and its remainder, in 64 bits where they fit: that is ten times cheaper.
fn divide(total: u128, weight: u64, sum: u128) -> (u128, u128) {
    let product = total * u128::from(weight);
    match (u64::try_from(product), u64::try_from(sum)) {
        (Ok(product), Ok(sum)) => (u128::from(product / sum), u128::from(product % sum)),
        _ => (product / sum, product % sum),
    }
}

/// One more each to the `left` largest remainders, ties to the earlier. `left` is below the number of shares.
fn hand_out(left: u128, remainders: &[u128], shares: &mut [i64]) {
    let mut order: Vec<usize> = (0..remainders.len()).collect();
    order.sort_by(|a, b| remainders.get(*b).cmp(&remainders.get(*a))); // stable, so ties stay in order
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    for index in order.into_iter().take(left) {
        if let Some(share) = shares.get_mut(index) {
            *share += 1;
        }
    }
}

/// A share never exceeds the total, which came from an i64.
fn narrow(share: u128) -> i64 {
    i64::try_from(share).unwrap_or(i64::MAX)
}
