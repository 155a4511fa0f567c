//! Any writer's schema around our fields, as apache-avro writes it: we read what was written, from all of it only.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::event::TouchpointDraft;

/// A type of a field that is not ours.
#[derive(Clone, Debug)]
enum Type {
    Plain(&'static str),
    Logical(&'static str, &'static str),
    Fixed(u64, usize),
    Enum(u64, u8),
    Array(Box<Type>),
    Map(Box<Type>),
    Record(u64, Vec<Type>),
    Option(Box<Type>),
}

fn types() -> impl Strategy<Value = Type> {
    let plain = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    let logical = [
        ("int", "date"),
        ("int", "time-millis"),
        ("long", "time-micros"),
        ("long", "timestamp-micros"),
        ("long", "local-timestamp-nanos"),
    ];
    let leaf = prop_oneof![
        4 => proptest::sample::select(plain.to_vec()).prop_map(Type::Plain),
        2 => proptest::sample::select(logical.to_vec()).prop_map(|(base, unit)| Type::Logical(base, unit)),
        1 => (any::<u64>(), 0usize..20).prop_map(|(name, size)| Type::Fixed(name, size)),
        1 => (any::<u64>(), 1u8..5).prop_map(|(name, count)| Type::Enum(name, count)),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| Type::Array(Box::new(t))),
            inner.clone().prop_map(|t| Type::Map(Box::new(t))),
            (any::<u64>(), proptest::collection::vec(inner.clone(), 0..4)).prop_map(|(n, t)| Type::Record(n, t)),
            inner
                .prop_filter("no union in a union", |t| !matches!(t, Type::Option(_) | Type::Plain("null")))
                .prop_map(|t| Type::Option(Box::new(t))),
        ]
    })
}

impl Type {
    fn schema(&self) -> serde_json::Value {
        match self {
            Self::Plain(name) => json!(name),
            Self::Logical(base, unit) => json!({"type": base, "logicalType": unit}),
            Self::Fixed(name, size) => json!({"type": "fixed", "name": format!("F{name}"), "size": size}),
            Self::Enum(name, count) => {
                let symbols: Vec<_> = (0..*count).map(|n| format!("S{n}")).collect();
                json!({"type": "enum", "name": format!("E{name}"), "symbols": symbols})
            }
            Self::Array(item) => json!({"type": "array", "items": item.schema()}),
            Self::Map(value) => json!({"type": "map", "values": value.schema()}),
            Self::Record(name, types) => {
                let fields: Vec<_> = (0..)
                    .zip(types)
                    .map(|(n, t): (u32, _)| json!({"name": format!("f{n}"), "type": t.schema()}))
                    .collect();
                json!({"type": "record", "name": format!("R{name}"), "fields": fields})
            }
            Self::Option(inner) => json!([inner.schema(), "null"]),
        }
    }

    /// A value of this type, chosen by `seed`.
    fn value(&self, seed: &mut u64) -> Value {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (*seed >> 16) as i64;
        match self {
            Self::Plain("null") => Value::Null,
            Self::Plain("boolean") => Value::Boolean(number % 2 == 0),
            Self::Plain("int") => Value::Int(number as i32),
            Self::Plain("long") => Value::Long(number),
            Self::Plain("float") => Value::Float(number as f32),
            Self::Plain("double") => Value::Double(number as f64),
            Self::Plain("bytes") => Value::Bytes(number.to_le_bytes().to_vec()),
            Self::Plain(_) => Value::String(number.to_string()),
            Self::Logical(_, "date") => Value::Date(number as i32),
            Self::Logical(_, "time-millis") => Value::TimeMillis(number as i32),
            Self::Logical(_, "time-micros") => Value::TimeMicros(number),
            Self::Logical(_, "timestamp-micros") => Value::TimestampMicros(number),
            Self::Logical(..) => Value::LocalTimestampNanos(number),
            Self::Fixed(_, size) => Value::Fixed(*size, vec![number as u8; *size]),
            Self::Enum(_, count) => {
                let symbol = number.unsigned_abs() % u64::from(*count);
                Value::Enum(symbol as u32, format!("S{symbol}"))
            }
            Self::Array(item) => Value::Array((0..number & 3).map(|_| item.value(seed)).collect()),
            Self::Map(value) => Value::Map((0..number & 3).map(|n| (n.to_string(), value.value(seed))).collect()),
            Self::Record(_, types) => {
                let fields = (0..).zip(types).map(|(n, t): (u32, _)| (format!("f{n}"), t.value(seed)));
                Value::Record(fields.collect())
            }
            Self::Option(inner) if number % 2 == 0 => some(0, inner.value(seed)),
            Self::Option(_) => some(1, Value::Null),
        }
    }
}

/// One of our fields as some writer may have it, and what it is to be read as.
fn ours(number: usize, variant: u8, text: &str) -> (&'static str, serde_json::Value, Value, TouchpointDraft<'static>) {
    let mut draft = TouchpointDraft::default();
    let owned = || Some(text.to_owned().into());
    match number {
        0 => {
            draft.event_id = owned();
            ("event_id", json!("string"), string(text), draft)
        }
        1 if variant == 0 => ("channel", json!(["string", "int", "null"]), some(2, Value::Null), draft),
        1 => {
            draft.channel = owned();
            ("channel", json!(["int", "null", "string"]), some(2, string(text)), draft)
        }
        2 if variant == 0 => {
            draft.occurred_at = Some(-3);
            (
                "occurred_at",
                json!({"type": "long", "logicalType": "timestamp-micros"}),
                Value::TimestampMicros(-2001),
                draft,
            )
        }
        2 => {
            draft.occurred_at = Some(77);
            (
                "occurred_at",
                json!(["null", {"type": "long", "logicalType": "timestamp-millis"}]),
                some(1, Value::TimestampMillis(77)),
                draft,
            )
        }
        _ => {
            draft.cost_micros = Some(-1);
            ("cost_micros", json!("int"), Value::Int(-1), draft)
        }
    }
}

fn merged(a: TouchpointDraft<'static>, b: TouchpointDraft<'static>) -> TouchpointDraft<'static> {
    TouchpointDraft {
        event_id: a.event_id.or(b.event_id),
        occurred_at: a.occurred_at.or(b.occurred_at),
        channel: a.channel.or(b.channel),
        cost_micros: a.cost_micros.or(b.cost_micros),
        ..a
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_writers_schema(
        others in proptest::collection::vec(types(), 0..6),
        mine in proptest::sample::subsequence(vec![0usize, 1, 2, 3], 0..=4),
        places in any::<[usize; 4]>(),
        variant in 0u8..2,
        mut seed in any::<u64>(),
        noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut columns: Vec<(String, serde_json::Value, Value)> = (0..)
            .zip(&others)
            .map(|(n, t): (u32, _)| (format!("x{n}"), t.schema(), t.value(&mut seed)))
            .collect();
        let mut expected = TouchpointDraft::default();
        for (number, place) in mine.into_iter().zip(places) {
            let (name, kind, value, draft) = ours(number, variant, "text");
            columns.insert(place % (columns.len() + 1), (name.into(), kind, value));
            expected = merged(expected, draft);
        }
        let kinds: Vec<_> = columns.iter().map(|(name, kind, _)| (name.as_str(), kind.clone())).collect();
        let values: Vec<_> = columns.iter().map(|(name, _, value)| (name.as_str(), value.clone())).collect();
        let schema = record(&kinds);
        let datum = encode(&schema, fields(&values));
        let plan = TouchpointPlan::compile(&schema).unwrap();
        prop_assert_eq!(plan.decode(&datum), Ok(expected));
        for cut in 0..datum.len() {
            prop_assert!(plan.decode(&datum[..cut]).is_err(), "cut at {} of {}", cut, datum.len());
        }
        let longer = [&datum[..], &[0]].concat();
        prop_assert!(plan.decode(&longer).is_err());
        // Any bytes at all: an answer, whatever it is.
        let _answer = plan.decode(&noise).is_ok();
        let mut bent = datum;
        for (place, byte) in noise.iter().enumerate().take(8) {
            let at = (place * 31 + usize::from(*byte)) % bent.len().max(1);
            if let Some(bit) = bent.get_mut(at) {
                *bit ^= byte;
                let _answer = plan.decode(&bent).is_ok();
            }
        }
    }
}
