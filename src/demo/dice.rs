//! Chance from a seed: splitmix64 (Steele, Lea, Flood 2014). A library's generators may change between versions; the
//! events of a seed must not, for tests and benchmarks are compared over time.

/// A stream of random numbers, the same for the same seed on every machine.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of `seed`, at `position`.
    pub fn new(seed: u64, position: u64) -> Self {
        let mut mixed = Self(seed);
        Self(mixed.roll() ^ position.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// 64 random bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below `end` (0 for an `end` of 0), by multiplication: the bias is below `end` / 2^64.
    pub fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.roll()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A number from `low` to `high`, both in.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `chance` times in a thousand.
    pub fn permille(&mut self, chance: u64) -> bool {
        self.below(1_000) < chance
    }

    /// A number from `low` to `high`, small ones as likely as large ones: every doubling has the same chance.
    pub fn scaled(&mut self, low: u64, high: u64) -> u64 {
        let doublings = (high / low.max(1)).max(1).ilog2();
        let floor = low << self.below(u64::from(doublings) + 1);
        self.between(floor, (2 * floor).min(high).max(floor))
    }

    /// One of `items`, by their weights; none only where there is no weight at all.
    pub fn weighted<'i, T>(&mut self, items: &'i [T], weight: impl Fn(&T) -> u64) -> Option<&'i T> {
        let total = items.iter().map(&weight).sum();
        let mut left = self.below(total);
        items.iter().find(|item| {
            let weight = weight(item);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        })
    }

    /// One of `items`, each as likely; the default where there is none.
    pub fn pick<T: Copy + Default>(&mut self, items: &[T]) -> T {
        let index = self.below(items.len() as u64);
        items.get(usize::try_from(index).unwrap_or(0)).copied().unwrap_or_default()
    }
}
