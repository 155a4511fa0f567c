//! The plans and the writers against apache-avro.

mod evolution;
mod hostile;
mod random;
mod roundtrip;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;

use super::*;

/// A schema from its JSON.
fn schema(json: &serde_json::Value) -> Schema {
    Schema::parse(json).unwrap_or_else(|e| panic!("{json}: {e}"))
}

/// A record schema of these fields, each `[name, type]`.
fn record(fields: &[(&str, serde_json::Value)]) -> Schema {
    let fields: Vec<_> =
        fields.iter().map(|(name, schema)| serde_json::json!({"name": name, "type": schema})).collect();
    schema(&serde_json::json!({"type": "record", "name": "Event", "namespace": "shop", "fields": fields}))
}

/// A datum as apache-avro writes it.
fn encode(schema: &Schema, value: Value) -> Vec<u8> {
    GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap()
}

/// A datum as apache-avro reads it, all of it.
fn read_all(schema: &Schema, mut datum: &[u8]) -> Value {
    let value = GenericDatumReader::builder(schema).build().unwrap().read_value(&mut datum).unwrap();
    assert!(datum.is_empty(), "{} bytes left", datum.len());
    value
}

/// A record value of these fields.
fn fields(values: &[(&str, Value)]) -> Value {
    Value::Record(values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

fn some(branch: u32, value: Value) -> Value {
    Value::Union(branch, Box::new(value))
}

fn string(text: &str) -> Value {
    Value::String(text.into())
}
