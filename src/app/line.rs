//! A record of the output topic as one line of JSON, whatever it is encoded in.

use crate::codec::avro;

/// Appends the row, or what was deleted, and a line feed. A value that is neither Avro nor JSON of ours is shown as it
/// is, escaped, so that nothing is left out.
pub fn write(key: Option<&[u8]>, value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        None => {
            let id = String::from_utf8_lossy(key.unwrap_or_default());
            out.extend_from_slice(serde_json::json!({ "row_id": id, "deleted": true }).to_string().as_bytes());
        }
        Some(value) => append_row(value, out),
    }
    out.push(b'\n');
}

/// Appends a row's JSON without a line feed.
pub fn append_row(value: &[u8], out: &mut Vec<u8>) {
    if value.first() == Some(&b'{') {
        out.extend_from_slice(value);
        return;
    }
    let before = out.len();
    if avro::row_to_json(value, out).is_err() {
        out.truncate(before);
        let shown = String::from_utf8_lossy(value);
        out.extend_from_slice(serde_json::json!({ "unreadable": shown }).to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: Option<&[u8]>, value: Option<&[u8]>) -> String {
        let mut out = Vec::new();
        write(key, value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_deletes_and_foreign_bytes_are_lines_each() {
        assert_eq!(line(Some(b"a"), Some(b"{\"row_id\":\"a\"}")), "{\"row_id\":\"a\"}\n");
        let deleted: serde_json::Value = serde_json::from_str(&line(Some(b"c|linear|\"t"), None)).unwrap();
        assert_eq!(deleted, serde_json::json!({ "row_id": "c|linear|\"t", "deleted": true }));
        assert_eq!(line(None, Some(b"\x07x")), "{\"unreadable\":\"\\u0007x\"}\n");
    }
}
