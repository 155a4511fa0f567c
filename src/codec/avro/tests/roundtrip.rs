//! What we write, apache-avro reads under the committed schemas; what it writes, we read.

use proptest::prelude::*;

use super::*;
use crate::codec::{json, samples, schemas};
use crate::core::event::ConversionEvent;
use crate::core::{Row, Touchpoint};

fn option_text(text: Option<&str>) -> Value {
    text.map_or_else(|| some(0, Value::Null), |text| some(1, string(text)))
}

fn touchpoint_value(t: &Touchpoint<'_>) -> Value {
    fields(&[
        ("event_id", string(t.event_id)),
        ("user_id", string(t.user_id)),
        ("occurred_at", Value::TimestampMillis(t.occurred_at)),
        ("channel", option_text(t.channel)),
        ("interaction", option_text(Some(t.interaction))),
        ("source", option_text(t.source)),
        ("medium", option_text(t.medium)),
        ("campaign", option_text(t.campaign)),
        ("content", option_text(t.content)),
        ("term", option_text(t.term)),
        ("cost_micros", t.cost_micros.map_or(some(0, Value::Null), |v| some(1, Value::Long(v)))),
        ("currency", option_text(t.currency)),
        ("milestone", option_text(t.milestone)),
    ])
}

fn row_value(row: &Row<'_>) -> Value {
    let mut id = Vec::new();
    row.write_id(&mut id);
    fields(&[
        ("row_id", Value::String(String::from_utf8(id).unwrap())),
        ("conversion_id", string(row.conversion_id)),
        ("model", string(row.model.name())),
        ("model_version", row.model_version.map_or(some(0, Value::Null), |v| some(1, Value::Int(v)))),
        ("touchpoint_id", string(row.touchpoint_id)),
        ("user_id", string(row.user_id)),
        ("kind", string(row.kind)),
        ("converted_at", Value::TimestampMillis(row.converted_at)),
        ("touched_at", row.touched_at.map_or(some(0, Value::Null), |v| some(1, Value::TimestampMillis(v)))),
        ("channel", string(row.channel)),
        ("interaction", option_text(row.interaction)),
        ("source", option_text(row.source)),
        ("medium", option_text(row.medium)),
        ("campaign", option_text(row.campaign)),
        ("content", option_text(row.content)),
        ("term", option_text(row.term)),
        ("position", Value::Int(row.position)),
        ("path_length", Value::Int(row.path_length)),
        ("credit_micros", Value::Long(row.credit_micros)),
        ("credited_micros", Value::Long(row.credited_micros)),
        ("conversion_micros", Value::Long(row.conversion_micros)),
        ("currency", option_text(row.currency)),
        ("revision", Value::Long(row.revision)),
        ("truncated", Value::Boolean(row.truncated)),
        ("removed", Value::Boolean(row.removed)),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn touchpoints(owned in samples::touchpoint()) {
        let touchpoint = owned.view();
        let schema = Schema::parse_str(schemas::TOUCHPOINT).unwrap();
        let mut framed = Vec::new();
        write_touchpoint(7, &touchpoint, &mut framed);
        prop_assert_eq!(&framed[..5], &[0, 0, 0, 0, 7]);
        let datum = &framed[5..];
        prop_assert_eq!(read_all(&schema, datum), touchpoint_value(&touchpoint));
        prop_assert_eq!(encode(&schema, touchpoint_value(&touchpoint)), datum);
        let plan = TouchpointPlan::compile(&schema).unwrap();
        let draft = plan.decode(datum).unwrap();
        prop_assert_eq!(draft.check(), Ok(touchpoint));
        for cut in 0..datum.len() {
            prop_assert!(plan.decode(&datum[..cut]).is_err());
        }
        let longer = [datum, &[0, 0]].concat();
        prop_assert_eq!(plan.decode(&longer), Err(Fault::new("value", "2 bytes left over")));
    }

    #[test]
    fn conversions_and_adjustments(owned in samples::conversion()) {
        let schema = Schema::parse_str(schemas::CONVERSION).unwrap();
        let plan = ConversionPlan::compile(&schema).unwrap();
        for event in [ConversionEvent::Conversion(owned.conversion()), ConversionEvent::Adjustment(owned.adjustment())] {
            let mut framed = Vec::new();
            write_conversion(u32::MAX, &event, &mut framed);
            let datum = &framed[5..];
            prop_assert_eq!(encode(&schema, read_all(&schema, datum)), datum);
            let draft = plan.decode(datum).unwrap();
            prop_assert_eq!(draft.check(), Ok(event));
            for cut in 0..datum.len() {
                prop_assert!(plan.decode(&datum[..cut]).is_err());
            }
        }
    }

    #[test]
    fn rows(owned in samples::row()) {
        let row = owned.row();
        let schema = Schema::parse_str(schemas::ATTRIBUTION).unwrap();
        let mut framed = vec![1, 2, 3];
        write_row(258, &row, &mut framed);
        let framed = &framed[3..];
        prop_assert_eq!(&framed[..5], &[0, 0, 0, 1, 2]);
        prop_assert_eq!(read_all(&schema, &framed[5..]), row_value(&row));
        prop_assert_eq!(encode(&schema, row_value(&row)), &framed[5..]);
        prop_assert_eq!(read_row(framed), Ok((258, row)));
        let (mut expected, mut json) = (b"x".to_vec(), b"x".to_vec());
        json::write_row(&row, &mut expected);
        row_to_json(framed, &mut json).unwrap();
        prop_assert_eq!(json, expected);
        for cut in 0..framed.len() {
            prop_assert!(read_row(&framed[..cut]).is_err());
        }
    }
}

#[test]
fn rows_of_other_shapes_are_refused() {
    let base = Row {
        conversion_id: "c",
        model: crate::core::Model::Linear,
        model_version: None,
        touchpoint_id: "t",
        user_id: "u",
        kind: "k",
        converted_at: 1,
        touched_at: None,
        channel: "x",
        interaction: None,
        source: None,
        medium: None,
        campaign: None,
        content: None,
        term: None,
        position: 1,
        path_length: 1,
        credit_micros: 1,
        credited_micros: 0,
        conversion_micros: 0,
        currency: None,
        revision: 2,
        truncated: false,
        removed: false,
    };
    let framed = |row: &Row<'_>| {
        let mut out = Vec::new();
        write_row(1, row, &mut out);
        out
    };
    let good = framed(&base);
    assert!(read_row(&good).is_ok());
    let fault = |bytes: &[u8]| read_row(bytes).unwrap_err().to_string();
    assert_eq!(fault(&[&good[..], &[0]].concat()), "value: 1 bytes left over");
    assert_eq!(fault(b"{}"), "value: no Confluent-framed Avro");
    let text = |bytes: &[u8], from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).rposition(|w| w == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    assert!(fault(&text(&good, b"linear", b"linaer")).starts_with("model: no model is named"));
    assert_eq!(fault(&text(&good, b"\x02t\x02u", b"\x02s\x02u")), "row_id: not the id of this row");
    let last = good.len() - 1;
    let mut odd = good.clone();
    odd[last] = 2;
    assert_eq!(fault(&odd), "removed: a boolean that is neither 0 nor 1");
}

#[test]
fn long_ids_take_a_long_length() {
    let id = "|".repeat(128);
    let owned = Row { conversion_id: &id, touchpoint_id: &id, ..unattributed() };
    let mut framed = Vec::new();
    write_row(1, &owned, &mut framed);
    let schema = Schema::parse_str(schemas::ATTRIBUTION).unwrap();
    assert_eq!(read_all(&schema, &framed[5..]), row_value(&owned));
    assert_eq!(read_row(&framed), Ok((1, owned)));
}

fn unattributed<'a>() -> Row<'a> {
    let conversion = crate::core::Conversion {
        event_id: "c",
        user_id: "u",
        occurred_at: 1_700_000_000_000,
        kind: "purchase",
        value_micros: Some(5),
        currency: Some("EUR"),
    };
    let mut rows = Vec::new();
    let rules = crate::core::Rules::default();
    crate::core::row::credit(&conversion, &[], &[], &rules, &mut Default::default(), &mut rows);
    rows[0]
}
