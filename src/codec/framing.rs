//! What a record's value is, by what its bytes say.

/// The first byte of Confluent framing; four bytes of schema id and the datum come after it.
const MAGIC: u8 = 0;

/// What a record's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing<'a> {
    /// Avro in Confluent framing.
    Avro {
        /// The id of the writer's schema in the registry.
        schema_id: u32,
        /// The datum.
        datum: &'a [u8],
    },
    /// A JSON object, the whole value.
    Json(&'a [u8]),
    /// Neither, and why.
    Unknown(&'static str),
}

/// Tells what a value is. JSON may begin with JSON's white space; a byte order mark is not part of JSON.
pub fn framing(value: &[u8]) -> Framing<'_> {
    match value {
        [MAGIC, id @ ..] => match id.split_first_chunk() {
            Some((id, datum)) => Framing::Avro { schema_id: u32::from_be_bytes(*id), datum },
            None => Framing::Unknown("shorter than the five bytes that Confluent framing begins with"),
        },
        [b'{', ..] => Framing::Json(value),
        [0xef, 0xbb, 0xbf, ..] => Framing::Unknown("begins with a byte order mark, which JSON does not have"),
        [] => Framing::Unknown("empty"),
        _ => match value.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            Some(b'{') => Framing::Json(value),
            _ => Framing::Unknown("neither Confluent-framed Avro nor a JSON object"),
        },
    }
}

/// Appends what Confluent framing begins with.
pub(crate) fn put_frame(schema_id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&schema_id.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_say_what_they_are() {
        assert_eq!(framing(&[0, 0, 0, 1, 2, 9]), Framing::Avro { schema_id: 258, datum: &[9] });
        assert_eq!(framing(&[0, 255, 255, 255, 255]), Framing::Avro { schema_id: u32::MAX, datum: &[] });
        assert_eq!(framing(b"{}"), Framing::Json(b"{}"));
        assert_eq!(framing(b" \t\r\n{"), Framing::Json(b" \t\r\n{"));
        let reason = |value| match framing(value) {
            Framing::Unknown(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert!(reason(&[0, 0, 0, 1]).contains("shorter"));
        assert!(reason("\u{feff}{}".as_bytes()).contains("byte order mark"));
        assert_eq!(reason(b""), "empty");
        for other in [&b"[{}]"[..], b"  ", b"1", b"\x0b{}", b"\x01\0\0\0\0", b"Obj\x01"] {
            assert_eq!(reason(other), "neither Confluent-framed Avro nor a JSON object");
        }
    }

    #[test]
    fn a_frame_comes_back() {
        let mut out = Vec::new();
        put_frame(0x0102_0304, &mut out);
        assert_eq!(framing(&out), Framing::Avro { schema_id: 0x0102_0304, datum: &[] });
    }
}
