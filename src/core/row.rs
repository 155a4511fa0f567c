//! Attribution rows: the pure function from a conversion, its adjustments, a journey and the rules to what is emitted.

use super::journey::{self, Standing};
use super::{Adjustment, Conversion, Millis, Model, Rules, Touchpoint, credit, path};

/// The channel of a touchpoint that came without one.
pub const OTHER_CHANNEL: &str = "(other)";
/// The channel of the row that says that nobody earned the conversion.
pub const UNATTRIBUTED: &str = "(unattributed)";

/// One attribution row: (conversion, model, touchpoint) -> credit and credited value. Fields in the order of the
/// columns; `row_id` is a function of three of them ([`Row::write_id`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The conversion's event_id.
    pub conversion_id: &'a str,
    /// The model that gave the credit.
    pub model: Model,
    /// The version of a trained model; none for rules.
    pub model_version: Option<i32>,
    /// The touchpoint's event_id; empty when unattributed.
    pub touchpoint_id: &'a str,
    /// Who converted.
    pub user_id: &'a str,
    /// The conversion's kind.
    pub kind: &'a str,
    /// When the conversion happened.
    pub converted_at: Millis,
    /// When the touchpoint happened; none when unattributed.
    pub touched_at: Option<Millis>,
    /// The touchpoint's channel, [`OTHER_CHANNEL`] or [`UNATTRIBUTED`].
    pub channel: &'a str,
    /// The kind of contact; none when unattributed.
    pub interaction: Option<&'a str>,
    /// UTM source.
    pub source: Option<&'a str>,
    /// UTM medium.
    pub medium: Option<&'a str>,
    /// UTM campaign.
    pub campaign: Option<&'a str>,
    /// UTM content.
    pub content: Option<&'a str>,
    /// UTM term.
    pub term: Option<&'a str>,
    /// The touchpoint's place in the path, 1 the oldest; 0 when unattributed.
    pub position: i32,
    /// The touchpoints of the path, as credited.
    pub path_length: i32,
    /// This touchpoint's share of 1 000 000.
    pub credit_micros: i64,
    /// This touchpoint's share of the conversion's value, in micros of `currency`.
    pub credited_micros: i64,
    /// The conversion's whole value, in micros of `currency`.
    pub conversion_micros: i64,
    /// The currency of the value, if one is known.
    pub currency: Option<&'a str>,
    /// How many distinct inputs bear on the conversion.
    pub revision: i64,
    /// Whether the path was longer than `max_path`.
    pub truncated: bool,
    /// Always false today: it serves sinks that cannot delete.
    pub removed: bool,
}

impl Row<'_> {
    /// Appends the row's id: conversion_id, model and touchpoint_id joined by `|`, with `\` and `|` in them escaped by `\`.
    pub fn write_id(&self, out: &mut Vec<u8>) {
        escape(self.conversion_id, out);
        out.push(b'|');
        out.extend_from_slice(self.model.name().as_bytes()); // no name has a character to escape
        out.push(b'|');
        escape(self.touchpoint_id, out);
    }

    /// Whether this row says that nobody earned the conversion.
    pub fn is_unattributed(&self) -> bool {
        self.position == 0
    }
}

fn escape(part: &str, out: &mut Vec<u8>) {
    if !part.bytes().any(|b| matches!(b, b'|' | b'\\')) {
        out.extend_from_slice(part.as_bytes());
        return;
    }
    for byte in part.bytes() {
        if matches!(byte, b'|' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// Room that crediting works in, kept from conversion to conversion so that none allocates.
#[derive(Debug, Default)]
pub struct Scratch {
    weights: Vec<u64>,
    credits: Vec<i64>,
    values: Vec<i64>,
}

/// Appends the rows of one conversion to `rows`: for each model in canonical order, the credited touchpoints oldest
/// first, or the one unattributed row. A retracted conversion has none.
///
/// `adjustments` are those of this conversion, as [`journey::settle_adjustments`] leaves them; `journey` is the
/// user's, as [`journey::settle`] leaves it, and may be cut to any range that holds the whole lookback window.
pub fn credit<'a>(
    conversion: &Conversion<'a>,
    adjustments: &[Adjustment<'a>],
    journey: &[Touchpoint<'a>],
    rules: &Rules,
    scratch: &mut Scratch,
    rows: &mut Vec<Row<'a>>,
) {
    let Standing::Counts { value_micros, currency } = journey::standing(conversion, adjustments) else {
        return;
    };
    let path = path::of(conversion, journey, rules);
    let base = base_row(conversion, value_micros, currency, adjustments.len(), &path);
    for model in rules.models() {
        let base = Row { model: *model, ..base };
        if path.touchpoints.is_empty() {
            rows.push(base);
            continue;
        }
        model.weigh(&path.touchpoints, rules, &mut scratch.weights);
        credit::share(credit::WHOLE, &scratch.weights, &mut scratch.credits);
        credit::share(value_micros, &scratch.weights, &mut scratch.values);
        let shares = scratch.credits.iter().zip(&scratch.values);
        let credited = (1..).zip(&path.touchpoints).zip(shares);
        rows.extend(credited.filter_map(|((position, touchpoint), (credit, value))| {
            let earned = *credit != 0 || *value != 0;
            earned.then(|| credited_row(&base, touchpoint, position, *credit, *value))
        }));
    }
}

/// The row of nobody, which every credited row starts from.
fn base_row<'a>(
    conversion: &Conversion<'a>,
    value_micros: i64,
    currency: Option<&'a str>,
    adjustments: usize,
    path: &path::Path<'a>,
) -> Row<'a> {
    Row {
        conversion_id: conversion.event_id,
        model: Model::FirstTouch,
        model_version: None,
        touchpoint_id: "",
        user_id: conversion.user_id,
        kind: conversion.kind,
        converted_at: conversion.occurred_at,
        touched_at: None,
        channel: UNATTRIBUTED,
        interaction: None,
        source: None,
        medium: None,
        campaign: None,
        content: None,
        term: None,
        position: 0,
        path_length: i32::try_from(path.touchpoints.len()).unwrap_or(i32::MAX),
        credit_micros: credit::WHOLE,
        credited_micros: value_micros,
        conversion_micros: value_micros,
        currency,
        revision: count(1 + adjustments + path.in_window),
        truncated: path.truncated,
        removed: false,
    }
}

fn credited_row<'a>(base: &Row<'a>, touchpoint: &Touchpoint<'a>, position: i32, credit: i64, value: i64) -> Row<'a> {
    Row {
        touchpoint_id: touchpoint.event_id,
        touched_at: Some(touchpoint.occurred_at),
        channel: touchpoint.channel.unwrap_or(OTHER_CHANNEL),
        interaction: Some(touchpoint.interaction),
        source: touchpoint.source,
        medium: touchpoint.medium,
        campaign: touchpoint.campaign,
        content: touchpoint.content,
        term: touchpoint.term,
        position,
        credit_micros: credit,
        credited_micros: value,
        ..*base
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
