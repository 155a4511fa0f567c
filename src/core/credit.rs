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

#[cfg(test)]
mod tests {
    use super::share;

    fn shares(total: i64, weights: &[u64]) -> Vec<i64> {
        let mut shares = Vec::new();
        share(total, weights, &mut shares);
        shares
    }

    #[test]
    fn ties_go_to_the_earlier() {
        assert_eq!(shares(1_000_000, &[1, 1, 1]), [333_334, 333_333, 333_333]);
        assert_eq!(shares(2, &[1, 1, 1]), [1, 1, 0]);
        assert_eq!(shares(1, &[1, 1]), [1, 0]);
        assert_eq!(shares(5, &[0, 1, 1]), [0, 3, 2]);
    }

    #[test]
    fn the_largest_remainder_comes_first() {
        // Exact shares 1.5, 2.25, 1.25: one is left over, and 0.5 is the largest remainder.
        assert_eq!(shares(5, &[6, 9, 5]), [2, 2, 1]);
        // 0.7, 2.1, 4.2: floors 0, 2, 4.
        assert_eq!(shares(7, &[1, 3, 6]), [1, 2, 4]);
        // 0.2, 0.9, 0.9: two are left over, the smallest remainder gets none though it is the earliest.
        assert_eq!(shares(2, &[2, 9, 9]), [0, 1, 1]);
    }

    #[test]
    fn nothing_is_lost_at_the_ends_of_the_range() {
        assert_eq!(shares(0, &[3, 4]), [0, 0]);
        assert_eq!(shares(9, &[]), [0i64; 0]);
        assert_eq!(shares(9, &[0, 0]), [0, 9]);
        let most = 1_000_000_000_000_000;
        assert_eq!(shares(most, &[1 << 52, 1 << 52, 1 << 52]).iter().sum::<i64>(), most);
        assert_eq!(shares(most, &[1 << 52; 10_000]), [100_000_000_000; 10_000]);
        assert_eq!(shares(most, &[1, 1 << 52]), [0, most]);
    }
}
