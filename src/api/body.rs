//! Bodies that are one JSON object, read strictly: unknown and repeated fields are mistakes too, and all mistakes of a
//! request come in one answer. (Events are read by the codec, which passes unknown fields over.)

use std::fmt;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::parameters::{Parameters, pointer};
use super::problem::{Code, FieldError, Problem};
use super::state::State;
use super::writes;
use crate::codec::json::time;
use crate::core::Millis;

/// The largest body of this kind, in bytes.
const LARGEST: usize = 16 << 10;

/// The fields of one body, and what is wrong with the request so far.
pub(super) struct Fields {
    pairs: Vec<(String, Value)>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Those of a request's body; none where there is no body, or null. Begins with the mistakes of path and query.
    pub(super) async fn of(state: &State, parameters: Parameters, request: Request) -> Result<Self, Problem> {
        let form = form_of(request.headers());
        let body = writes::body_of(state, request).await?;
        if body.len() > LARGEST {
            return Err(Problem::new(Code::BodyTooLarge, format!("a body of this route has at most {LARGEST} bytes")));
        }
        if !body.is_empty() {
            form?;
        }
        Ok(Self::parse(&body, parameters.mistakes()))
    }

    fn parse(body: &[u8], mut errors: Vec<FieldError>) -> Self {
        let pairs = match serde_json::from_slice::<Option<Pairs>>(if body.is_empty() { b"null" } else { body }) {
            Ok(pairs) => pairs.map_or_else(Vec::new, |Pairs(pairs)| pairs),
            Err(error) => {
                let at = format!("not a JSON object (line {}, column {})", error.line(), error.column());
                errors.push(FieldError::new("body", "", at));
                return Self { pairs: Vec::new(), errors };
            }
        };
        Self { pairs, errors }
    }

    /// Whether the body could be read at all: of one that could not, no field is missing.
    fn is_object(&self) -> bool {
        !self.errors.iter().any(|error| error.place == "body" && error.pointer.is_empty())
    }

    /// Whether a field is there, and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, value)| key == name && !value.is_null())
    }

    /// A field that may be left out, or null.
    pub(super) fn optional<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        let value = self.take(name)?;
        read(&value).map_err(|reason| self.fault(name, reason)).ok()
    }

    /// A field that must be there.
    pub(super) fn required<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        if self.is_object() && !self.has(name) {
            self.fault(name, "required");
        }
        self.optional(name, read)
    }

    /// A field that is a list of at most so many, each read by itself.
    pub(super) fn list<T>(&mut self, name: &str, most: usize, read: fn(&str) -> Result<T, String>) -> Vec<T> {
        let values = match self.take(name) {
            None => return Vec::new(),
            Some(Value::Array(values)) if values.len() <= most => values,
            Some(_) => {
                self.fault(name, format!("a list of at most {most}"));
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for (index, value) in values.iter().enumerate() {
            match text(value).and_then(read) {
                Ok(value) => found.push(value),
                Err(reason) => self.errors.push(FieldError::new("body", format!("/{name}/{index}"), reason)),
            }
        }
        found
    }

    /// Records a mistake.
    pub(super) fn fault(&mut self, name: &str, reason: impl Into<String>) {
        self.errors.push(FieldError::new("body", pointer(name), reason));
    }

    /// The problem, if there is any mistake; what was not asked for by now is one.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            self.fault(&name, "there is no such field");
        }
        let code =
            if self.errors.iter().any(|e| e.place == "body") { Code::InvalidBody } else { Code::InvalidParameters };
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::with_errors(code, self.errors)) }
    }

    /// Takes a field out of those that are left. Null counts as left out.
    fn take(&mut self, name: &str) -> Option<Value> {
        let (ours, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pairs).into_iter().partition(|(key, _)| key == name);
        self.pairs = rest;
        if ours.len() > 1 {
            self.fault(name, "named twice");
            return None;
        }
        ours.into_iter().next().map(|(_, value)| value).filter(|value| !value.is_null())
    }
}

fn form_of(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let json = content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json");
    if json && !headers.contains_key(CONTENT_ENCODING) {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType, "send application/json without a content encoding"))
}

/// A string.
pub(super) fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "a string".into())
}

/// A whole number that is not negative.
pub(super) fn whole(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| "a whole number, not negative".into())
}

/// A moment: milliseconds since 1970, or an RFC 3339 time.
pub(super) fn moment(value: &Value) -> Result<Millis, String> {
    let parsed = value.as_i64().or_else(|| time::parse(value.as_str()?).ok());
    parsed.ok_or_else(|| "milliseconds since 1970, or an RFC 3339 time (2026-01-31T12:30:00Z)".into())
}

/// An object's fields as they come, those named twice included.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(fields: Fields) -> Vec<(String, String)> {
        let errors = fields.finish().map_or_else(|problem| problem.errors, |()| Vec::new());
        errors.into_iter().map(|e| (e.pointer, e.reason)).collect()
    }

    #[test]
    fn every_mistake_is_named_once() {
        let body = br#"{"a":1,"b":"x","c":["1",2,"3"],"d":null,"e":1,"e":1,"f/g":0,"h":"2026-01-31"}"#;
        let mut fields = Fields::parse(body, vec![FieldError::new("query", "/q", "there is no such parameter")]);
        assert_eq!(fields.optional("a", whole), Some(1));
        assert_eq!(fields.optional("b", whole), None);
        assert_eq!(fields.list("c", 3, |text| text.parse::<u8>().map_err(|e| e.to_string())), [1, 3]);
        assert_eq!(fields.required("d", whole), None);
        assert_eq!(fields.optional("e", whole), None);
        assert_eq!(fields.optional("h", moment), None);
        let pointers: Vec<_> = mistakes(fields).into_iter().map(|(pointer, _)| pointer).collect();
        assert_eq!(pointers, ["/q", "/b", "/c/1", "/d", "/e", "/h", "/f~1g"]);
    }

    #[test]
    fn what_is_no_object_is_one_mistake() {
        for body in ["[]", "7", "{\"a\":1", "{\"a\":1}}", "nonsense", "\u{0}"] {
            let mut fields = Fields::parse(body.as_bytes(), Vec::new());
            assert_eq!(fields.required("a", whole), None);
            let found = mistakes(fields);
            assert_eq!((found.len(), found[0].0.as_str()), (1, ""), "{body}: {found:?}");
        }
        for nothing in ["", "null", "{}"] {
            assert!(mistakes(Fields::parse(nothing.as_bytes(), Vec::new())).is_empty());
        }
    }

    #[test]
    fn deep_nesting_is_a_mistake_and_no_crash() {
        let body = format!("{{\"a\":{}", "[".repeat(10_000));
        assert_eq!(mistakes(Fields::parse(body.as_bytes(), Vec::new())).len(), 1);
    }
}
