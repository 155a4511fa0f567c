//! Strictness, field by field.

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
    let json =
        br#"{"event_id":"e","user_id":"u","occurred_at":5,"kind":"k","value_micros":7,"currency":"USD","adjusts":"a"}"#;
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
    assert_eq!(fault(r#"{"c\u0068annel":"a","source":"s","channel":"a"}"#), "channel: named twice");
}

#[test]
fn whole_numbers_are_whole() {
    for number in ["1.0", "1e3", "1E3", "0.5", "-0", "1e-400", "9223372036854775808", "18446744073709551616", "1e400"] {
        let reason = fault(&format!(r#"{{"cost_micros":{number}}}"#));
        assert!(reason.starts_with("cost_micros: "), "{reason}");
        let reason = fault(&format!(r#"{{"occurred_at":{number}}}"#));
        assert!(reason.starts_with("occurred_at: "), "{reason}");
    }
    assert_eq!(one(r#"{"cost_micros":9223372036854775807}"#).cost_micros, Some(i64::MAX));
    assert_eq!(one(r#"{"cost_micros":-9223372036854775808}"#).cost_micros, Some(i64::MIN));
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
    assert_eq!(fault(r#"{"channel":true}"#), "channel: a boolean where a string is asked");
    assert_eq!(fault(r#"{"channel":["a"]}"#), "channel: an array where a string is asked");
    assert_eq!(fault(r#"{"event_id":{"a":1}}"#), "event_id: an object where a string is asked");
    assert_eq!(fault(r#"{"cost_micros":"1"}"#), "cost_micros: a string where a whole number is asked");
    assert_eq!(fault(r#"{"cost_micros":false}"#), "cost_micros: a boolean where a whole number is asked");
    assert!(fault(r#"{"occurred_at":"yesterday"}"#).starts_with("occurred_at: not an RFC 3339 time"));
    assert!(fault(r#"{"occurred_at":"1700000000000"}"#).starts_with("occurred_at: not an RFC 3339 time"));
    assert!(fault(r#"{"occurred_at":[]}"#).starts_with("occurred_at: an array where a time"));
}

#[test]
fn times_are_numbers_or_text() {
    assert_eq!(one(r#"{"occurred_at":1700000000123}"#).occurred_at, Some(1_700_000_000_123));
    assert_eq!(one(r#"{"occurred_at":"2023-11-14T22:13:20.1239Z"}"#).occurred_at, Some(1_700_000_000_123));
    assert_eq!(one(r#"{"occurred_at":"2023-11-14T23:13:20\u002e123+01:00"}"#).occurred_at, Some(1_700_000_000_123));
    assert_eq!(one(r#"{"occurred_at":-1}"#).occurred_at, Some(-1));
}

#[test]
fn what_is_no_object_is_a_fault_of_the_value() {
    for json in ["1", "null", "[]", r#""a""#, "true", "[{}]"] {
        assert_eq!(fault(json), "value: not a JSON object", "{json}");
    }
    for json in
        ["", " ", "{", "{]", "{} {}", "{},", "{}x", "{\"a\":1,}", "{\"a\" 1}", "{'a':1}", "\u{feff}{}", "{\"a\":tru}"]
    {
        assert!(fault(json).starts_with("value: not JSON: "), "{json}: {}", fault(json));
    }
    assert_eq!(touchpoint(b"{\"x\":\"\xff\"}").unwrap_err().to_string(), "value: not UTF-8");
    assert_eq!(touchpoint(b"{\"x\":\"\xed\xa0\x80\"}").unwrap_err().to_string(), "value: not UTF-8");
}

#[test]
fn broken_text_is_refused_by_field() {
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\x""#, "\"a\nb\"", "\"a", "ab"] {
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
