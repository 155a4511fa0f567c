//! The text of an API key: `trb_live_<id>_<secret><checksum>`.
//!
//! Id (16), secret (43) and checksum (6) are base62, so a double click selects the whole and
//! `trb_live_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}` finds a leaked one. 43 symbols drawn uniformly from 62 hold 256 bits. The
//! checksum is the CRC-32 of all that stands before it: a typo is told from a wrong key without a look-up.

use std::fmt;

use secrecy::zeroize::Zeroizing;

use super::Error;

const PREFIX: &str = "trb_live_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Symbols of the public id.
pub const ID_LENGTH: usize = 16;
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const LENGTH: usize = PREFIX.len() + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH;

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It has not the shape of a key.
    #[error("not an API key: it must look like trb_live_<16 symbols>_<49 symbols>")]
    Shape,
    /// It has the shape, but a symbol is wrong.
    #[error("the API key is mistyped: its checksum does not match")]
    Checksum,
}

/// A key as it came from a caller: well-formed, not yet known to be anybody's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// The public id.
    pub id: &'a str,
    /// The secret: compare only its keyed hash.
    pub(super) secret: &'a str,
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<'a> Token<'a> {
    /// Reads a key.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let rest = text.strip_prefix(PREFIX).ok_or(Malformed::Shape)?;
        let (id, rest) = rest.split_once('_').ok_or(Malformed::Shape)?;
        let shaped = id.len() == ID_LENGTH && rest.len() == SECRET_LENGTH + CHECKSUM_LENGTH;
        if !shaped || !id.bytes().chain(rest.bytes()).all(|b| b.is_ascii_alphanumeric()) {
            return Err(Malformed::Shape);
        }
        let (secret, given) = rest.split_at_checked(SECRET_LENGTH).ok_or(Malformed::Shape)?;
        let body = text.get(..text.len() - CHECKSUM_LENGTH).ok_or(Malformed::Shape)?;
        if checksum(body) != given {
            return Err(Malformed::Checksum);
        }
        Ok(Self { id, secret })
    }
}

/// A key just made. Its text is shown once.
pub struct Fresh {
    text: Zeroizing<String>,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh(…)")
    }
}

impl Fresh {
    /// Draws a new key from the operating system's randomness.
    pub fn draw() -> Result<Self, Error> {
        // With room for all of it: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(LENGTH));
        text.push_str(PREFIX);
        symbols(ID_LENGTH, &mut text)?;
        text.push('_');
        symbols(SECRET_LENGTH, &mut text)?;
        let sum = checksum(&text);
        text.push_str(&sum);
        Ok(Self { text })
    }

    /// The public id.
    pub fn id(&self) -> &str {
        self.text.get(PREFIX.len()..PREFIX.len() + ID_LENGTH).unwrap_or_default()
    }

    /// The whole key, secret included.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Appends `count` uniform base62 symbols. Bytes from 248 on are drawn again, or the first symbols would be likelier.
fn symbols(count: usize, into: &mut String) -> Result<(), Error> {
    let end = into.len() + count;
    let mut pool = Zeroizing::new([0; 64]);
    while into.len() < end {
        getrandom::fill(pool.as_mut_slice()).map_err(|e| Error::Random(e.to_string()))?;
        let fair = pool.iter().filter(|byte| **byte < 248).filter_map(|byte| DIGITS.get(usize::from(byte % 62)));
        into.extend(fair.take(end - into.len()).map(|digit| char::from(*digit)));
    }
    Ok(())
}

/// CRC-32 in base62, most significant symbol first.
fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut symbols = [b'0'; CHECKSUM_LENGTH];
    for symbol in symbols.iter_mut().rev() {
        *symbol = DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0');
        rest /= 62;
    }
    symbols.iter().map(|symbol| char::from(*symbol)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_reads_back() {
        let fresh = Fresh::draw().unwrap();
        let token = Token::parse(fresh.text()).unwrap();
        assert_eq!((token.id.len(), token.secret.len()), (ID_LENGTH, SECRET_LENGTH));
        assert_eq!(token.id, fresh.id());
        assert_ne!(Fresh::draw().unwrap().text(), fresh.text());
        assert!(!format!("{token:?}{fresh:?}").contains(token.secret));
    }

    #[test]
    fn every_single_typo_is_seen() {
        let fresh = Fresh::draw().unwrap();
        for place in 9..fresh.text().len() {
            let mut typo = fresh.text().as_bytes().to_vec();
            if typo[place] == b'_' {
                continue;
            }
            typo[place] = if typo[place] == b'x' { b'y' } else { b'x' };
            let typo = String::from_utf8(typo).unwrap();
            assert_eq!(Token::parse(&typo), Err(Malformed::Checksum), "at {place}");
        }
    }

    #[test]
    fn anything_else_is_no_key() {
        for text in [
            "",
            "trb_live_",
            "trb_live__",
            "trb_test_0123456789abcdef_x",
            "Bearer",
            "trb_live_é_é",
            "trb_live_0123456789abcdef_",
        ] {
            assert_eq!(Token::parse(text), Err(Malformed::Shape), "{text:?}");
        }
        let long = format!("{}0", Fresh::draw().unwrap().text());
        assert_eq!(Token::parse(&long), Err(Malformed::Shape));
    }

    #[test]
    fn symbols_are_uniform() {
        let mut text = String::new();
        symbols(62_000, &mut text).unwrap();
        for digit in DIGITS {
            let count = text.bytes().filter(|b| b == digit).count();
            assert!((800..1200).contains(&count), "{} came {count} times", char::from(*digit));
        }
    }

    #[test]
    fn no_text_that_chance_makes_is_a_key_or_a_panic() {
        proptest::proptest!(|(text in "\\PC{0,100}")| assert!(Token::parse(&text).is_err()));
        proptest::proptest!(|(text in "trb_live_[0-9A-Za-z_\u{e9}]{0,80}")| assert!(Token::parse(&text).is_err()));
    }
}
