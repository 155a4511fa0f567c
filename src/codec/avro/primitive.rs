//! Avro's primitive encodings, strictly: what is read is bounded by the bytes that are there, never by what they claim.

use crate::codec::bytes::{BadVarint, Cursor, put_varint};

/// Why bytes are not what the schema says, in a few words.
pub(super) type Reason = &'static str;

pub(super) const TRUNCATED: Reason = "truncated";

#[inline]
pub(super) fn long(cursor: &mut Cursor<'_>) -> Result<i64, Reason> {
    match cursor.varint() {
        Ok(n) => Ok((n >> 1) as i64 ^ -((n & 1) as i64)),
        Err(BadVarint::Truncated) => Err(TRUNCATED),
        Err(BadVarint::Overlong) => Err("a number of more than 64 bits"),
    }
}

pub(super) fn int(cursor: &mut Cursor<'_>) -> Result<i64, Reason> {
    let value = long(cursor)?;
    if i32::try_from(value).is_err() {
        return Err("an int of more than 32 bits");
    }
    Ok(value)
}

pub(super) fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Reason> {
    match cursor.byte() {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(_) => Err("a boolean that is neither 0 nor 1"),
        None => Err(TRUNCATED),
    }
}

/// A place in a list (of union branches, of enum symbols), not checked against the list's length.
#[inline]
pub(super) fn index(cursor: &mut Cursor<'_>) -> Result<usize, Reason> {
    usize::try_from(long(cursor)?).map_err(|_| "a negative union branch or enum symbol")
}

#[inline]
pub(super) fn bytes<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Reason> {
    let length = usize::try_from(long(cursor)?).map_err(|_| "a negative length")?;
    cursor.take(length).ok_or(TRUNCATED)
}

#[inline]
pub(super) fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Reason> {
    std::str::from_utf8(bytes(cursor)?).map_err(|_| "not UTF-8")
}

#[inline]
pub(super) fn put_long(value: i64, out: &mut Vec<u8>) {
    put_varint(((value << 1) ^ (value >> 63)) as u64, out);
}

#[inline]
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_varint((text.len() as u64) << 1, out);
    out.extend_from_slice(text.as_bytes());
}

/// A union of null and a string, in that order.
#[inline]
pub(super) fn put_option_text(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        None => out.push(0),
        Some(text) => {
            out.push(2);
            put_text(text, out);
        }
    }
}

/// A union of null and a long (or an int), in that order.
#[inline]
pub(super) fn put_option_long(value: Option<i64>, out: &mut Vec<u8>) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(2);
            put_long(value, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_are_zigzag() {
        for (value, encoded) in [(0, vec![0]), (-1, vec![1]), (1, vec![2]), (-64, vec![0x7f]), (64, vec![0x80, 1])] {
            let mut out = Vec::new();
            put_long(value, &mut out);
            assert_eq!(out, encoded);
        }
        for value in [i64::MIN, i64::MAX, i64::from(i32::MIN), i64::from(i32::MAX), 1_700_000_000_000] {
            let mut out = Vec::new();
            put_long(value, &mut out);
            assert_eq!(long(&mut Cursor::new(&out)), Ok(value));
            assert_eq!(int(&mut Cursor::new(&out)).is_ok(), i32::try_from(value).is_ok());
        }
    }
}
