//! Durations and sizes as people write them: `30d`, `250ms`, `512MiB`. A bare number has no unit and is refused.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration in whole milliseconds, written as a number and one of `ms`, `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// A number of bytes, written as a number and one of `B`, `KiB`, `MiB`, `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

/// Largest first, so that a value is written with the largest unit that divides it.
const SPANS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Span {
    /// A span of milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// A span of seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000)
    }

    /// A span of days.
    pub const fn from_days(days: u64) -> Self {
        Self(days * 86_400_000)
    }

    /// Whole milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// As the standard library's type.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl Size {
    /// A size in MiB.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// A size in KiB.
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// Bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Bytes, as lengths in memory are counted.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse(&text, &SPANS, "a duration like 250ms, 10s, 5m, 12h or 30d").map(Self)
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse(&text, &SIZES, "a size like 64KiB, 512MiB or 2GiB").map(Self)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, &SPANS, f)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, &SIZES, f)
    }
}

fn parse(text: &str, units: &[(&str, u64)], wanted: &str) -> Result<u64, String> {
    let refuse = || format!("{text:?} is not {wanted}");
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at_checked(digits).ok_or_else(refuse)?;
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(refuse)?;
    number.checked_mul(*scale).ok_or_else(|| format!("{text:?} is too large"))
}

fn write(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = units.iter().find(|(_, scale)| value != 0 && value.is_multiple_of(*scale)).or(units.last());
    fits.map_or(Ok(()), |(name, scale)| write!(f, "{}{name}", value / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Result<u64, String> {
        Span::try_from(text.to_owned()).map(Span::millis)
    }

    #[test]
    fn spans_are_read_with_their_unit_and_refused_without() {
        assert_eq!(span("10ms"), Ok(10));
        assert_eq!(span("5m"), Ok(300_000));
        assert_eq!(span(" 30 d "), Ok(2_592_000_000));
        for wrong in ["30", "", "d", "-1s", "1.5h", "1 week", "99999999999999999d"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
        assert_eq!(span("30").unwrap_err(), "\"30\" is not a duration like 250ms, 10s, 5m, 12h or 30d");
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        for millis in [0, 1, 999, 1_000, 90_000, 3_600_000, 86_400_000, 2_592_000_000] {
            assert_eq!(span(&Span(millis).to_string()), Ok(millis));
        }
        for bytes in [0, 1, 1_023, 1 << 10, 3 << 20, 5 << 30] {
            assert_eq!(Size::try_from(Size(bytes).to_string()).map(Size::bytes), Ok(bytes));
        }
        assert_eq!(Span::from_secs(60).to_string(), "1m");
        assert_eq!(Size::from_mib(512).to_string(), "512MiB");
    }
}
