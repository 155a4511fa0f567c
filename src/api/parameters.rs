//! Queries and path segments, read strictly: unknown and repeated ones are mistakes too, and all mistakes of a request
//! come in one answer.

use axum::extract::Query;
use axum::http::Uri;
use chrono::NaiveDate;

use super::problem::{Code, FieldError, Problem};
use crate::codec::json::time;
use crate::core::Millis;
use crate::core::event::{END_TIME, MAX_ID_BYTES, MIN_TIME};
use crate::store::BUCKET_MS;

/// The parameters of one request, and what is wrong with them so far.
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Parameters {
    /// Those of a request's query.
    pub(super) fn of(uri: &Uri) -> Self {
        match Query::<Vec<(String, String)>>::try_from_uri(uri) {
            Ok(Query(pairs)) => Self { pairs, errors: Vec::new() },
            Err(_) => Self { pairs: Vec::new(), errors: vec![FieldError::new("query", "", "not a query string")] },
        }
    }

    /// An id in the path: 1 to 128 bytes without control characters, as the contract has them.
    pub(super) fn path_id(&mut self, name: &str, value: &str) {
        if value.is_empty() || value.len() > MAX_ID_BYTES || value.chars().any(char::is_control) {
            let reason = format!("an id has 1 to {MAX_ID_BYTES} bytes and no control characters");
            self.errors.push(FieldError::new("path", format!("/{name}"), reason));
        }
    }

    /// A parameter that may be left out.
    pub(super) fn optional<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let mut values = Vec::new();
        self.pairs.retain_mut(|(key, value)| {
            let ours = key == name;
            if ours {
                values.push(std::mem::take(value));
            }
            !ours
        });
        let mut values = values.into_iter();
        let value = values.next()?;
        if values.next().is_some() {
            self.fault(name, "named twice");
            return None;
        }
        read(&value).map_err(|reason| self.fault(name, reason)).ok()
    }

    /// A parameter that must be there.
    pub(super) fn required<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if !self.pairs.iter().any(|(key, _)| key == name) {
            self.fault(name, "required");
        }
        self.optional(name, read)
    }

    /// Records a mistake.
    pub(super) fn fault(&mut self, name: &str, reason: impl Into<String>) {
        self.errors.push(FieldError::new("query", pointer(name), reason));
    }

    /// The problem, if there is any mistake; what was not asked for by now is one.
    pub(super) fn finish(self) -> Result<(), Problem> {
        let errors = self.mistakes();
        if errors.is_empty() { Ok(()) } else { Err(Problem::with_errors(Code::InvalidParameters, errors)) }
    }

    /// All that is wrong, for a request whose body is read too.
    pub(super) fn mistakes(mut self) -> Vec<FieldError> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            self.fault(&name, "there is no such parameter");
        }
        self.errors
    }
}

/// A name as a JSON pointer (RFC 6901), its control characters replaced and no longer than it has to be.
pub(super) fn pointer(name: &str) -> String {
    let safe = name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>();
    format!("/{}", safe.replace('~', "~0").replace('/', "~1"))
}

/// A bound of a report: milliseconds, an RFC 3339 time or a UTC day, on a whole quarter of an hour.
pub(super) fn bound(text: &str) -> Result<Millis, String> {
    let at = moment(text)?;
    if !(MIN_TIME..=END_TIME).contains(&at) {
        return Err("not between 2000-01-01 and 2100-01-01".into());
    }
    if at % BUCKET_MS != 0 {
        return Err("not on a whole quarter of an hour, which sums are kept by".into());
    }
    Ok(at)
}

fn moment(text: &str) -> Result<Millis, String> {
    if let Ok(millis) = text.parse::<Millis>() {
        return Ok(millis);
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        && text.len() == 10
    {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis());
    }
    let plus = text.replace(' ', "+"); // what `+01:00` turns into where a caller did not escape it
    time::parse(&plus).map_err(|_| {
        "neither milliseconds, nor an RFC 3339 time (2026-01-31T12:30:00Z), nor a UTC day (2026-01-31)".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_come_in_three_notations() {
        let noon = 1_767_268_800_000;
        for text in ["1767268800000", "2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00", "2026-01-01T13:00:00 01:00"]
        {
            assert_eq!(bound(text), Ok(noon), "{text}");
        }
        assert_eq!(bound("2026-01-01"), Ok(noon - 43_200_000));
        for text in
            ["", "noon", "2026-01-01T12:00:00", "2026-1-1", "1767268800001", "0", "9999999999999999", "2026-02-30"]
        {
            assert!(bound(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_mistake_is_named_once() {
        let uri: Uri = "/x?limit=0&limit=1&frm=1&to=x&b%0ad=1".parse().unwrap();
        let mut parameters = Parameters::of(&uri);
        parameters.path_id("user_id", "");
        parameters.optional("limit", |text| Ok(text.to_owned()));
        parameters.required("from", bound);
        parameters.required("to", bound);
        let problem = parameters.finish().unwrap_err();
        let named: Vec<_> = problem.errors.iter().map(|e| (e.place.as_str(), e.pointer.as_str())).collect();
        let expected = [
            ("path", "/user_id"),
            ("query", "/limit"),
            ("query", "/from"),
            ("query", "/to"),
            ("query", "/frm"),
            ("query", "/b\u{fffd}d"),
        ];
        assert_eq!(named, expected);
    }
}
