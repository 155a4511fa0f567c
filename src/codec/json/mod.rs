//! JSON: events in, strictly; rows out, compactly.
//!
//! Strict means that nothing is guessed: unknown fields are passed over, but one of ours named twice (also when one of
//! the two is spelled with escapes), a value of another type, a fraction or an exponent in a whole number, text that is
//! not UTF-8, or anything after the object is a [`Fault`]. `null` is absent. What is passed over may be nested to any
//! depth: it is skipped without recursion.

mod row;
pub(crate) mod time;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub use row::write_row;

use super::field::{Fields, Slot};
use crate::core::Fault;
use crate::core::event::{ConversionDraft, TouchpointDraft};

/// Reads one touchpoint, borrowing every string that has no escapes.
pub fn touchpoint(bytes: &[u8]) -> Result<TouchpointDraft<'_>, Fault> {
    document(bytes)
}

/// Reads one conversion or adjustment, borrowing every string that has no escapes.
pub fn conversion(bytes: &[u8]) -> Result<ConversionDraft<'_>, Fault> {
    document(bytes)
}

fn document<'a, D: Fields<'a>>(bytes: &'a [u8]) -> Result<D, Fault> {
    // Once for all of it, so that what is passed over is UTF-8 too; then strings need no second look.
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::new("value", "not UTF-8"))?;
    let place = Place::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document = Document {
        place: &place,
        draft: PhantomData,
    };
    let draft = deserializer
        .deserialize_map(document)
        .map_err(|error| place.fault(&error))?;
    deserializer.end().map_err(|error| place.fault(&error))?;
    Ok(draft)
}

/// Where in the document reading is, and what went wrong there: serde's errors carry text alone.
#[derive(Default)]
struct Place {
    field: Cell<Option<&'static str>>,
    fault: Cell<Option<Fault>>,
}

impl Place {
    fn refuse<E: serde::de::Error>(&self, reason: impl Into<Cow<'static, str>>) -> E {
        self.fault
            .set(Some(Fault::new(self.field.get().unwrap_or("value"), reason)));
        E::custom("refused")
    }

    fn fault(&self, error: &serde_json::Error) -> Fault {
        if let Some(fault) = self.fault.take() {
            return fault;
        }
        if error.is_data() {
            return Fault::new("value", "not a JSON object");
        }
        Fault::new(self.field.get().unwrap_or("value"), format!("not JSON: {error}"))
    }
}

struct Document<'p, D> {
    place: &'p Place,
    draft: PhantomData<D>,
}

impl<'a, D: Fields<'a>> Visitor<'a> for Document<'_, D> {
    type Value = D;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<D, A::Error> {
        let mut draft = D::default();
        let mut seen = 0u16;
        while let Some(number) = map.next_key_seed(Key::<D>(PhantomData))? {
            let Some((number, slot)) = number.and_then(|n| draft.slot(n).map(|slot| (n, slot))) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.place.field.set(Some(D::name(number)));
            let bit = 1u16 << number;
            if seen & bit != 0 {
                return Err(self.place.refuse("named twice"));
            }
            seen |= bit;
            map.next_value_seed(Value {
                slot,
                place: self.place,
            })?;
            self.place.field.set(None);
        }
        Ok(draft)
    }
}

/// A field's name, read to its number.
struct Key<D>(PhantomData<D>);

impl<'a, D: Fields<'a>> DeserializeSeed<'a> for Key<D> {
    type Value = Option<u8>;

    fn deserialize<T: Deserializer<'a>>(self, deserializer: T) -> Result<Option<u8>, T::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a, D: Fields<'a>> Visitor<'a> for Key<D> {
    type Value = Option<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<u8>, E> {
        Ok(D::number(name))
    }
}

/// A field's value, read into its slot.
struct Value<'s, 'p, 'a> {
    slot: Slot<'s, 'a>,
    place: &'p Place,
}

impl Value<'_, '_, '_> {
    fn wrong<E: serde::de::Error>(&self, found: &str) -> E {
        let asked = match self.slot {
            Slot::Text(_) => "a string",
            Slot::Whole(_) => "a whole number",
            Slot::Time(_) => "a time (milliseconds as a whole number, or RFC 3339 text)",
        };
        self.place.refuse(format!("{found} where {asked} is asked"))
    }
}

impl<'a> DeserializeSeed<'a> for Value<'_, '_, 'a> {
    type Value = ();

    fn deserialize<T: Deserializer<'a>>(self, deserializer: T) -> Result<(), T::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Value<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's value")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'a str) -> Result<(), E> {
        match self.slot {
            Slot::Text(slot) => *slot = Some(Cow::Borrowed(text)),
            _ => return self.visit_str(text),
        }
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.slot {
            Slot::Text(slot) => *slot = Some(Cow::Owned(text.to_owned())),
            Slot::Time(slot) => *slot = Some(time::parse(text).map_err(|reason| self.place.refuse(reason))?),
            Slot::Whole(_) => return Err(self.wrong("a string")),
        }
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        match self.slot {
            Slot::Whole(slot) | Slot::Time(slot) => *slot = Some(number),
            Slot::Text(_) => return Err(self.wrong("a number")),
        }
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(self.wrong("a number of more than 63 bits")),
        }
    }

    /// Every number with a fraction or an exponent comes here, a whole one that 64 bits do not hold, and `-0`.
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Err(self.wrong("a number with a fraction or an exponent, or beyond 64 bits,"))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Err(self.wrong("a boolean"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(()) // null: absent, as the slot is
    }

    fn visit_seq<A: SeqAccess<'a>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong("an array"))
    }

    fn visit_map<A: MapAccess<'a>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong("an object"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::samples;

    fn fault(json: &str) -> String {
        touchpoint(json.as_bytes()).unwrap_err().to_string()
    }

    fn one(json: &str) -> TouchpointDraft<'_> {
        touchpoint(json.as_bytes()).unwrap()
    }

    #[test]
    fn every_field_goes_to_its_slot_and_borrows() {
        let json = br#" {"milestone":"m","currency":"EUR","cost_micros":12,"term":"t","content":"c","campaign":"ca",
            "medium":"me","source":"s","interaction":"view","channel":"ch","occurred_at":1700000000000,"user_id":"u",
            "event_id":"e"} "#;
        let draft = touchpoint(json).unwrap();
        let text = |s| Some(Cow::Borrowed(s));
        let expected = TouchpointDraft {
            event_id: text("e"),
            user_id: text("u"),
            occurred_at: Some(1_700_000_000_000),
            channel: text("ch"),
            interaction: text("view"),
            source: text("s"),
            medium: text("me"),
            campaign: text("ca"),
            content: text("c"),
            term: text("t"),
            cost_micros: Some(12),
            currency: text("EUR"),
            milestone: text("m"),
        };
        assert_eq!(draft, expected);
        assert!(matches!(draft.channel, Some(Cow::Borrowed(_))));
        let json = br#"{"event_id":"e","user_id":"u","occurred_at":5,"kind":"k","value_micros":7,"currency":"USD","adjusts":"a"}"#;
        let expected = ConversionDraft {
            event_id: text("e"),
            user_id: text("u"),
            occurred_at: Some(5),
            kind: text("k"),
            value_micros: Some(7),
            currency: text("USD"),
            adjusts: text("a"),
        };
        assert_eq!(conversion(json).unwrap(), expected);
    }

    #[test]
    fn null_is_absent_and_unknown_fields_are_passed_over() {
        assert_eq!(one("{}"), TouchpointDraft::default());
        let json =
            r#"{"channel":null,"occurred_at":null,"cost_micros":null,"adjusts":[1,{"channel":"x"}],"x":1e999,"x":2}"#;
        assert_eq!(one(json), TouchpointDraft::default());
    }

    #[test]
    fn escapes_are_read() {
        let draft = one(r#"{"channel":"a\u00e9\n\ud83d\ude00\/","\u0063ampaign":"c"}"#);
        assert_eq!(draft.channel.as_deref(), Some("aé\n😀/"));
        assert_eq!(draft.campaign.as_deref(), Some("c"));
    }

    #[test]
    fn a_field_named_twice_is_refused() {
        assert_eq!(fault(r#"{"channel":"a","channel":"a"}"#), "channel: named twice");
        assert_eq!(fault(r#"{"channel":null,"\u0063hannel":"a"}"#), "channel: named twice");
        assert_eq!(
            fault(r#"{"c\u0068annel":"a","source":"s","channel":"a"}"#),
            "channel: named twice"
        );
    }

    #[test]
    fn whole_numbers_are_whole() {
        for number in [
            "1.0",
            "1e3",
            "1E3",
            "0.5",
            "-0",
            "1e-400",
            "9223372036854775808",
            "18446744073709551616",
            "1e400",
        ] {
            let reason = fault(&format!(r#"{{"cost_micros":{number}}}"#));
            assert!(reason.starts_with("cost_micros: "), "{reason}");
            let reason = fault(&format!(r#"{{"occurred_at":{number}}}"#));
            assert!(reason.starts_with("occurred_at: "), "{reason}");
        }
        assert_eq!(
            one(r#"{"cost_micros":9223372036854775807}"#).cost_micros,
            Some(i64::MAX)
        );
        assert_eq!(
            one(r#"{"cost_micros":-9223372036854775808}"#).cost_micros,
            Some(i64::MIN)
        );
        for number in ["01", "+1", ".5", "1.", "NaN", "--1", "1e", ""] {
            let reason = fault(&format!(r#"{{"cost_micros":{number}}}"#));
            assert!(reason.starts_with("cost_micros: "), "{number}: {reason}");
        }
        for number in ["0x1", "1_000", "1 2"] {
            let reason = fault(&format!(r#"{{"cost_micros":{number}}}"#));
            assert!(reason.starts_with("value: not JSON: "), "{number}: {reason}");
        }
    }

    #[test]
    fn another_type_is_refused_by_field() {
        assert_eq!(fault(r#"{"channel":1}"#), "channel: a number where a string is asked");
        assert_eq!(
            fault(r#"{"channel":true}"#),
            "channel: a boolean where a string is asked"
        );
        assert_eq!(
            fault(r#"{"channel":["a"]}"#),
            "channel: an array where a string is asked"
        );
        assert_eq!(
            fault(r#"{"event_id":{"a":1}}"#),
            "event_id: an object where a string is asked"
        );
        assert_eq!(
            fault(r#"{"cost_micros":"1"}"#),
            "cost_micros: a string where a whole number is asked"
        );
        assert_eq!(
            fault(r#"{"cost_micros":false}"#),
            "cost_micros: a boolean where a whole number is asked"
        );
        assert!(fault(r#"{"occurred_at":"yesterday"}"#).starts_with("occurred_at: not an RFC 3339 time"));
        assert!(fault(r#"{"occurred_at":"1700000000000"}"#).starts_with("occurred_at: not an RFC 3339 time"));
        assert!(fault(r#"{"occurred_at":[]}"#).starts_with("occurred_at: an array where a time"));
    }

    #[test]
    fn times_are_numbers_or_text() {
        assert_eq!(
            one(r#"{"occurred_at":1700000000123}"#).occurred_at,
            Some(1_700_000_000_123)
        );
        assert_eq!(
            one(r#"{"occurred_at":"2023-11-14T22:13:20.1239Z"}"#).occurred_at,
            Some(1_700_000_000_123)
        );
        assert_eq!(
            one(r#"{"occurred_at":"2023-11-14T23:13:20\u002e123+01:00"}"#).occurred_at,
            Some(1_700_000_000_123)
        );
        assert_eq!(one(r#"{"occurred_at":-1}"#).occurred_at, Some(-1));
    }

    #[test]
    fn what_is_no_object_is_a_fault_of_the_value() {
        for json in ["1", "null", "[]", r#""a""#, "true", "[{}]"] {
            assert_eq!(fault(json), "value: not a JSON object", "{json}");
        }
        for json in [
            "",
            " ",
            "{",
            "{]",
            "{} {}",
            "{},",
            "{}x",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{'a':1}",
            "\u{feff}{}",
            "{\"a\":tru}",
        ] {
            assert!(fault(json).starts_with("value: not JSON: "), "{json}: {}", fault(json));
        }
        assert_eq!(
            touchpoint(b"{\"x\":\"\xff\"}").unwrap_err().to_string(),
            "value: not UTF-8"
        );
        assert_eq!(
            touchpoint(b"{\"x\":\"\xed\xa0\x80\"}").unwrap_err().to_string(),
            "value: not UTF-8"
        );
    }

    #[test]
    fn broken_text_is_refused_by_field() {
        for text in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\u0041""#,
            r#""\x""#,
            "\"a\nb\"",
            "\"a",
            "ab",
        ] {
            let reason = fault(&format!(r#"{{"channel":{text}}}"#));
            assert!(reason.starts_with("channel: not JSON: "), "{text}: {reason}");
        }
        assert!(fault(r#"{"ch\ud800":1}"#).starts_with("value: not JSON: "));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = |n: usize| format!(r#"{{"x":{}{},"channel":"c"}}"#, "[".repeat(n), "]".repeat(n));
        assert_eq!(one(&deep(200_000)).channel.as_deref(), Some("c"));
        let open = format!(r#"{{"x":{}"#, "[{\"a\":".repeat(100_000));
        assert!(fault(&open).starts_with("value: not JSON: EOF"));
        let ours = format!(r#"{{"channel":{}"#, "[".repeat(100_000));
        assert_eq!(fault(&ours), "channel: an array where a string is asked");
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read(owned in samples::touchpoint()) {
            let t = owned.view();
            let json = serde_json::json!({
                "event_id": t.event_id, "user_id": t.user_id, "occurred_at": t.occurred_at, "channel": t.channel,
                "interaction": t.interaction, "source": t.source, "medium": t.medium, "campaign": t.campaign,
                "content": t.content, "term": t.term, "cost_micros": t.cost_micros, "currency": t.currency,
                "milestone": t.milestone,
            });
            let bytes = serde_json::to_vec(&json).unwrap();
            let draft = touchpoint(&bytes).unwrap();
            prop_assert_eq!(draft.check(), Ok(t));
            for cut in 0..bytes.len() {
                prop_assert!(touchpoint(&bytes[..cut]).is_err());
            }
        }
    }
}
