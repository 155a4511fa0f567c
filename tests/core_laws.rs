//! The laws of the core as properties: order and duplication never show, credit is exact, the core agrees with a naive
//! second reading of the contract, differences add up, ids are unique, drafts are held to every rule.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_precision_loss)]

mod oracle;

use std::collections::BTreeMap;

use oracle::{Line, Lines};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tributary::core::row::{Scratch, credit};
use tributary::core::{Adjustment, Conversion, Model, Row, Rules, Touchpoint, credit as sharing, delta, journey};

const BASE: i64 = 1_700_000_000_000;
const LOOKBACK: i64 = 1_000;
const RICHEST: i64 = 1_000_000_000_000_000;

/// Enough ids for a path that is not compared id by id.
const MANY_IDS: [&str; 64] = [
    "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "c0", "c1", "c2",
    "c3", "c4", "c5", "c6", "c7", "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "e0", "e1", "e2", "e3", "e4", "e5",
    "e6", "e7", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7", "h0",
    "h1", "h2", "h3", "h4", "h5", "h6", "h7",
];

/// Times lie on and around both ends of the lookback windows, and coincide often.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        (0..4i64).prop_map(|k| BASE + k * LOOKBACK),
        (0..4i64, -1..=1i64).prop_map(|(k, d)| BASE + k * LOOKBACK + d),
        (0..3 * LOOKBACK).prop_map(|d| BASE + d),
    ]
}

fn value() -> impl Strategy<Value = Option<i64>> {
    option::of(prop_oneof![Just(0), 1..20i64, (RICHEST - 20)..=RICHEST, 0..=RICHEST])
}

fn touchpoint() -> impl Strategy<Value = Touchpoint<'static>> {
    let few = select(vec!["t1", "t2", "t|3", "t\\4", "t5", "t6", "é"]);
    let ids = (prop_oneof![few, select(MANY_IDS.to_vec())], select(vec!["u1", "u2"]), time());
    let channel = option::of(select(vec!["direct", "Direct", "DIRECT", "search", "email", "(other)"]));
    let words = (select(vec!["click", "view"]), option::of(select(vec!["spring", "summer"])));
    (ids, channel, words, value()).prop_map(|((event_id, user_id, occurred_at), channel, words, cost_micros)| {
        Touchpoint {
            event_id,
            user_id,
            occurred_at,
            channel,
            interaction: words.0,
            source: None,
            medium: None,
            campaign: words.1,
            content: None,
            term: None,
            cost_micros,
            currency: cost_micros.map(|_| "EUR"),
            milestone: None,
        }
    })
}

fn conversion() -> impl Strategy<Value = Conversion<'static>> {
    let ids = (select(vec!["c1", "c|2", "c3"]), select(vec!["u1", "u2"]), time());
    (ids, select(vec!["conversion", "purchase"]), value(), select(vec!["EUR", "USD"])).prop_map(
        |((event_id, user_id, occurred_at), kind, value_micros, currency)| Conversion {
            event_id,
            user_id,
            occurred_at,
            kind,
            value_micros,
            currency: value_micros.map(|_| currency),
        },
    )
}

fn adjustment() -> impl Strategy<Value = Adjustment<'static>> {
    (conversion(), select(vec!["a1", "a2", "c1"]), option::of(select(vec!["EUR", "USD"]))).prop_map(
        |(c, event_id, currency)| Adjustment {
            event_id,
            user_id: c.user_id,
            occurred_at: c.occurred_at,
            kind: c.kind,
            value_micros: c.value_micros,
            currency: c.currency.or(currency),
            adjusts: c.event_id,
        },
    )
}

#[derive(Clone, Debug, Default)]
struct Events {
    touchpoints: Vec<Touchpoint<'static>>,
    conversions: Vec<Conversion<'static>>,
    adjustments: Vec<Adjustment<'static>>,
}

fn events() -> impl Strategy<Value = Events> {
    let touchpoints = prop_oneof![3 => vec(touchpoint(), 0..30), 1 => vec(touchpoint(), 100..200)];
    (touchpoints, vec(conversion(), 1..5), vec(adjustment(), 0..5))
        .prop_map(|(touchpoints, conversions, adjustments)| Events { touchpoints, conversions, adjustments })
}

/// The same set of events: shuffled, and some of them more than once.
fn again(events: &Events) -> impl Strategy<Value = Events> + use<> {
    fn mixed<T: Clone + std::fmt::Debug + 'static>(all: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
        let all = all.to_vec();
        let copies = if all.is_empty() { Just(Vec::new()).boxed() } else { vec(select(all.clone()), 0..10).boxed() };
        copies.prop_map(move |copies| [all.clone(), copies].concat()).prop_shuffle()
    }
    (mixed(&events.touchpoints), mixed(&events.conversions), mixed(&events.adjustments))
        .prop_map(|(touchpoints, conversions, adjustments)| Events { touchpoints, conversions, adjustments })
}

fn rules() -> impl Strategy<Value = Rules> {
    let models = proptest::sample::subsequence(Model::ALL.to_vec(), 1..=6);
    (select(vec![LOOKBACK, 1, 2 * LOOKBACK + 1]), 1..2_000i64, select(vec![1, 2, 3, 256]), models)
        .prop_map(|(lookback, half_life, max_path, models)| Rules::new(lookback, half_life, max_path, models).unwrap())
}

/// Every row of any events through the core, as a caller that has them all at once puts it together.
fn core_rows(events: &Events, rules: &Rules) -> Vec<Row<'static>> {
    let mut journeys: BTreeMap<&str, Vec<Touchpoint<'static>>> = BTreeMap::new();
    for t in &events.touchpoints {
        journeys.entry(t.user_id).or_default().push(*t);
    }
    journeys.values_mut().for_each(|journey| {
        journey::settle(journey);
    });
    let mut conversions: BTreeMap<(&str, &str), Conversion<'static>> = BTreeMap::new();
    for c in &events.conversions {
        let kept = conversions.entry((c.user_id, c.event_id)).or_insert(*c);
        *kept = (*kept).max(*c);
    }
    let (mut rows, mut scratch) = (Vec::new(), Scratch::default());
    for c in conversions.values() {
        let bears = |a: &&Adjustment<'_>| a.user_id == c.user_id && a.adjusts == c.event_id;
        let mut adjustments: Vec<_> = events.adjustments.iter().filter(bears).copied().collect();
        journey::settle_adjustments(&mut adjustments);
        let journey = journeys.get(c.user_id).map(Vec::as_slice).unwrap_or_default();
        credit(c, &adjustments, journey, rules, &mut scratch, &mut rows);
    }
    rows
}

fn as_lines(rows: &[Row<'_>]) -> Lines {
    let mut lines = Lines::new();
    for row in rows {
        let key =
            (row.user_id.to_owned(), row.conversion_id.to_owned(), row.model.name(), row.touchpoint_id.to_owned());
        let line = Line {
            touchpoint: row.touched_at.map(|at| (at, row.interaction.unwrap().to_owned())),
            channel: row.channel.into(),
            position: row.position,
            path_length: row.path_length,
            credit_micros: row.credit_micros,
            credited_micros: row.credited_micros,
            conversion_micros: row.conversion_micros,
            currency: row.currency.map(Into::into),
            revision: row.revision,
            truncated: row.truncated,
            converted_at: row.converted_at,
            campaign: row.campaign.map(Into::into),
            kind: row.kind.into(),
        };
        assert!(lines.insert(key, line).is_none(), "two rows of one id: {row:?}");
        assert_eq!((row.model_version, row.removed), (None, false));
        assert_eq!(row.is_unattributed(), row.touchpoint_id.is_empty());
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_core_agrees_with_a_naive_reading_of_the_contract(events in events(), rules in rules()) {
        let expected = oracle::lines(&events.touchpoints, &events.conversions, &events.adjustments, &rules);
        prop_assert_eq!(as_lines(&core_rows(&events, &rules)), expected);
    }

    #[test]
    fn order_and_duplication_never_show(
        (once, mixed) in events().prop_flat_map(|events| (Just(events.clone()), again(&events))),
        rules in rules(),
    ) {
        prop_assert_eq!(core_rows(&once, &rules), core_rows(&mixed, &rules));
    }

    #[test]
    fn credit_adds_up_exactly(events in events(), rules in rules()) {
        let mut sums: BTreeMap<(&str, &str, Model), (i64, i64, i64)> = BTreeMap::new();
        for row in core_rows(&events, &rules) {
            let sum = sums.entry((row.user_id, row.conversion_id, row.model)).or_default();
            sum.0 += row.credit_micros;
            sum.1 += row.credited_micros;
            sum.2 = row.conversion_micros;
            prop_assert!(row.credit_micros >= 0 && row.credited_micros >= 0);
            prop_assert!(row.credit_micros + row.credited_micros > 0, "a row that earned nothing: {:?}", row);
        }
        for (key, (credit, credited, value)) in sums {
            prop_assert_eq!((credit, credited), (1_000_000, value), "{:?}", key);
        }
    }

    #[test]
    fn shares_follow_the_largest_remainder_method(
        total in prop_oneof![Just(0), 0..100i64, 0..=RICHEST],
        weights in vec(prop_oneof![Just(0), Just(1), 0..10u64, 0..=1u64 << 52], 1..300),
    ) {
        let sum: i128 = weights.iter().map(|w| i128::from(*w)).sum();
        let parts: Vec<(i128, i128)> = match sum {
            0 => (1..=weights.len()).map(|i| (i128::from(i == weights.len()), 1)).collect(), // all to the last
            sum => weights.iter().map(|w| (i128::from(*w), sum)).collect(),
        };
        let mut shares = vec![7; 3];
        sharing::share(total, &weights, &mut shares);
        prop_assert_eq!(shares.iter().sum::<i64>(), total);
        prop_assert_eq!(shares, oracle::shares(total, &parts));
    }

    #[test]
    fn differences_lead_from_before_to_after(
        (before, after) in (events(), events(), any::<prop::sample::Index>()).prop_map(|(a, mut b, cut)| {
            // Mostly the same events: what one batch of input makes of a conversion.
            let kept = cut.index(a.touchpoints.len() + 1);
            b.touchpoints.extend_from_slice(&a.touchpoints[..kept]);
            b.conversions = vec![a.conversions[0]];
            (Events { conversions: b.conversions.clone(), ..a }, b)
        }),
        rules in rules(),
    ) {
        let id = |row: &Row<'_>| { let mut id = Vec::new(); row.write_id(&mut id); id };
        let map = |rows: &[Row<'static>]| rows.iter().map(|row| (id(row), *row)).collect::<BTreeMap<_, _>>();
        let (mut old, mut new) = (core_rows(&before, &rules), core_rows(&after, &rules));
        let (was, is) = (map(&old), map(&new));
        let mut state = was.clone();
        let mut changed = 0;
        delta::diff(&mut old, &mut new, |change| {
            changed += 1;
            assert_ne!(change.before(), change.after(), "a difference that is none");
            let gone = change.before().map(|row| state.remove(&id(row)).expect("was there"));
            assert_eq!(gone.as_ref(), change.before());
            if let Some(row) = change.after() {
                assert!(state.insert(id(row), *row).is_none(), "replaced without saying what");
            }
        });
        prop_assert_eq!(&state, &is);
        let ids: std::collections::BTreeSet<_> = was.keys().chain(is.keys()).collect();
        prop_assert_eq!(changed, ids.into_iter().filter(|id| was.get(*id) != is.get(*id)).count());
        let mut same = new.clone();
        delta::diff(&mut new, &mut same, |change| panic!("nothing changed, yet {change:?}"));
    }

    #[test]
    fn row_ids_are_injective(
        a in ("[|\\\\a]{1,5}", "[|\\\\a]{0,5}", select(Model::ALL.to_vec())),
        b in ("[|\\\\a]{1,5}", "[|\\\\a]{0,5}", select(Model::ALL.to_vec())),
    ) {
        prop_assert_eq!(row_id(&a.0, a.2, &a.1) == row_id(&b.0, b.2, &b.1), a == b);
        prop_assert_eq!(unescaped(&row_id(&a.0, a.2, &a.1)), vec![a.0, a.2.name().to_owned(), a.1]);
    }
}

fn row_id(conversion_id: &str, model: Model, touchpoint_id: &str) -> String {
    let conversion = Conversion {
        event_id: "c1",
        user_id: "u1",
        occurred_at: BASE,
        kind: "conversion",
        value_micros: None,
        currency: None,
    };
    let mut rows = Vec::new();
    credit(&conversion, &[], &[], &Rules::default(), &mut Scratch::default(), &mut rows);
    let mut id = Vec::new();
    Row { conversion_id, model, touchpoint_id, ..rows[0] }.write_id(&mut id);
    String::from_utf8(id).unwrap()
}

/// The three parts of a row id, read as a consumer would.
fn unescaped(id: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = id.chars();
    while let Some(c) = chars.next() {
        match c {
            '|' => parts.push(String::new()),
            '\\' => parts.last_mut().unwrap().push(chars.next().expect("an escaped character")),
            c => parts.last_mut().unwrap().push(c),
        }
    }
    parts
}

#[test]
fn a_row_id_reads_as_documented() {
    assert_eq!(row_id("order-1", Model::Linear, "t-9"), "order-1|linear|t-9");
    assert_eq!(row_id("a|b", Model::FirstTouch, ""), "a\\|b|first_touch|");
    assert_eq!(row_id("a\\", Model::TimeDecay, "|"), "a\\\\|time_decay|\\|");
}
