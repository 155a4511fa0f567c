//! RFC 3339 times to milliseconds.
//!
//! The grammar of RFC 3339, section 5.6, and nothing beside it: `T` and `Z` in either case (its note on ABNF says so), no
//! space in place of the `T`, an offset always. A fraction finer than milliseconds is cut off, which in this notation is
//! always towards the past. Second 60 is refused: milliseconds since 1970 have no place for it.

use crate::core::Millis;

const SHAPE: &str = "not an RFC 3339 time with an offset, such as 2024-05-01T12:30:00.250Z";

/// The moment that `text` names, or why it names none.
pub(crate) fn parse(text: &str) -> Result<Millis, &'static str> {
    let mut digits = Digits(text.as_bytes());
    let year = digits.number(4).ok_or(SHAPE)?;
    let month = digits.after(b"-")?;
    let day = digits.after(b"-")?;
    let hour = digits.after(b"Tt")?;
    let minute = digits.after(b":")?;
    let second = digits.after(b":")?;
    let millis = digits.fraction()?;
    let offset = digits.offset()?;
    if second == 60 {
        return Err("second 60 (a leap second) is refused");
    }
    let within = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if !within || hour > 23 || minute > 59 || second > 59 {
        return Err("no such date or time of day");
    }
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset;
    Ok((minutes * 60 + second) * 1000 + millis)
}

struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    /// A number of exactly so many digits.
    fn number(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    }

    /// One of these characters, then a number of two digits.
    fn after(&mut self, characters: &[u8]) -> Result<i64, &'static str> {
        self.character(characters).ok_or(SHAPE)?;
        self.number(2).ok_or(SHAPE)
    }

    fn character(&mut self, characters: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        characters.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// The milliseconds of an optional fraction; finer digits are cut off.
    fn fraction(&mut self) -> Result<i64, &'static str> {
        if self.character(b".").is_none() {
            return Ok(0);
        }
        let mut millis = self.number(1).ok_or(SHAPE)? * 100;
        for scale in [10, 1] {
            millis += self.character(b"0123456789").map_or(0, |d| i64::from(d - b'0') * scale);
        }
        while self.character(b"0123456789").is_some() {}
        Ok(millis)
    }

    /// The offset from UTC in minutes, and the end of the text.
    fn offset(&mut self) -> Result<i64, &'static str> {
        let offset = match self.character(b"Zz+-").ok_or(SHAPE)? {
            b'Z' | b'z' => 0,
            sign => {
                let hours = self.number(2).ok_or(SHAPE)?;
                let minutes = self.after(b":")?;
                if hours > 23 || minutes > 59 {
                    return Err("no such offset from UTC");
                }
                let offset = hours * 60 + minutes;
                if sign == b'-' { -offset } else { offset }
            }
        };
        if self.0.is_empty() { Ok(offset) } else { Err(SHAPE) }
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-01-01T00:00:00Z", 946_684_800_000),
            ("2100-01-01T00:00:00Z", 4_102_444_800_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14t22:13:20z", 1_700_000_000_000),
            ("2023-11-14T22:13:20.5Z", 1_700_000_000_500),
            ("2023-11-14T22:13:20.05Z", 1_700_000_000_050),
            ("2023-11-14T22:13:20.000999999999999999999Z", 1_700_000_000_000),
            ("2023-11-15T03:43:20.001+05:30", 1_700_000_000_001),
            ("2023-11-14T14:13:20-08:00", 1_700_000_000_000),
            ("2023-11-14T22:13:20-00:00", 1_700_000_000_000),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("1969-12-31T23:59:59.0009Z", -1000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] {
            assert_eq!(parse(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn what_the_grammar_does_not_have_is_refused() {
        for text in [
            "",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-11-14 22:13:20Z",
            "2023-11-14_22:13:20Z",
            "2023-11-14T22:13Z",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20,5Z",
            "2023-11-14T22:13:20+0100",
            "2023-11-14T22:13:20+01",
            "2023-11-14T22:13:20Z ",
            " 2023-11-14T22:13:20Z",
            "2023-11-14T22:13:20ZZ",
            "20231114T221320Z",
            "23-11-14T22:13:20Z",
            "+2023-11-14T22:13:20Z",
            "2023-W46-2T22:13:20Z",
            "2023-11-14T22:13:2٣Z",
            "2023-11-14T22:13:20é",
        ] {
            assert_eq!(parse(text), Err(SHAPE), "{text}");
        }
        for text in [
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2023-04-31T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-01-00T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:60:00Z",
            "2023-01-01T00:00:61Z",
        ] {
            assert_eq!(parse(text), Err("no such date or time of day"), "{text}");
        }
        assert_eq!(parse("2016-12-31T23:59:60Z"), Err("second 60 (a leap second) is refused"));
        assert_eq!(parse("2023-01-01T00:00:00+24:00"), Err("no such offset from UTC"));
        assert_eq!(parse("2023-01-01T00:00:00-01:60"), Err("no such offset from UTC"));
    }

    #[test]
    fn every_day_follows_the_last() {
        let mut expected = -719_528; // 0000-01-01
        for year in 0..2100 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(days_since_1970(year, month, day), expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
        assert_eq!(expected * 86_400_000, 4_102_444_800_000);
    }
}
