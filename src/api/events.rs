//! Bodies of events: which bytes are one event, and whether it keeps the contract. An event is kept as the bytes that
//! came, so that what is appended is what was sent.

use super::problem::FieldError;
use super::state::NewEvent;
use crate::codec::json;
use crate::core::Fault;
use crate::core::event::not_in_future;
use crate::topics::Input;

/// Largest event, in bytes: what a Kafka topic takes by default.
const MAX_EVENT: usize = 1 << 20;
/// The most events of one request: each takes more memory than its bytes.
pub(super) const MAX_EVENTS: usize = 10_000;
/// Mistakes named in one answer, at most.
const MAX_ERRORS: usize = 1_000;

/// How a body holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object, or an array of them.
    Json,
    /// One JSON object a line.
    Lines,
}

impl Form {
    /// The form of a media type, parameters aside.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media.as_str() {
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Lines),
            _ => None,
        }
    }
}

/// Cuts a body into events.
pub(super) fn split(form: Form, body: &[u8]) -> Result<Vec<&[u8]>, FieldError> {
    let blank = |line: &&[u8]| !line.trim_ascii().is_empty();
    let events = match form {
        Form::Lines => body.split(|b| *b == b'\n').filter(blank).collect(),
        Form::Json => match body.trim_ascii().split_first() {
            Some((b'[', rest)) => elements(rest)?,
            _ => Some(body).filter(blank).into_iter().collect(),
        },
    };
    match events.len() {
        0 => Err(FieldError::new("body", "", "there is no event in it")),
        1..=MAX_EVENTS => Ok(events),
        _ => Err(FieldError::new("body", "", "more than 10000 events; send them in several requests")),
    }
}

/// The elements of an array, behind its opening bracket. Only strings and brackets are understood here: whether an
/// element is JSON is for the codec to say.
fn elements(rest: &[u8]) -> Result<Vec<&[u8]>, FieldError> {
    let refuse = |reason: &str| Err(FieldError::new("body", "", reason));
    let (mut found, mut start, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0_usize, false, false);
    for (index, byte) in rest.iter().enumerate() {
        if quoted {
            quoted = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        let ends = depth == 0 && matches!(byte, b',' | b']');
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !ends {
            continue;
        }
        let element = rest.get(start..index).unwrap_or_default();
        let nothing = *byte == b']' && found.is_empty() && element.trim_ascii().is_empty();
        if !nothing {
            found.push(element);
        }
        start = index + 1;
        if *byte == b']' {
            let after = rest.get(start..).unwrap_or_default();
            return if after.trim_ascii().is_empty() { Ok(found) } else { refuse("there is more after the array") };
        }
    }
    refuse("the array is not closed")
}

/// Checks every event against the contract, those in the future at `now` included, and calls `accept` with all of them,
/// or answers with what is wrong with each.
pub(super) fn check<T>(
    input: Input,
    events: &[&[u8]],
    now: i64,
    accept: impl FnOnce(&[NewEvent<'_>]) -> T,
) -> Result<T, Vec<FieldError>> {
    let users: Vec<Result<String, Fault>> = events.iter().map(|event| user_of(input, event, now)).collect();
    let faults = users.iter().enumerate().filter_map(|(index, user)| Some((index, user.as_ref().err()?)));
    let errors: Vec<_> = faults.take(MAX_ERRORS).map(|(index, fault)| named(index, fault)).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let keyed = users.iter().flatten().zip(events).map(|(user_id, value)| NewEvent { user_id, value });
    Ok(accept(&keyed.collect::<Vec<_>>()))
}

fn user_of(input: Input, event: &[u8], now: i64) -> Result<String, Fault> {
    if event.len() > MAX_EVENT {
        return Err(Fault::new("value", "longer than 1 MiB"));
    }
    match input {
        Input::Touchpoints => {
            let draft = json::touchpoint(event)?;
            let touchpoint = draft.check()?;
            not_in_future(touchpoint.occurred_at, now)?;
            Ok(touchpoint.user_id.to_owned())
        }
        Input::Conversions => {
            let draft = json::conversion(event)?;
            let conversion = draft.check()?;
            not_in_future(conversion.occurred_at(), now)?;
            Ok(conversion.user_id().to_owned())
        }
    }
}

/// `/3/occurred_at`: the field of the fourth event. What is wrong with an event as a whole points at the event.
fn named(index: usize, fault: &Fault) -> FieldError {
    let whole = matches!(fault.field.as_ref(), "value" | "json");
    let pointer = if whole { format!("/{index}") } else { format!("/{index}/{}", fault.field) };
    FieldError::new("body", pointer, fault.reason.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(form: Form, body: &str) -> Result<Vec<String>, String> {
        let events = split(form, body.as_bytes()).map_err(|e| e.reason)?;
        Ok(events.iter().map(|e| String::from_utf8(e.trim_ascii().to_vec()).unwrap()).collect())
    }

    #[test]
    fn one_many_and_lines() {
        assert_eq!(texts(Form::Json, " {\"a\":1} ").unwrap(), ["{\"a\":1}"]);
        let tricky = r#"[{"a":"]},[\"\\"}, {"b":[1,{"c":2}]} ]"#;
        assert_eq!(texts(Form::Json, tricky).unwrap(), [r#"{"a":"]},[\"\\"}"#, r#"{"b":[1,{"c":2}]}"#]);
        assert_eq!(texts(Form::Lines, "{\"a\":1}\r\n\n{\"a\":2}").unwrap(), ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(texts(Form::Json, "[1,]").unwrap(), ["1", ""], "the empty one is for the codec to refuse");
        for body in ["", "  ", "[]", "[ ]", "[{}", "[{\"a\":\"]", "[{}]x", "[1][2]"] {
            assert!(texts(Form::Json, body).is_err(), "{body}");
        }
    }

    #[test]
    fn media_types() {
        assert_eq!(Form::of("Application/JSON; charset=utf-8"), Some(Form::Json));
        assert_eq!(Form::of("application/x-ndjson"), Some(Form::Lines));
        assert_eq!(Form::of("text/plain"), None);
        assert_eq!(Form::of(""), None);
    }

    #[test]
    fn each_bad_event_is_named_and_none_is_accepted() {
        let good = br#"{"event_id":"1","user_id":"ann","occurred_at":1700000000000}"#.as_slice();
        let late = br#"{"event_id":"2","user_id":"ann","occurred_at":1800000000000}"#.as_slice();
        let mut accepted = 0;
        let bad = [good, b"{}", b"nonsense", late];
        let errors = check(Input::Touchpoints, &bad, 1_700_000_000_000, |events| accepted += events.len()).unwrap_err();
        let named: Vec<_> = errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!((named, accepted), (vec!["/1/event_id", "/2", "/3/occurred_at"], 0));
        let taken = check(Input::Touchpoints, &[good, good], 1_700_000_000_000, |events| {
            events.iter().map(|e| (e.user_id.to_owned(), e.value.len())).collect::<Vec<_>>()
        });
        assert_eq!(taken.unwrap(), vec![("ann".to_owned(), good.len()); 2]);
    }

    proptest! {
        #[test]
        fn what_serde_reads_as_an_array_is_cut_the_same(values in proptest::collection::vec(any_json(), 1..6)) {
            let body = serde_json::to_string(&values).unwrap();
            let cut = texts(Form::Json, &body).unwrap();
            let read: Vec<serde_json::Value> = cut.iter().map(|t| serde_json::from_str(t).unwrap()).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for form in [Form::Json, Form::Lines] {
                if let Ok(events) = split(form, &body) {
                    drop(check(Input::Conversions, &events, 0, |events| events.len()));
                }
            }
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i32>().prop_map(Into::into),
            "[\\[\\]{},\"\\\\a]{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::hash_map("[\"\\\\\\]a]{0,3}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
