//! Reading bytes without panics: the cursor under the stored records and under Avro.

/// Takes from the front of some bytes; whatever is not there is `None`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*array)
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// An unsigned number, seven bits a byte, least significant first, at most ten bytes.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, BadVarint> {
        let (first, rest) = self.rest.split_first().ok_or(BadVarint::Truncated)?;
        if *first < 0x80 {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, BadVarint> {
        let mut value = 0u64;
        let mut shift = 0u32;
        loop {
            let byte = self.byte().ok_or(BadVarint::Truncated)?;
            // The tenth byte holds the 64th bit and nothing else.
            if shift == 63 && byte > 1 {
                return Err(BadVarint::Overlong);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }
}

/// Why there is no number at the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadVarint {
    /// The bytes end inside it.
    Truncated,
    /// It has more than 64 bits.
    Overlong,
}

/// Appends an unsigned number as [`Cursor::varint`] reads it, in as few bytes as it takes.
#[inline]
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_comes_back() {
        for value in (0..64).map(|bit| 1u64 << bit).flat_map(|v| [v - 1, v, v + 1]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.varint(), Ok(value));
            assert_eq!(cursor.left(), 0);
            let mut cut = Cursor::new(&bytes[..bytes.len() - 1]);
            assert_eq!(cut.varint(), Err(BadVarint::Truncated));
        }
    }

    #[test]
    fn more_than_64_bits_are_refused() {
        let mut eleven = [0x80u8; 11];
        eleven[10] = 0;
        assert_eq!(Cursor::new(&eleven).varint(), Err(BadVarint::Overlong));
        let mut ten = [0xffu8; 10];
        ten[9] = 2;
        assert_eq!(Cursor::new(&ten).varint(), Err(BadVarint::Overlong));
        ten[9] = 1;
        assert_eq!(Cursor::new(&ten).varint(), Ok(u64::MAX));
    }
}
