//! Events and rows for tests: what proptest makes, and the plainest ones.

use proptest::prelude::*;

use crate::core::event::{Adjustment, Conversion, DEFAULT_INTERACTION, DEFAULT_KIND, Touchpoint};
use crate::core::{Model, Row};

/// A touchpoint with nothing optional.
pub(crate) fn bare<'a>(event_id: &'a str, user_id: &'a str) -> Touchpoint<'a> {
    Touchpoint {
        event_id,
        user_id,
        occurred_at: 1_700_000_000_000,
        channel: None,
        interaction: DEFAULT_INTERACTION,
        source: None,
        medium: None,
        campaign: None,
        content: None,
        term: None,
        cost_micros: None,
        currency: None,
        milestone: None,
    }
}

/// The strings and numbers of any event or row, owned.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    ids: [String; 3],
    named: String,
    default: bool,
    time: i64,
    texts: Vec<Option<String>>,
    money: Option<i64>,
    currency: Option<String>,
    model: Model,
    numbers: [i64; 3],
}

fn any_owned() -> impl Strategy<Value = Owned> {
    let id = "[^\\p{Cc}]{1,20}|[a-z|\\\\\"]{1,9}|x{128}";
    let text = "[^\\p{Cc}]{1,20}|[a-z]{1,9}|é{256}";
    let texts = proptest::collection::vec(proptest::option::of(text), 7);
    let money = proptest::option::of((0i64..=1_000_000_000_000_000, "[A-Z]{3}"));
    let who = (id, id, id, "[a-z]{1,10}", any::<bool>());
    let model = (0usize..6).prop_map(|i| Model::ALL[i]);
    let when = 946_684_800_000i64..4_102_444_800_000;
    (who, when, texts, money, model, any::<[i64; 3]>()).prop_map(
        |((a, b, c, named, default), time, texts, money, model, numbers)| Owned {
            ids: [a, b, c],
            named,
            default,
            time,
            texts,
            money: money.as_ref().map(|m| m.0),
            currency: money.map(|m| m.1),
            model,
            numbers,
        },
    )
}

/// Any touchpoint.
pub(crate) fn touchpoint() -> impl Strategy<Value = Owned> {
    any_owned()
}

/// Any conversion or adjustment.
pub(crate) fn conversion() -> impl Strategy<Value = Owned> {
    any_owned()
}

/// Any row.
pub(crate) fn row() -> impl Strategy<Value = Owned> {
    any_owned()
}

impl Owned {
    fn text(&self, index: usize) -> Option<&str> {
        self.texts[index].as_deref()
    }

    pub(crate) fn view(&self) -> Touchpoint<'_> {
        Touchpoint {
            event_id: &self.ids[0],
            user_id: &self.ids[1],
            occurred_at: self.time,
            channel: self.text(0),
            interaction: if self.default { DEFAULT_INTERACTION } else { &self.named },
            source: self.text(1),
            medium: self.text(2),
            campaign: self.text(3),
            content: self.text(4),
            term: self.text(5),
            cost_micros: self.money,
            currency: self.currency.as_deref(),
            milestone: self.text(6),
        }
    }

    pub(crate) fn conversion(&self) -> Conversion<'_> {
        Conversion {
            event_id: &self.ids[0],
            user_id: &self.ids[1],
            occurred_at: self.time,
            kind: if self.default { DEFAULT_KIND } else { &self.named },
            value_micros: self.money,
            currency: self.currency.as_deref(),
        }
    }

    pub(crate) fn adjustment(&self) -> Adjustment<'_> {
        let c = self.conversion();
        Adjustment {
            event_id: c.event_id,
            user_id: c.user_id,
            occurred_at: c.occurred_at,
            kind: c.kind,
            value_micros: c.value_micros,
            currency: c.currency,
            adjusts: &self.ids[2],
        }
    }

    pub(crate) fn row(&self) -> Row<'_> {
        let touched = !self.default;
        Row {
            conversion_id: &self.ids[0],
            model: self.model,
            model_version: touched.then_some(self.numbers[0] as i32),
            touchpoint_id: if touched { &self.ids[2] } else { "" },
            user_id: &self.ids[1],
            kind: &self.named,
            converted_at: self.time,
            touched_at: touched.then_some(self.time - 1),
            channel: self.text(0).unwrap_or("(other)"),
            interaction: touched.then_some("view"),
            source: self.text(1),
            medium: self.text(2),
            campaign: self.text(3),
            content: self.text(4),
            term: self.text(5),
            position: self.numbers[1] as i32,
            path_length: self.numbers[2] as i32,
            credit_micros: self.numbers[0],
            credited_micros: self.numbers[1],
            conversion_micros: self.numbers[2],
            currency: self.currency.as_deref(),
            revision: self.numbers[0] >> 8,
            truncated: self.default,
            removed: false,
        }
    }
}
