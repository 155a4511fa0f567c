//! Every rule of the contract about single fields, each with the field that is named when it is broken.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::borrow::Cow;

use tributary::core::event::{ConversionDraft, ConversionEvent, Fault, TouchpointDraft, not_in_future};

const MIDDAY: i64 = 1_700_000_000_000;

fn touchpoint() -> TouchpointDraft<'static> {
    TouchpointDraft {
        event_id: Some("t1".into()),
        user_id: Some("u1".into()),
        occurred_at: Some(MIDDAY),
        ..TouchpointDraft::default()
    }
}

fn conversion() -> ConversionDraft<'static> {
    ConversionDraft {
        event_id: Some("c1".into()),
        user_id: Some("u1".into()),
        occurred_at: Some(MIDDAY),
        ..ConversionDraft::default()
    }
}

/// The fault of a conversion or adjustment that was changed in one place.
fn conversion_fault(change: impl FnOnce(&mut ConversionDraft<'static>)) -> Fault {
    let mut draft = conversion();
    change(&mut draft);
    draft.check().expect_err("refused")
}

fn touchpoint_fault(change: impl FnOnce(&mut TouchpointDraft<'static>)) -> Fault {
    let mut draft = touchpoint();
    change(&mut draft);
    draft.check().expect_err("refused")
}

type Text<D> = fn(&mut D) -> &mut Option<Cow<'static, str>>;

const TOUCHPOINT_IDS: [(&str, Text<TouchpointDraft<'static>>); 2] =
    [("event_id", |d| &mut d.event_id), ("user_id", |d| &mut d.user_id)];

const CONVERSION_IDS: [(&str, Text<ConversionDraft<'static>>); 3] =
    [("event_id", |d| &mut d.event_id), ("user_id", |d| &mut d.user_id), ("adjusts", |d| &mut d.adjusts)];

const TOUCHPOINT_TEXTS: [(&str, Text<TouchpointDraft<'static>>); 8] = [
    ("channel", |d| &mut d.channel),
    ("interaction", |d| &mut d.interaction),
    ("source", |d| &mut d.source),
    ("medium", |d| &mut d.medium),
    ("campaign", |d| &mut d.campaign),
    ("content", |d| &mut d.content),
    ("term", |d| &mut d.term),
    ("milestone", |d| &mut d.milestone),
];

#[test]
fn ids_are_required_and_bounded_and_printable() {
    let bad = ["".to_owned(), "x".repeat(129), "é".repeat(65), "a\nb".into(), "\u{7f}".into(), "\u{80}".into()];
    for (field, of) in TOUCHPOINT_IDS {
        for value in &bad {
            assert_eq!(touchpoint_fault(|d| *of(d) = Some(value.clone().into())).field, field, "{value:?}");
        }
        assert_eq!(touchpoint_fault(|d| *of(d) = None), Fault::new(field, "required"));
    }
    for (field, of) in CONVERSION_IDS {
        for value in &bad {
            assert_eq!(conversion_fault(|d| *of(d) = Some(value.clone().into())).field, field, "{value:?}");
        }
        if field != "adjusts" {
            assert_eq!(conversion_fault(|d| *of(d) = None), Fault::new(field, "required"));
        }
    }
    for value in ["x".repeat(128), "é".repeat(64), "\u{a0}".into(), "\u{2028}".into(), " ".into()] {
        let draft = TouchpointDraft { event_id: Some(value.clone().into()), ..touchpoint() };
        assert_eq!(draft.check().unwrap().event_id, value);
    }
}

#[test]
fn texts_are_bounded_and_printable_and_empty_is_absent() {
    for (field, of) in TOUCHPOINT_TEXTS {
        for value in ["x".repeat(513), "é".repeat(257), "\0".into(), "a\tb".into(), "\u{9f}".into()] {
            assert_eq!(touchpoint_fault(|d| *of(d) = Some(value.clone().into())).field, field, "{value:?}");
        }
        let mut empty = touchpoint();
        *of(&mut empty) = Some("".into());
        assert_eq!(empty.check(), touchpoint().check());
        let mut long = touchpoint();
        *of(&mut long) = Some("x".repeat(512).into());
        assert!(long.check().is_ok(), "{field}");
        assert_ne!(long.check(), touchpoint().check(), "{field}");
    }
    assert_eq!(conversion_fault(|d| d.kind = Some("x".repeat(513).into())).field, "kind");
    assert_eq!(conversion_fault(|d| d.kind = Some("\u{1}".into())).field, "kind");
}

#[test]
fn defaults_stand_for_what_is_absent() {
    let draft = touchpoint();
    let checked = draft.check().unwrap();
    assert_eq!((checked.interaction, checked.channel, checked.milestone), ("click", None, None));
    for kind in [None, Some(Cow::Borrowed(""))] {
        let draft = ConversionDraft { kind, ..conversion() };
        let ConversionEvent::Conversion(checked) = draft.check().unwrap() else { panic!("no adjustment") };
        assert_eq!((checked.kind, checked.value_micros, checked.currency), ("conversion", None, None));
    }
}

#[test]
fn times_lie_in_this_century() {
    let (first, end) = (946_684_800_000, 4_102_444_800_000);
    for refused in [first - 1, end, i64::MIN, i64::MAX, 0, -1] {
        assert_eq!(touchpoint_fault(|d| d.occurred_at = Some(refused)).field, "occurred_at", "{refused}");
        assert_eq!(conversion_fault(|d| d.occurred_at = Some(refused)).field, "occurred_at", "{refused}");
    }
    assert_eq!(touchpoint_fault(|d| d.occurred_at = None), Fault::new("occurred_at", "required"));
    assert_eq!(conversion_fault(|d| d.occurred_at = None), Fault::new("occurred_at", "required"));
    for accepted in [first, end - 1] {
        let draft = TouchpointDraft { occurred_at: Some(accepted), ..touchpoint() };
        assert_eq!(draft.check().unwrap().occurred_at, accepted);
    }
}

#[test]
fn the_future_begins_ten_minutes_after_the_log() {
    assert_eq!(not_in_future(MIDDAY + 600_000, MIDDAY), Ok(()));
    let fault = not_in_future(MIDDAY + 600_001, MIDDAY).unwrap_err();
    assert_eq!(fault.field, "occurred_at");
    assert!(fault.reason.contains("future"), "{fault}");
    assert_eq!(not_in_future(MIDDAY, i64::MAX), Ok(()));
}

#[test]
fn money_is_whole_bounded_and_has_a_currency() {
    let most = 1_000_000_000_000_000;
    for refused in [-1, most + 1, i64::MIN, i64::MAX] {
        let fault = touchpoint_fault(|d| (d.cost_micros, d.currency) = (Some(refused), Some("EUR".into())));
        assert_eq!(fault.field, "cost_micros", "{refused}");
        let fault = conversion_fault(|d| (d.value_micros, d.currency) = (Some(refused), Some("EUR".into())));
        assert_eq!(fault.field, "value_micros", "{refused}");
    }
    assert_eq!(touchpoint_fault(|d| d.cost_micros = Some(0)).field, "currency");
    assert_eq!(conversion_fault(|d| d.value_micros = Some(5)).field, "currency");
    let empty = conversion_fault(|d| (d.value_micros, d.currency) = (Some(5), Some("".into())));
    assert_eq!(empty.field, "currency");
    for accepted in [0, most] {
        let draft = ConversionDraft { value_micros: Some(accepted), currency: Some("EUR".into()), ..conversion() };
        let ConversionEvent::Conversion(checked) = draft.check().unwrap() else { panic!("no adjustment") };
        assert_eq!((checked.value_micros, checked.currency), (Some(accepted), Some("EUR")));
    }
    let alone = TouchpointDraft { currency: Some("EUR".into()), ..touchpoint() };
    assert_eq!(alone.check().unwrap().currency, Some("EUR"));
}

#[test]
fn a_currency_is_three_capital_letters() {
    for refused in ["eur", "EU", "EURO", "E1R", "ÉU", "   ", "EU\n"] {
        assert_eq!(touchpoint_fault(|d| d.currency = Some(refused.into())).field, "currency", "{refused}");
        assert_eq!(conversion_fault(|d| d.currency = Some(refused.into())).field, "currency", "{refused}");
    }
}

#[test]
fn what_adjusts_is_an_adjustment() {
    let draft = ConversionDraft { adjusts: Some("c1".into()), ..conversion() };
    let ConversionEvent::Adjustment(retraction) = draft.check().unwrap() else { panic!("an adjustment") };
    assert_eq!((retraction.adjusts, retraction.value_micros, retraction.kind), ("c1", None, "conversion"));
    let draft = ConversionDraft { value_micros: Some(3), currency: Some("USD".into()), ..draft };
    let ConversionEvent::Adjustment(restatement) = draft.check().unwrap() else { panic!("an adjustment") };
    assert_eq!((restatement.value_micros, restatement.currency), (Some(3), Some("USD")));
    assert_eq!(draft.check().unwrap().user_id(), "u1");
    assert_eq!(draft.check().unwrap().occurred_at(), MIDDAY);
}
