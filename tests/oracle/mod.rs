//! A second, naive reading of the contract's rules of credit, to hold the core against. It shares no code with the core
//! but the shapes of events and rows: maps instead of sorted slices, fractions instead of weights, its own comparison of
//! conflicting duplicates.

use std::collections::{BTreeMap, BTreeSet};

use tributary::core::{Adjustment, Conversion, Model, Rules, Touchpoint};

/// A field as the contract compares it: absent below present, strings by bytes, numbers by value.
type Field = (bool, i64, Vec<u8>);

fn text(value: Option<&str>) -> Field {
    (value.is_some(), 0, value.unwrap_or_default().as_bytes().to_vec())
}

fn number(value: Option<i64>) -> Field {
    (value.is_some(), value.unwrap_or_default(), Vec::new())
}

fn touchpoint_fields(t: &Touchpoint<'_>) -> Vec<Field> {
    vec![
        text(Some(t.event_id)),
        text(Some(t.user_id)),
        number(Some(t.occurred_at)),
        text(t.channel),
        text(Some(t.interaction)),
        text(t.source),
        text(t.medium),
        text(t.campaign),
        text(t.content),
        text(t.term),
        number(t.cost_micros),
        text(t.currency),
        text(t.milestone),
    ]
}

fn conversion_fields(c: &Conversion<'_>) -> Vec<Field> {
    let Conversion { event_id, user_id, occurred_at, kind, value_micros, currency } = c;
    vec![
        text(Some(event_id)),
        text(Some(user_id)),
        number(Some(*occurred_at)),
        text(Some(kind)),
        number(*value_micros),
        text(*currency),
    ]
}

fn adjustment_fields(a: &Adjustment<'_>) -> Vec<Field> {
    vec![
        text(Some(a.event_id)),
        text(Some(a.user_id)),
        number(Some(a.occurred_at)),
        text(Some(a.kind)),
        number(a.value_micros),
        text(a.currency),
        text(Some(a.adjusts)),
    ]
}

/// What one row must say, apart from what is copied from its touchpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub touchpoint: Option<(i64, String)>,
    pub channel: String,
    pub position: i32,
    pub path_length: i32,
    pub credit_micros: i64,
    pub credited_micros: i64,
    pub conversion_micros: i64,
    pub currency: Option<String>,
    pub revision: i64,
    pub truncated: bool,
    pub converted_at: i64,
    pub campaign: Option<String>,
    pub kind: String,
}

/// (user, conversion, model name, touchpoint) -> the row.
pub type Lines = BTreeMap<(String, String, &'static str, String), Line>;

/// All rows of any events, in any order, with any duplicates.
pub fn lines(
    touchpoints: &[Touchpoint<'_>],
    conversions: &[Conversion<'_>],
    adjustments: &[Adjustment<'_>],
    rules: &Rules,
) -> Lines {
    let mut standing: BTreeMap<(&str, &str), Conversion<'_>> = BTreeMap::new();
    for c in conversions {
        let kept = standing.entry((c.user_id, c.event_id)).or_insert(*c);
        if conversion_fields(c) > conversion_fields(kept) {
            *kept = *c;
        }
    }
    let mut lines = Lines::new();
    for conversion in standing.values() {
        conversion_lines(conversion, touchpoints, adjustments, rules, &mut lines);
    }
    lines
}

#[allow(clippy::too_many_lines)] // one definition after another, as the contract has them
fn conversion_lines(
    conversion: &Conversion<'_>,
    touchpoints: &[Touchpoint<'_>],
    adjustments: &[Adjustment<'_>],
    rules: &Rules,
    lines: &mut Lines,
) {
    let mut said: BTreeMap<&str, Adjustment<'_>> = BTreeMap::new();
    for a in adjustments.iter().filter(|a| a.user_id == conversion.user_id && a.adjusts == conversion.event_id) {
        let kept = said.entry(a.event_id).or_insert(*a);
        if adjustment_fields(a) > adjustment_fields(kept) {
            *kept = *a;
        }
    }
    let last = said.values().map(|a| ((a.occurred_at, a.event_id.as_bytes()), *a)).max_by_key(|(when, _)| *when);
    let (value, currency) = match last {
        None => (conversion.value_micros.unwrap_or(0), conversion.currency),
        Some((_, a)) => match a.value_micros {
            None => return,
            Some(value) => (value, a.currency),
        },
    };

    let window: Vec<&Touchpoint<'_>> = touchpoints
        .iter()
        .filter(|t| t.user_id == conversion.user_id)
        .filter(|t| t.occurred_at <= conversion.occurred_at)
        .filter(|t| conversion.occurred_at - t.occurred_at <= rules.lookback_ms())
        .collect();
    let identities: BTreeSet<(i64, &str)> = window.iter().map(|t| (t.occurred_at, t.event_id)).collect();
    let mut counted: BTreeMap<&str, &Touchpoint<'_>> = BTreeMap::new();
    for t in window {
        let kept = counted.entry(t.event_id).or_insert(t);
        let later = t.occurred_at > kept.occurred_at;
        let greater = t.occurred_at == kept.occurred_at && touchpoint_fields(t) > touchpoint_fields(kept);
        if later || greater {
            *kept = t;
        }
    }
    let mut path: Vec<&Touchpoint<'_>> = counted.into_values().collect();
    path.sort_by_key(|t| (t.occurred_at, t.event_id.as_bytes()));
    let truncated = path.len() > rules.max_path();
    while path.len() > rules.max_path() {
        path.remove(0);
    }

    let base = Line {
        touchpoint: None,
        channel: "(unattributed)".into(),
        position: 0,
        path_length: path.len() as i32,
        credit_micros: 1_000_000,
        credited_micros: value,
        conversion_micros: value,
        currency: currency.map(Into::into),
        revision: (1 + said.len() + identities.len()) as i64,
        truncated,
        converted_at: conversion.occurred_at,
        campaign: None,
        kind: conversion.kind.into(),
    };
    for model in rules.models() {
        let key = |touchpoint: &str| {
            (conversion.user_id.to_owned(), conversion.event_id.to_owned(), model.name(), touchpoint.to_owned())
        };
        if path.is_empty() {
            lines.insert(key(""), base.clone());
            continue;
        }
        let parts = fractions(*model, &path, rules);
        let credits = shares(1_000_000, &parts);
        let values = shares(value, &parts);
        for (index, t) in path.iter().enumerate() {
            let (credit_micros, credited_micros) = (credits[index], values[index]);
            if credit_micros == 0 && credited_micros == 0 {
                continue;
            }
            let line = Line {
                touchpoint: Some((t.occurred_at, t.interaction.to_owned())),
                channel: t.channel.unwrap_or("(other)").into(),
                position: index as i32 + 1,
                credit_micros,
                credited_micros,
                campaign: t.campaign.map(Into::into),
                ..base.clone()
            };
            lines.insert(key(t.event_id), line);
        }
    }
}

/// A model's shares as exact fractions (numerator, denominator) that add up to 1.
fn fractions(model: Model, path: &[&Touchpoint<'_>], rules: &Rules) -> Vec<(i128, i128)> {
    let n = path.len();
    let all_to = |winner: usize| (0..n).map(|i| (i128::from(i == winner), 1)).collect();
    match model {
        Model::FirstTouch => all_to(0),
        Model::LastTouch => all_to(n - 1),
        Model::LastNonDirectTouch => {
            let direct = |t: &Touchpoint<'_>| t.channel.map(str::to_ascii_lowercase) == Some("direct".into());
            all_to((0..n).rfind(|i| !direct(path[*i])).unwrap_or(n - 1))
        }
        Model::Linear => vec![(1, n as i128); n],
        Model::PositionBased if n <= 2 => vec![(1, n as i128); n],
        Model::PositionBased => {
            // 2/5 at each end, 1/5 for all between.
            let mut parts = vec![(1, 5 * (n as i128 - 2)); n];
            parts[0] = (2, 5);
            parts[n - 1] = (2, 5);
            parts
        }
        Model::TimeDecay => {
            let last = path[n - 1].occurred_at;
            let weight = |t: &&Touchpoint<'_>| {
                let halvings = (last - t.occurred_at) as f64 / rules.half_life_ms() as f64;
                ((2f64.powi(52) * libm::exp2(-halvings)) + 0.5).floor() as i128
            };
            let weights: Vec<i128> = path.iter().map(weight).collect();
            let sum = weights.iter().sum();
            weights.into_iter().map(|w| (w, sum)).collect()
        }
    }
}

/// The largest remainder method on fractions: remainders are compared by cross-multiplication.
pub fn shares(total: i64, parts: &[(i128, i128)]) -> Vec<i64> {
    let total = i128::from(total);
    let mut shares: Vec<i128> = parts.iter().map(|(num, den)| total * num / den).collect();
    let mut remainders: Vec<(usize, i128, i128)> =
        parts.iter().enumerate().map(|(i, (num, den))| (i, (total * num) % den, *den)).collect();
    let mut left = total - shares.iter().sum::<i128>();
    while left > 0 {
        let mut best = 0;
        for candidate in 1..remainders.len() {
            let (_, num, den) = remainders[candidate];
            let (_, best_num, best_den) = remainders[best];
            if num * best_den > best_num * den {
                best = candidate;
            }
        }
        shares[remainders.remove(best).0] += 1;
        left -= 1;
    }
    shares.into_iter().map(|s| s as i64).collect()
}
