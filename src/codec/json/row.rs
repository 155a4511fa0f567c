//! Rows as JSON: one compact object, columns in the contract's order, UTF-8 as it is, null where absent.

use crate::core::Row;

/// Appends the row as JSON, with no line break after it.
pub fn write_row(row: &Row<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"row_id\":\"");
    let start = out.len();
    row.write_id(out);
    escape_from(start, out);
    let mut columns = Columns { out };
    columns.raw(b"\"");
    columns.text(b",\"conversion_id\":", row.conversion_id);
    columns.text(b",\"model\":", row.model.name());
    columns.number(b",\"model_version\":", row.model_version.map(i64::from));
    columns.text(b",\"touchpoint_id\":", row.touchpoint_id);
    columns.text(b",\"user_id\":", row.user_id);
    columns.text(b",\"kind\":", row.kind);
    columns.number(b",\"converted_at\":", Some(row.converted_at));
    columns.number(b",\"touched_at\":", row.touched_at);
    columns.text(b",\"channel\":", row.channel);
    columns.option(b",\"interaction\":", row.interaction);
    columns.option(b",\"source\":", row.source);
    columns.option(b",\"medium\":", row.medium);
    columns.option(b",\"campaign\":", row.campaign);
    columns.option(b",\"content\":", row.content);
    columns.option(b",\"term\":", row.term);
    columns.number(b",\"position\":", Some(i64::from(row.position)));
    columns.number(b",\"path_length\":", Some(i64::from(row.path_length)));
    columns.number(b",\"credit_micros\":", Some(row.credit_micros));
    columns.number(b",\"credited_micros\":", Some(row.credited_micros));
    columns.number(b",\"conversion_micros\":", Some(row.conversion_micros));
    columns.option(b",\"currency\":", row.currency);
    columns.number(b",\"revision\":", Some(row.revision));
    columns.boolean(b",\"truncated\":", row.truncated);
    columns.boolean(b",\"removed\":", row.removed);
    columns.raw(b"}");
}

struct Columns<'o> {
    out: &'o mut Vec<u8>,
}

impl Columns<'_> {
    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn text(&mut self, label: &[u8], text: &str) {
        self.raw(label);
        self.out.push(b'"');
        escape(text.as_bytes(), self.out);
        self.out.push(b'"');
    }

    fn option(&mut self, label: &[u8], text: Option<&str>) {
        match text {
            Some(text) => self.text(label, text),
            None => self.null(label),
        }
    }

    fn number(&mut self, label: &[u8], number: Option<i64>) {
        match number {
            Some(number) => {
                self.raw(label);
                put_number(number, self.out);
            }
            None => self.null(label),
        }
    }

    fn boolean(&mut self, label: &[u8], value: bool) {
        self.raw(label);
        self.raw(if value { b"true" } else { b"false" });
    }

    fn null(&mut self, label: &[u8]) {
        self.raw(label);
        self.raw(b"null");
    }
}

fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// Appends text with what JSON wants escaped in it escaped, in the forms that serde_json uses.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    if text.iter().copied().all(is_plain) {
        out.extend_from_slice(text);
        return;
    }
    for byte in text.iter().copied() {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => {
                let hex = |digit: u8| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

/// Escapes what `out` holds from `start` on; nearly always there is nothing to do.
fn escape_from(start: usize, out: &mut Vec<u8>) {
    if out.iter().skip(start).copied().all(is_plain) {
        return;
    }
    let text = out.split_off(start);
    escape(&text, out);
}

/// Appends a number in decimal.
fn put_number(number: i64, out: &mut Vec<u8>) {
    let mut rest = number.unsigned_abs();
    let mut digits = [0u8; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend(digits.iter().skip(digits.len() - used));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::samples;

    const COLUMNS: [&str; 25] = [
        "row_id",
        "conversion_id",
        "model",
        "model_version",
        "touchpoint_id",
        "user_id",
        "kind",
        "converted_at",
        "touched_at",
        "channel",
        "interaction",
        "source",
        "medium",
        "campaign",
        "content",
        "term",
        "position",
        "path_length",
        "credit_micros",
        "credited_micros",
        "conversion_micros",
        "currency",
        "revision",
        "truncated",
        "removed",
    ];

    /// The same row by serde_json, which sorts nothing when it is told what comes when.
    fn by_serde_json(row: &Row<'_>) -> String {
        let mut id = Vec::new();
        row.write_id(&mut id);
        let id = String::from_utf8(id).unwrap();
        let r = row;
        let values = [
            serde_json::json!(id),
            serde_json::json!(r.conversion_id),
            serde_json::json!(r.model.name()),
            serde_json::json!(r.model_version),
            serde_json::json!(r.touchpoint_id),
            serde_json::json!(r.user_id),
            serde_json::json!(r.kind),
            serde_json::json!(r.converted_at),
            serde_json::json!(r.touched_at),
            serde_json::json!(r.channel),
            serde_json::json!(r.interaction),
            serde_json::json!(r.source),
            serde_json::json!(r.medium),
            serde_json::json!(r.campaign),
            serde_json::json!(r.content),
            serde_json::json!(r.term),
            serde_json::json!(r.position),
            serde_json::json!(r.path_length),
            serde_json::json!(r.credit_micros),
            serde_json::json!(r.credited_micros),
            serde_json::json!(r.conversion_micros),
            serde_json::json!(r.currency),
            serde_json::json!(r.revision),
            serde_json::json!(r.truncated),
            serde_json::json!(r.removed),
        ];
        let pairs: Vec<_> = COLUMNS.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", pairs.join(","))
    }

    proptest! {
        #[test]
        fn byte_for_byte_as_serde_json_writes_it(owned in samples::row()) {
            let row = owned.row();
            let mut out = b"before".to_vec();
            write_row(&row, &mut out);
            let text = std::str::from_utf8(&out[6..]).unwrap();
            prop_assert_eq!(text, by_serde_json(&row));
            let parsed: serde_json::Value = serde_json::from_str(text).unwrap();
            prop_assert_eq!(parsed.as_object().unwrap().len(), COLUMNS.len());
        }

        #[test]
        fn any_text_is_escaped_as_serde_json_does(text in any::<String>()) {
            let mut out = vec![b'"'];
            escape(text.as_bytes(), &mut out);
            out.push(b'"');
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn numbers_are_decimal(number in any::<i64>()) {
            let mut out = Vec::new();
            put_number(number, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn every_control_character() {
        let all: String = (0u8..=0x80).map(char::from).collect();
        let mut out = vec![b'"'];
        escape(all.as_bytes(), &mut out);
        out.push(b'"');
        assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&all).unwrap());
        for number in [0, 9, 10, -1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_number(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
