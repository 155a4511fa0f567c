//! What is remembered by schema id, within bounds.

use hashbrown::HashMap;

/// The entries used of late, in two generations: when the young one is full, it becomes the old one and the old one is
/// forgotten. An entry that is used moves to the young, so what is used often stays, whatever else comes by.
#[derive(Debug)]
pub(crate) struct Generations<V> {
    young: HashMap<u32, V>,
    old: HashMap<u32, V>,
    half: usize,
}

impl<V> Generations<V> {
    /// Remembers at most `capacity` entries, and at least half of that.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (capacity / 2).max(1) }
    }

    /// What is remembered for that id.
    pub(crate) fn get(&mut self, id: u32) -> Option<&V> {
        if let Some(value) = self.old.remove(&id) {
            self.insert(id, value);
        }
        self.young.get(&id)
    }

    /// Remembers `value` for that id in place of what there was.
    pub(crate) fn insert(&mut self, id: u32, value: V) {
        self.old.remove(&id);
        if self.young.len() >= self.half && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, value);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut cache = Generations::new(10);
        cache.insert(7, "good");
        for strange in 1000..100_000 {
            assert_eq!(cache.get(strange), None);
            cache.insert(strange, "strange");
            assert!(cache.len() <= 10);
            if strange % 4 == 0 {
                assert_eq!(cache.get(7), Some(&"good"), "after {strange}");
            }
        }
        assert_eq!(cache.get(1000), None);
        assert_eq!(cache.get(99_999), Some(&"strange"));
    }

    #[test]
    fn the_last_word_counts() {
        let mut cache = Generations::new(4);
        for (id, value) in [(1, 1), (2, 2), (3, 3), (1, 10), (1, 11)] {
            cache.insert(id, value);
        }
        assert_eq!(cache.get(1), Some(&11));
        assert!(cache.len() <= 4);
    }
}
