//! Events as JSON in every spelling that the contract allows, and in many that it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apache_avro::Schema;
use serde_json::Value;
use tributary::codec::{avro, schemas};
use tributary::core::{ConversionEvent, Millis};
use tributary::registry::{Error, Schemas};
use tributary::topics::Input;

use crate::dice::Dice;
use crate::events::{Meaning, Written};

/// The ids of our schemas in the registry of the simulation.
const TOUCHPOINT: u32 = 1;
const CONVERSION: u32 = 2;
/// The id of the schema of rows.
pub const ROW: u32 = 3;

/// A registry that can be down.
pub fn registry(up: Arc<AtomicBool>) -> Arc<dyn Schemas> {
    let parse = |text| Arc::new(Schema::parse_str(text).unwrap());
    let (touchpoint, conversion) = (parse(schemas::TOUCHPOINT), parse(schemas::CONVERSION));
    Arc::new(move |id| match id {
        _ if !up.load(Ordering::Relaxed) => Err(Error::Unreachable("by chance".into())),
        TOUCHPOINT => Ok(Arc::clone(&touchpoint)),
        CONVERSION => Ok(Arc::clone(&conversion)),
        _ => Err(Error::UnknownId(id)),
    })
}

/// An event as framed Avro.
pub fn avro(meaning: Meaning, logged_at: Millis) -> Written {
    let mut value = Vec::new();
    let (input, user_id) = match &meaning {
        Meaning::Touch(touch) => {
            avro::write_touchpoint(TOUCHPOINT, &touch.core(), &mut value);
            (Input::Touchpoints, touch.user_id.clone())
        }
        Meaning::Order(order) => {
            let event = match order.adjusts {
                None => ConversionEvent::Conversion(order.conversion()),
                Some(_) => ConversionEvent::Adjustment(order.adjustment()),
            };
            avro::write_conversion(CONVERSION, &event, &mut value);
            (Input::Conversions, order.user_id.clone())
        }
        Meaning::Bad(_) => (Input::Touchpoints, String::new()),
    };
    Written { input, key: Some(user_id.into_bytes()), value: Some(value), logged_at, meaning }
}

/// An object of these fields in any order. What is absent is left out, null or (where it may be) empty.
pub fn object(dice: &mut Dice, mut fields: Vec<(&str, Option<Value>)>) -> Vec<u8> {
    for end in (1..fields.len()).rev() {
        let other = dice.index(end + 1);
        fields.swap(end, other);
    }
    if dice.chance(100) {
        fields.push(("unknown", Some(serde_json::json!({ "event_id": [1.5, null] }))));
    }
    let mut parts = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let optional_text = !matches!(name, "adjusts" | "value_micros" | "cost_micros");
        let spelled = match value {
            Some(value) if name == "occurred_at" => time(dice, value.as_i64().unwrap_or_default()),
            Some(Value::String(text)) if dice.chance(50) => escaped(&text),
            Some(value) => value.to_string(),
            None if dice.chance(150) => "null".to_owned(),
            None if optional_text && dice.chance(150) => "\"\"".to_owned(),
            None => continue,
        };
        parts.push(format!("\"{name}\":{spelled}"));
    }
    let between = *dice.pick(&[",", ",", " ,\n"]);
    format!("{{{}}}", parts.join(between)).into_bytes()
}

/// Milliseconds, or RFC 3339 with an offset.
fn time(dice: &mut Dice, at: Millis) -> String {
    if dice.chance(800) {
        return at.to_string();
    }
    let offset = *dice.pick(&[0, 7_200, -19_800]);
    let zone = chrono::FixedOffset::east_opt(offset).unwrap();
    let moment = chrono::DateTime::from_timestamp_millis(at).unwrap().with_timezone(&zone);
    let format = *dice.pick(&["%Y-%m-%dT%H:%M:%S%.3f%:z", "%Y-%m-%dT%H:%M:%S%.3f999%:z"]);
    format!("\"{}\"", moment.format(format))
}

/// Every character as its UTF-16 escapes.
fn escaped(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}

/// Makes a good record one that cannot be used, and says which field the reason must name.
pub fn spoil(dice: &mut Dice, written: &mut Written) -> &'static str {
    let value = written.value.take().unwrap_or_default();
    let text = String::from_utf8(value.clone()).unwrap();
    let (spoiled, field) = match dice.below(19) {
        0 => (Some(value[..value.len() - 1].to_vec()), ""),
        1 => {
            written.key = Some(b"somebody else".to_vec());
            (Some(value), "key")
        }
        2 => {
            written.key = None;
            (Some(value), "key")
        }
        3 => (None, "value"),
        4 => (Some(with(&text, "occurred_at", &(written.logged_at + 600_001).to_string())), "occurred_at"),
        5 => (Some(with(&text, "occurred_at", "946684799999")), "occurred_at"),
        6 => (Some(with(&text, "occurred_at", "1.7e12")), "occurred_at"),
        7 => (Some(with(&text, "occurred_at", "null")), "occurred_at"),
        8 => (Some(with(&text, "event_id", "\"\"")), "event_id"),
        9 => (Some(with(&text, "event_id", &format!("\"{}\"", "é".repeat(65)))), "event_id"),
        10 => (Some(with(&text, "event_id", "7")), "event_id"),
        11 => (Some(with(&text, "user_id", "\"a\\u0000b\"")), "user_id"),
        12 => (Some(with(&text, "currency", "\"eur\"")), "currency"),
        13 => (Some([value.as_slice(), b" {}"].concat()), ""),
        14 => (Some([&value[..value.len() - 1], b",\"event_id\":\"again\"}"].concat()), "event_id"),
        15 => (Some([b"\xff".as_slice(), &value].concat()), ""),
        16 => (Some(format!("[{text}]").into_bytes()), ""),
        17 => (Some([b"\0\0\0\0\x63".as_slice(), &value].concat()), "value"),
        _ => (Some(Vec::new()), ""),
    };
    written.value = spoiled;
    field
}

/// The object with another value of one field.
fn with(text: &str, name: &str, spelled: &str) -> Vec<u8> {
    let Value::Object(mut fields) = serde_json::from_str(text).unwrap() else {
        return Vec::new();
    };
    fields.remove(name);
    let rest = Value::Object(fields).to_string();
    format!("{{\"{name}\":{spelled},{}", &rest[1..]).into_bytes()
}
