//! Events to Avro by the committed schemas, in Confluent framing: what benches, demos and tests produce.

use super::primitive::{put_long, put_option_long, put_option_text, put_text};
use crate::codec::framing::put_frame;
use crate::core::Touchpoint;
use crate::core::event::ConversionEvent;

/// Appends a touchpoint, framed with the id that its schema has in the registry.
pub fn write_touchpoint(schema_id: u32, touchpoint: &Touchpoint<'_>, out: &mut Vec<u8>) {
    let t = touchpoint;
    put_frame(schema_id, out);
    put_text(t.event_id, out);
    put_text(t.user_id, out);
    put_long(t.occurred_at, out);
    put_option_text(t.channel, out);
    put_option_text(Some(t.interaction), out);
    for utm in [t.source, t.medium, t.campaign, t.content, t.term] {
        put_option_text(utm, out);
    }
    put_option_long(t.cost_micros, out);
    put_option_text(t.currency, out);
    put_option_text(t.milestone, out);
}

/// Appends a conversion or an adjustment, framed with the id that its schema has in the registry.
pub fn write_conversion(schema_id: u32, event: &ConversionEvent<'_>, out: &mut Vec<u8>) {
    let (event_id, kind, value_micros, currency, adjusts) = match event {
        ConversionEvent::Conversion(c) => (c.event_id, c.kind, c.value_micros, c.currency, None),
        ConversionEvent::Adjustment(a) => (a.event_id, a.kind, a.value_micros, a.currency, Some(a.adjusts)),
    };
    put_frame(schema_id, out);
    put_text(event_id, out);
    put_text(event.user_id(), out);
    put_long(event.occurred_at(), out);
    put_option_text(Some(kind), out);
    put_option_long(value_micros, out);
    put_option_text(currency, out);
    put_option_text(adjusts, out);
}
