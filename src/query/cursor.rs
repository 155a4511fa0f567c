//! Where a page goes on: a moment, and how many entries of that moment were given already. It is a place in a time line,
//! not in a list, so events that arrive between two pages neither repeat nor hide others that lie behind it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::core::Millis;
use crate::core::event::{END_TIME, MIN_TIME};

/// A place in a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) from: Millis,
    pub(super) skip: u32,
}

impl Cursor {
    /// Before the first entry there can be.
    pub(super) const START: Self = Self { from: MIN_TIME, skip: 0 };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 12];
        let (from, skip) = bytes.split_at_mut(8);
        from.copy_from_slice(&self.from.to_be_bytes());
        skip.copy_from_slice(&self.skip.to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// A text that no page gave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: take `next` of the page before as it is, or leave it out for the first page")]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let bytes: [u8; 12] = URL_SAFE_NO_PAD.decode(text).ok().and_then(|b| b.try_into().ok()).ok_or(NoCursor)?;
        let (from, skip) = bytes.split_first_chunk::<8>().ok_or(NoCursor)?;
        let from = Millis::from_be_bytes(*from);
        let skip = u32::from_be_bytes(skip.try_into().map_err(|_| NoCursor)?);
        (MIN_TIME..=END_TIME).contains(&from).then_some(Self { from, skip }).ok_or(NoCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_refuses_the_rest() {
        let cursor = Cursor { from: 1_700_000_000_123, skip: 4 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "x", "AAAAAAAAAAAAAAAA", "é", "////////////////", &cursor.to_string()[1..]] {
            assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "{text:?}");
        }
    }
}
