//! Events as the JSON that a producer would send.

use serde_json::{Map, Value, json};

use super::shoppers::Event;

/// The JSON of an event; absent fields are left out. Input for [`crate::codec::json`].
pub fn json(event: &Event) -> Vec<u8> {
    let fields: Vec<(&str, Value)> = match event {
        Event::Touchpoint(t) => vec![
            ("event_id", json!(t.event_id)),
            ("user_id", json!(t.user_id)),
            ("occurred_at", json!(t.occurred_at)),
            ("channel", json!(t.channel)),
            ("interaction", json!(t.interaction)),
            ("source", json!(t.source)),
            ("medium", json!(t.medium)),
            ("campaign", json!(t.campaign)),
            ("content", json!(t.content)),
            ("term", json!(t.term)),
            ("cost_micros", json!(t.cost_micros)),
            ("currency", json!(t.currency)),
            ("milestone", json!(t.milestone)),
        ],
        Event::Conversion(c) => vec![
            ("event_id", json!(c.event_id)),
            ("user_id", json!(c.user_id)),
            ("occurred_at", json!(c.occurred_at)),
            ("kind", json!(c.kind)),
            ("value_micros", json!(c.value_micros)),
            ("currency", json!(c.currency)),
            ("adjusts", json!(c.adjusts)),
        ],
    };
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(present.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>()).to_string().into_bytes()
}
