//! What texts can be, as the document has it: each shape once, by name, and which field needs which. A schema counts characters,
//! not bytes, and knows neither today nor whether one time is before another: such rules stand in descriptions.

use serde_json::{Value, json};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, OneOfBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{ObjectBuilder, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::events::MAX_EVENTS;
use super::writes::{ConversionEvent, TouchpointEvent};
use crate::access::request::MAX_NOTE;
use crate::core::Model;
use crate::core::event::{END_TIME, MAX_ID_BYTES, MAX_TEXT_BYTES, MIN_TIME};
use crate::store::BUCKET_MS;

/// A day from 2000-01-01 to 2099-12-31, those of leap years too.
const DAY: &str = "20(?:[0-9]{2}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|\
                   02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[02468][048]|[13579][26])-02-29)";
const HOUR: &str = "(?:[01][0-9]|2[0-3])";

macro_rules! shapes {
    ($($(#[$about:meta])* $name:ident = $schema:expr;)*) => {
        $(
            $(#[$about])*
            pub(in crate::api) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    RefOr::T(Schema::from($schema))
                }
            }

            impl ToSchema for $name {}
        )*

        /// Every shape by its name.
        pub(super) fn all() -> Vec<(String, RefOr<Schema>)> {
            vec![$(($name::name().into_owned(), $name::schema())),*]
        }
    };
}

shapes! {
    /// An id of an event, a user or a conversion.
    Id = plain(1, MAX_ID_BYTES, "1 to 128 bytes of UTF-8, without control characters.");
    /// A text of an event that may be left out.
    Text = plain(0, MAX_TEXT_BYTES, "At most 512 bytes of UTF-8, without control characters. Empty is as if it were not there.");
    /// What is written down beside a key.
    Note = plain(0, MAX_NOTE, "At most 200 bytes of UTF-8, without control characters.");
    /// The public id of a key.
    KeyId = pattern("^[0-9A-Za-z]{16}$", "The public id of a key.");
    /// The currency of an event.
    Currency = pattern("^(?:[A-Z]{3})?$", "Three letters A to Z. Empty is as if it were not there.");
    /// Where a caller may ask from.
    Network = pattern(
        "^[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?$",
        "An address or a network, without bits behind its prefix: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`.",
    );
    /// Where a page goes on.
    PageCursor = pattern("^[0-9A-Za-z_-]{16}$", "What the page before gave as `next`, as it is.");
    /// A model's name.
    ModelName = string().enum_values(Some(Model::ALL.map(Model::name)));
    /// Touchpoints in a body.
    Touchpoints = one_or_many::<TouchpointEvent>("One touchpoint or many.");
    /// Conversions and adjustments in a body.
    Conversions = one_or_many::<ConversionEvent>("One conversion or adjustment, or many.");
    /// When something happened.
    Moment = OneOfBuilder::new()
        .item(millis(1, END_TIME - 1))
        .item(pattern(&format!("^{DAY}{}$", time("[0-5][0-9]", "[0-5][0-9]", "[0-9]+")), "An RFC 3339 time with an offset."))
        .description(Some("Milliseconds since 1970, or an RFC 3339 time with an offset; from 2000 to before 2100."));
    /// A bound of a report.
    Bound = OneOfBuilder::new()
        .item(millis(BUCKET_MS, END_TIME))
        .item(pattern(&format!("^{DAY}(?:{})?$", time("(?:00|15|30|45)", "00", "0+")), "A UTC day, or an RFC 3339 time."))
        .description(Some("Milliseconds since 1970, an RFC 3339 time or a UTC day, on a whole quarter of an hour."));
}

/// A time of day with its offset, minutes, seconds and fraction of these patterns.
fn time(minute: &str, second: &str, fraction: &str) -> String {
    format!("[Tt]{HOUR}:{minute}:{second}(?:\\.{fraction})?(?:[Zz]|[+-]{HOUR}:{minute})")
}

fn one_or_many<T: ToSchema>(about: &str) -> OneOfBuilder {
    let one = || Ref::from_schema_name(T::name());
    let many = ArrayBuilder::new().items(one()).min_items(Some(1)).max_items(Some(MAX_EVENTS));
    OneOfBuilder::new().item(one()).item(many).description(Some(about))
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn pattern(pattern: &str, about: &str) -> ObjectBuilder {
    string().pattern(Some(pattern)).description(Some(about))
}

/// Without control characters (Unicode's Cc).
fn plain(least: usize, most: usize, about: &str) -> ObjectBuilder {
    let bounds = string().min_length(Some(least).filter(|least| *least > 0)).max_length(Some(most));
    bounds.pattern(Some("^[^\\u0000-\\u001f\\u007f-\\u009f]*$")).description(Some(about))
}

fn millis(step: i64, most: i64) -> ObjectBuilder {
    let number =
        ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
    let bounds = number.minimum(Some(MIN_TIME)).maximum(Some(most)).multiple_of(Some(step).filter(|step| *step > 1));
    bounds.description(Some("Milliseconds since 1970."))
}

/// Says that a number in `field` needs `other`, which is then of this shape; `null` is as if a field were not there.
pub(super) fn needs(schema: Option<&mut RefOr<Schema>>, field: &str, other: &str, shape: &Value) {
    if let Some(RefOr::T(Schema::Object(object))) = schema {
        let rule = json!({
            "if": {"properties": {field: {"type": "integer"}}, "required": [field]},
            "then": {"properties": {other: shape}, "required": [other]},
        });
        object.extensions = Some(Extensions::from_iter([("allOf", json!([rule]))]));
    }
}
