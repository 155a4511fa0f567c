//! Bytes from a seed.

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Spoils them a little.
pub fn bend(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len());
    match dice.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, dice.next() as u8),
        2 => drop((!bytes.is_empty()).then(|| bytes.remove(at))),
        3 => {
            let tail = bytes.split_off(at);
            bytes.extend_from_slice(&[0xff; 9][..dice.below(10)]);
            bytes.extend(tail);
        }
        4 => {
            let copy = bytes[at..].to_vec();
            bytes.extend(copy);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
    }
}
