//! The stored form of an event: what the state keeps as the value beside a key.
//!
//! ```text
//! header   2 bytes, big-endian: format version (4 bits) | kind of event (2) | optional fields that are there (10)
//! ids      event_id, user_id, and for an adjustment adjusts
//! options  those that the header names, in the order of the contract's table
//! ```
//!
//! A string is its length as a varint and its bytes; money is a varint. `occurred_at` is not in it: the key has it. One
//! event has exactly one form, so a record can be hashed in place of its content.

use super::bytes::{Cursor, put_varint};
use crate::core::Millis;
use crate::core::event::{Adjustment, Conversion, DEFAULT_INTERACTION, DEFAULT_KIND, Touchpoint};

/// The format's version. Another one is another program's record, not ours to guess at.
const VERSION: u16 = 1;

/// Bytes that are no record of ours: the state is damaged, or another version wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored record is corrupt: {0}")]
pub struct Corrupt(&'static str);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Touchpoint = 0,
    Conversion = 1,
    Adjustment = 2,
}

impl Kind {
    /// The optional fields that a record of this kind may have.
    const fn options(self) -> u16 {
        match self {
            Self::Touchpoint => (1 << 10) - 1,
            Self::Conversion | Self::Adjustment => (1 << 3) - 1,
        }
    }
}

/// Appends the record of a touchpoint.
pub fn encode_touchpoint(touchpoint: &Touchpoint<'_>, out: &mut Vec<u8>) {
    let t = touchpoint;
    let mut writer = Writer::begin(out);
    writer.text(t.event_id);
    writer.text(t.user_id);
    writer.option(0, t.channel);
    writer.option(1, other_than(t.interaction, DEFAULT_INTERACTION));
    writer.option(2, t.source);
    writer.option(3, t.medium);
    writer.option(4, t.campaign);
    writer.option(5, t.content);
    writer.option(6, t.term);
    writer.money(7, t.cost_micros);
    writer.option(8, t.currency);
    writer.option(9, t.milestone);
    writer.end(Kind::Touchpoint);
}

/// The touchpoint of a record, borrowing from it; its key says when it occurred.
pub fn decode_touchpoint(occurred_at: Millis, record: &[u8]) -> Result<Touchpoint<'_>, Corrupt> {
    let mut reader = Reader::begin(Kind::Touchpoint, record)?;
    let touchpoint = Touchpoint {
        event_id: reader.text()?,
        user_id: reader.text()?,
        occurred_at,
        channel: reader.option(0)?,
        interaction: reader.option(1)?.unwrap_or(DEFAULT_INTERACTION),
        source: reader.option(2)?,
        medium: reader.option(3)?,
        campaign: reader.option(4)?,
        content: reader.option(5)?,
        term: reader.option(6)?,
        cost_micros: reader.money(7)?,
        currency: reader.option(8)?,
        milestone: reader.option(9)?,
    };
    reader.end()?;
    Ok(touchpoint)
}

/// Appends the record of a conversion.
pub fn encode_conversion(conversion: &Conversion<'_>, out: &mut Vec<u8>) {
    let mut writer = Writer::begin(out);
    writer.text(conversion.event_id);
    writer.text(conversion.user_id);
    writer.option(0, other_than(conversion.kind, DEFAULT_KIND));
    writer.money(1, conversion.value_micros);
    writer.option(2, conversion.currency);
    writer.end(Kind::Conversion);
}

/// The conversion of a record, borrowing from it; its key says when it occurred.
pub fn decode_conversion(occurred_at: Millis, record: &[u8]) -> Result<Conversion<'_>, Corrupt> {
    let mut reader = Reader::begin(Kind::Conversion, record)?;
    let conversion = Conversion {
        event_id: reader.text()?,
        user_id: reader.text()?,
        occurred_at,
        kind: reader.option(0)?.unwrap_or(DEFAULT_KIND),
        value_micros: reader.money(1)?,
        currency: reader.option(2)?,
    };
    reader.end()?;
    Ok(conversion)
}

/// Appends the record of an adjustment.
pub fn encode_adjustment(adjustment: &Adjustment<'_>, out: &mut Vec<u8>) {
    let mut writer = Writer::begin(out);
    writer.text(adjustment.event_id);
    writer.text(adjustment.user_id);
    writer.text(adjustment.adjusts);
    writer.option(0, other_than(adjustment.kind, DEFAULT_KIND));
    writer.money(1, adjustment.value_micros);
    writer.option(2, adjustment.currency);
    writer.end(Kind::Adjustment);
}

/// The adjustment of a record, borrowing from it; its key says when it occurred.
pub fn decode_adjustment(occurred_at: Millis, record: &[u8]) -> Result<Adjustment<'_>, Corrupt> {
    let mut reader = Reader::begin(Kind::Adjustment, record)?;
    let (event_id, user_id, adjusts) = (reader.text()?, reader.text()?, reader.text()?);
    let adjustment = Adjustment {
        event_id,
        user_id,
        occurred_at,
        kind: reader.option(0)?.unwrap_or(DEFAULT_KIND),
        value_micros: reader.money(1)?,
        currency: reader.option(2)?,
        adjusts,
    };
    reader.end()?;
    Ok(adjustment)
}

/// A default is written as nothing, so that "absent" and "said to be the default" are one record, as they are one event.
fn other_than<'a>(value: &'a str, default: &str) -> Option<&'a str> {
    (value != default).then_some(value)
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    present: u16,
}

impl<'o> Writer<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0, 0]);
        Self { out, start, present: 0 }
    }

    fn text(&mut self, text: &str) {
        put_varint(text.len() as u64, self.out);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn option(&mut self, bit: u16, text: Option<&str>) {
        if let Some(text) = text {
            self.present |= 1 << bit;
            self.text(text);
        }
    }

    fn money(&mut self, bit: u16, micros: Option<i64>) {
        if let Some(micros) = micros {
            self.present |= 1 << bit;
            // Checked money is never negative; should one come all the same, its 64 bits still do.
            put_varint(micros as u64, self.out);
        }
    }

    fn end(self, kind: Kind) {
        let header = VERSION << 12 | (kind as u16) << 10 | self.present;
        if let Some(place) = self.out.get_mut(self.start..self.start + 2) {
            place.copy_from_slice(&header.to_be_bytes());
        }
    }
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    present: u16,
}

impl<'a> Reader<'a> {
    fn begin(kind: Kind, record: &'a [u8]) -> Result<Self, Corrupt> {
        let mut cursor = Cursor::new(record);
        let header = u16::from_be_bytes(cursor.array().ok_or(Corrupt("shorter than its header"))?);
        if header >> 12 != VERSION {
            return Err(Corrupt("of another format version"));
        }
        if header >> 10 & 3 != kind as u16 {
            return Err(Corrupt("of another kind of event"));
        }
        let present = header & 0x3ff;
        if present & !kind.options() != 0 {
            return Err(Corrupt("with fields that its kind does not have"));
        }
        Ok(Self { cursor, present })
    }

    /// A number in its only form: no zero byte at its end that says nothing.
    fn number(&mut self) -> Result<u64, Corrupt> {
        let before = self.cursor;
        let value = self.cursor.varint().map_err(|_| Corrupt("with a broken number"))?;
        let used = before.left() - self.cursor.left();
        let needed = (64 - value.leading_zeros()).div_ceil(7).max(1) as usize;
        if used != needed {
            return Err(Corrupt("with a number longer than it need be"));
        }
        Ok(value)
    }

    fn text(&mut self) -> Result<&'a str, Corrupt> {
        let length = usize::try_from(self.number()?).map_err(|_| Corrupt("with a string beyond its end"))?;
        let bytes = self.cursor.take(length).ok_or(Corrupt("with a string beyond its end"))?;
        std::str::from_utf8(bytes).map_err(|_| Corrupt("with a string that is no UTF-8"))
    }

    fn option(&mut self, bit: u16) -> Result<Option<&'a str>, Corrupt> {
        if self.present & 1 << bit == 0 { Ok(None) } else { self.text().map(Some) }
    }

    fn money(&mut self, bit: u16) -> Result<Option<i64>, Corrupt> {
        if self.present & 1 << bit == 0 { Ok(None) } else { self.number().map(|n| Some(n as i64)) }
    }

    fn end(self) -> Result<(), Corrupt> {
        if self.cursor.left() == 0 { Ok(()) } else { Err(Corrupt("with bytes after its end")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::samples;

    fn check_touchpoint(t: &Touchpoint<'_>) {
        let mut record = vec![7]; // something before it, as in an arena
        encode_touchpoint(t, &mut record);
        let record = &record[1..];
        assert_eq!(decode_touchpoint(t.occurred_at, record), Ok(*t));
        for cut in 0..record.len() {
            assert!(decode_touchpoint(t.occurred_at, &record[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = record.to_vec();
        longer.push(0);
        assert_eq!(decode_touchpoint(0, &longer), Err(Corrupt("with bytes after its end")));
        assert!(decode_conversion(0, record).is_err());
        assert!(decode_adjustment(0, record).is_err());
    }

    proptest! {
        #[test]
        fn touchpoints_come_back(owned in samples::touchpoint()) {
            check_touchpoint(&owned.view());
        }

        #[test]
        fn conversions_and_adjustments_come_back(owned in samples::conversion()) {
            let (conversion, adjustment) = (owned.conversion(), owned.adjustment());
            let mut record = Vec::new();
            encode_conversion(&conversion, &mut record);
            prop_assert_eq!(decode_conversion(conversion.occurred_at, &record), Ok(conversion));
            prop_assert!(decode_adjustment(0, &record).is_err());
            for cut in 0..record.len() {
                prop_assert!(decode_conversion(0, &record[..cut]).is_err());
            }
            record.clear();
            encode_adjustment(&adjustment, &mut record);
            prop_assert_eq!(decode_adjustment(adjustment.occurred_at, &record), Ok(adjustment));
            prop_assert!(decode_conversion(0, &record).is_err());
            for cut in 0..record.len() {
                prop_assert!(decode_adjustment(0, &record[..cut]).is_err());
            }
        }

        /// What decodes is written the same again: no two records are one event.
        #[test]
        fn one_event_has_one_record(bytes in proptest::collection::vec(any::<u8>(), 0..60), flags in 0u16..1024) {
            let header = 1u16 << 12 | flags;
            let mut record = header.to_be_bytes().to_vec();
            record.extend(bytes.iter().map(|b| b & 0x0f));
            if let Ok(touchpoint) = decode_touchpoint(1, &record)
                && touchpoint.interaction != DEFAULT_INTERACTION
            {
                let mut again = Vec::new();
                encode_touchpoint(&touchpoint, &mut again);
                prop_assert_eq!(again, record);
            }
        }
    }

    #[test]
    fn a_typical_touchpoint_takes_forty_bytes() {
        let touchpoint = Touchpoint { channel: Some("paid_search"), ..samples::bare("tp-0123456789ab", "user-00012") };
        let mut record = Vec::new();
        encode_touchpoint(&touchpoint, &mut record);
        assert_eq!(record.len(), 2 + 16 + 11 + 12);
    }

    #[test]
    fn a_default_said_or_not_is_one_record() {
        let mut record = Vec::new();
        encode_touchpoint(&samples::bare("e", "u"), &mut record);
        assert_eq!(record, [0x10, 0, 1, b'e', 1, b'u']);
    }

    #[test]
    fn damage_is_an_error_that_says_what() {
        let decode = |bytes: &[u8]| decode_touchpoint(0, bytes).unwrap_err();
        assert_eq!(decode(&[0x10]), Corrupt("shorter than its header"));
        assert_eq!(decode(&[0x20, 0, 1, b'e', 1, b'u']), Corrupt("of another format version"));
        assert_eq!(decode(&[0x14, 0, 1, b'e', 1, b'u']), Corrupt("of another kind of event"));
        assert_eq!(decode(&[0x10, 0, 1, 0xff, 1, b'u']), Corrupt("with a string that is no UTF-8"));
        assert_eq!(decode(&[0x10, 0, 0x81, 0, b'e', 1, b'u']), Corrupt("with a number longer than it need be"));
        let huge = [0x10, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(decode(&huge), Corrupt("with a string beyond its end"));
        let conversion = [0x14, 0x08, 1, b'e', 1, b'u', 1, b'x'];
        assert_eq!(decode_conversion(0, &conversion), Err(Corrupt("with fields that its kind does not have")));
        assert_eq!(decode(&[]).to_string(), "stored record is corrupt: shorter than its header");
    }
}
