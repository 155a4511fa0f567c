//! Writer's schemas other than ours: what resolves, and what is refused.

use std::borrow::Cow;

use serde_json::json;

use super::*;
use crate::core::event::TouchpointDraft;

fn compile(fields: &[(&str, serde_json::Value)]) -> Result<TouchpointPlan, String> {
    TouchpointPlan::compile(&record(fields)).map_err(|fault| fault.to_string())
}

fn decode_one(kind: serde_json::Value, name: &str, value: Value) -> Result<(Option<i64>, Option<String>), String> {
    let schema = record(&[(name, kind)]);
    let datum = encode(&schema, fields(&[(name, value)]));
    let plan = TouchpointPlan::compile(&schema).map_err(|fault| fault.to_string())?;
    let draft = plan.decode(&datum).map_err(|fault| fault.to_string())?;
    Ok((draft.occurred_at.or(draft.cost_micros), draft.channel.map(Cow::into_owned)))
}

#[test]
fn reordered_added_and_dropped_fields() {
    let schema = record(&[
        ("channel", json!(["string", "null"])),
        ("loyalty", json!({"type": "map", "values": "double"})),
        ("user_id", json!("string")),
        (
            "tags",
            json!({"type": "array", "items": {"type": "record", "name": "Tag", "fields": [
            {"name": "channel", "type": "string"}, {"name": "weight", "type": "float"}]}}),
        ),
        ("occurred_at", json!({"type": "long", "logicalType": "timestamp-millis"})),
        ("tag", json!("Tag")),
        ("event_id", json!("string")),
        ("nothing", json!("null")),
        ("flag", json!("boolean")),
    ]);
    let tag = |text| fields(&[("channel", string(text)), ("weight", Value::Float(0.5))]);
    let value = fields(&[
        ("channel", some(0, string("email"))),
        ("loyalty", Value::Map([("a".to_owned(), Value::Double(1.5))].into())),
        ("user_id", string("u")),
        ("tags", Value::Array(vec![tag("x"), tag("y")])),
        ("occurred_at", Value::TimestampMillis(1_700_000_000_000)),
        ("tag", tag("z")),
        ("event_id", string("e")),
        ("nothing", Value::Null),
        ("flag", Value::Boolean(true)),
    ]);
    let datum = encode(&schema, value);
    let plan = TouchpointPlan::compile(&schema).unwrap();
    let draft = plan.decode(&datum).unwrap();
    let expected = TouchpointDraft {
        event_id: Some("e".into()),
        user_id: Some("u".into()),
        occurred_at: Some(1_700_000_000_000),
        channel: Some("email".into()),
        ..TouchpointDraft::default()
    };
    assert_eq!(draft, expected);
    assert!(matches!(draft.channel, Some(Cow::Borrowed(_))));
    for cut in 0..datum.len() {
        assert!(plan.decode(&datum[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_required_field_that_the_writer_lacks_is_absent() {
    let plan = compile(&[("user_id", json!("string"))]).unwrap();
    let draft = plan.decode(&[2, b'u']).unwrap();
    assert_eq!(draft.check().unwrap_err().to_string(), "event_id: required");
    assert_eq!(compile(&[]).unwrap().decode(&[]), Ok(TouchpointDraft::default()));
}

#[test]
fn unions_in_any_order() {
    let cost = |kind, value| decode_one(kind, "cost_micros", value).map(|(number, _)| number);
    assert_eq!(cost(json!(["null", "long"]), some(1, Value::Long(5))), Ok(Some(5)));
    assert_eq!(cost(json!(["long", "null"]), some(0, Value::Long(5))), Ok(Some(5)));
    assert_eq!(cost(json!(["long", "null"]), some(1, Value::Null)), Ok(None));
    assert_eq!(cost(json!(["string", "null", "int"]), some(2, Value::Int(-5))), Ok(Some(-5)));
    assert_eq!(cost(json!(["null"]), some(0, Value::Null)), Ok(None));
    assert_eq!(cost(json!("null"), Value::Null), Ok(None));
    assert_eq!(
        cost(json!(["string", "null", "int"]), some(0, string("5"))),
        Err("cost_micros: string in the writer's schema where an int or a long is asked".into())
    );
    assert_eq!(cost(json!(["null", "double"]), some(0, Value::Null)), Ok(None));
    assert!(
        cost(json!(["null", "double"]), some(1, Value::Double(1.0))).unwrap_err().starts_with("cost_micros: double")
    );
    assert!(compile(&[("cost_micros", json!(["double", "float"]))]).unwrap_err().starts_with("cost_micros: double"));
    let channel = |kind, value| decode_one(kind, "channel", value).map(|(_, text)| text);
    assert_eq!(
        channel(json!(["int", "bytes", "null"]), some(1, Value::Bytes(b"ads".to_vec()))),
        Ok(Some("ads".into()))
    );
    let plan = compile(&[("channel", json!(["null", "string"]))]).unwrap();
    assert_eq!(plan.decode(&[4]).unwrap_err().to_string(), "channel: a union branch that does not exist");
    assert_eq!(plan.decode(&[1]).unwrap_err().to_string(), "channel: a negative union branch or enum symbol");
}

#[test]
fn promotions() {
    let number = |name, kind, value| decode_one(kind, name, value).map(|(number, _)| number);
    assert_eq!(number("cost_micros", json!("int"), Value::Int(i32::MIN)), Ok(Some(i64::from(i32::MIN))));
    assert_eq!(number("occurred_at", json!("int"), Value::Int(7)), Ok(Some(7)));
    let text = |kind, value| decode_one(kind, "channel", value).map(|(_, text)| text);
    assert_eq!(text(json!("bytes"), Value::Bytes("é".into())), Ok(Some("é".into())));
    assert_eq!(text(json!("bytes"), Value::Bytes(vec![0xff])), Err("channel: not UTF-8".into()));
    let uuid = json!({"type": "string", "logicalType": "uuid"});
    let id = "123e4567-e89b-12d3-a456-426614174000";
    assert_eq!(text(uuid, string(id)), Ok(Some(id.into())));
    let kind = json!({"type": "enum", "name": "Channel", "symbols": ["email", "ads"]});
    assert_eq!(text(kind.clone(), Value::Enum(1, "ads".into())), Ok(Some("ads".into())));
    let plan = compile(&[("channel", kind)]).unwrap();
    assert_eq!(plan.decode(&[4]).unwrap_err().to_string(), "channel: an enum symbol that does not exist");
}

#[test]
fn types_by_name() {
    let schema = record(&[
        ("first", json!({"type": "enum", "name": "Channel", "symbols": ["email", "ads"]})),
        ("channel", json!(["null", "Channel"])),
        ("parent", json!(["null", "Event"])),
    ]);
    let plan = TouchpointPlan::compile(&schema).unwrap();
    let event = |parent| {
        fields(&[
            ("first", Value::Enum(0, "email".into())),
            ("channel", some(1, Value::Enum(1, "ads".into()))),
            ("parent", parent),
        ])
    };
    let datum = encode(&schema, event(some(1, event(some(1, event(some(0, Value::Null)))))));
    let draft = plan.decode(&datum).unwrap();
    assert_eq!(draft.channel.as_deref(), Some("ads"));
    assert!(plan.decode(&datum[..datum.len() - 1]).is_err());
    assert!(plan.decode(&[&datum[..], &[0]].concat()).is_err());
}

#[test]
fn times_in_any_unit_are_milliseconds_or_refused() {
    let logical = |unit: &str| json!({"type": "long", "logicalType": unit});
    let time = |kind, value| decode_one(kind, "occurred_at", value).map(|(number, _)| number);
    assert_eq!(time(json!("long"), Value::Long(-1)), Ok(Some(-1)));
    assert_eq!(
        time(logical("timestamp-millis"), Value::TimestampMillis(1_700_000_000_123)),
        Ok(Some(1_700_000_000_123))
    );
    let micros = |n| time(logical("timestamp-micros"), Value::TimestampMicros(n));
    assert_eq!(micros(1_700_000_000_123_999), Ok(Some(1_700_000_000_123)));
    assert_eq!(micros(-1), Ok(Some(-1)));
    assert_eq!(micros(-1000), Ok(Some(-1)));
    assert_eq!(micros(-1001), Ok(Some(-2)));
    let nanos = |n| time(logical("timestamp-nanos"), Value::TimestampNanos(n));
    assert_eq!(nanos(1_700_000_000_123_999_999), Ok(Some(1_700_000_000_123)));
    assert_eq!(nanos(-1), Ok(Some(-1)));
    assert_eq!(nanos(i64::MIN), Ok(Some(i64::MIN.div_euclid(1_000_000))));
    assert_eq!(time(json!(["null", logical("timestamp-micros")]), some(1, Value::TimestampMicros(5_000))), Ok(Some(5)));
    for unit in ["local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos", "time-micros"] {
        let fault = compile(&[("occurred_at", logical(unit))]).unwrap_err();
        assert!(fault.starts_with(&format!("occurred_at: {unit} in the writer's schema where a timestamp")), "{fault}");
    }
    for unit in ["date", "time-millis"] {
        let fault = compile(&[("occurred_at", json!({"type": "int", "logicalType": unit}))]).unwrap_err();
        assert!(fault.starts_with("occurred_at: "), "{fault}");
    }
    for kind in ["string", "bytes", "double", "float", "boolean"] {
        assert!(compile(&[("occurred_at", json!(kind))]).unwrap_err().starts_with("occurred_at: "), "{kind}");
    }
}

#[test]
fn a_unit_beside_the_type_is_refused() {
    let beside = |unit: &str| {
        let field = json!({"name": "occurred_at", "type": "long", "logicalType": unit});
        TouchpointPlan::compile(&schema(&json!({"type": "record", "name": "E", "fields": [field]})))
    };
    assert!(beside("timestamp-millis").is_ok());
    let fault = beside("timestamp-micros").unwrap_err().to_string();
    assert!(
        fault.starts_with("occurred_at: the writer's schema has logicalType \"timestamp-micros\" beside"),
        "{fault}"
    );
}

#[test]
fn types_that_our_fields_cannot_be() {
    let fixed = json!({"type": "fixed", "name": "Id", "size": 16});
    let record_type = json!({"type": "record", "name": "Sub", "fields": []});
    let uuid = json!({"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"});
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2});
    for kind in
        [fixed, record_type, uuid, json!("int"), json!("long"), json!("boolean"), json!("double"), decimal.clone()]
    {
        let fault = compile(&[("event_id", kind)]).unwrap_err();
        assert!(fault.starts_with("event_id: ") && fault.ends_with("where a string is asked"), "{fault}");
    }
    for kind in [json!("double"), json!("float"), json!("string"), decimal, json!({"type": "array", "items": "long"})] {
        let fault = compile(&[("cost_micros", kind)]).unwrap_err();
        assert!(fault.starts_with("cost_micros: ") && fault.ends_with("where an int or a long is asked"), "{fault}");
    }
    let timestamp = json!({"type": "long", "logicalType": "timestamp-millis"});
    assert!(compile(&[("cost_micros", timestamp)]).unwrap_err().starts_with("cost_micros: timestamp-millis"));
}

#[test]
fn a_schema_that_is_no_record_is_refused() {
    for kind in [json!("string"), json!(["null", "string"]), json!({"type": "array", "items": "string"})] {
        let fault = TouchpointPlan::compile(&schema(&kind)).unwrap_err().to_string();
        assert!(fault.starts_with("value: ") && fault.ends_with("where a record is asked"), "{fault}");
    }
}
