//! The rules of paths, adjustments and conflicting duplicates, each on the smallest example that shows it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use tributary::core::row::{Scratch, credit};
use tributary::core::{Adjustment, Conversion, Model, Row, Rules, Touchpoint, journey};

const NOON: i64 = 1_700_000_000_000;
const LOOKBACK: i64 = 1_000;

fn touch(event_id: &'static str, before: i64) -> Touchpoint<'static> {
    Touchpoint { channel: Some("email"), ..Touchpoint::click(event_id, "u", NOON - before) }
}

fn conversion() -> Conversion<'static> {
    Conversion {
        event_id: "c",
        user_id: "u",
        occurred_at: NOON,
        kind: "purchase",
        value_micros: Some(300),
        currency: Some("EUR"),
    }
}

fn adjustment(event_id: &'static str, at: i64, value: Option<(i64, &'static str)>) -> Adjustment<'static> {
    Adjustment {
        event_id,
        user_id: "u",
        occurred_at: NOON + at,
        kind: "conversion",
        value_micros: value.map(|(micros, _)| micros),
        currency: value.map(|(_, currency)| currency),
        adjusts: "c",
    }
}

fn rows_with(
    touchpoints: &[Touchpoint<'static>],
    adjustments: &[Adjustment<'static>],
    max: usize,
) -> Vec<Row<'static>> {
    let (mut journey, mut adjustments) = (touchpoints.to_vec(), adjustments.to_vec());
    journey::settle(&mut journey);
    journey::settle_adjustments(&mut adjustments);
    let rules = Rules::new(LOOKBACK, 1_000, max, vec![Model::Linear]).unwrap();
    let mut rows = Vec::new();
    credit(&conversion(), &adjustments, &journey, &rules, &mut Scratch::default(), &mut rows);
    rows
}

fn rows(touchpoints: &[Touchpoint<'static>]) -> Vec<Row<'static>> {
    rows_with(touchpoints, &[], 256)
}

/// (touchpoint, position, credited value) of each row.
fn credited(rows: &[Row<'static>]) -> Vec<(&'static str, i32, i64)> {
    rows.iter().map(|row| (row.touchpoint_id, row.position, row.credited_micros)).collect()
}

#[test]
fn both_ends_of_the_window_are_in() {
    let rows = rows(&[touch("old", LOOKBACK + 1), touch("first", LOOKBACK), touch("last", 0), touch("after", -1)]);
    assert_eq!(credited(&rows), [("first", 1, 150), ("last", 2, 150)]);
    assert!(rows.iter().all(|row| (row.path_length, row.revision, row.truncated) == (2, 3, false)));
}

#[test]
fn ties_in_time_are_ordered_by_the_bytes_of_the_id() {
    let rows = rows(&[touch("é", 5), touch("b", 5), touch("a", 5), touch("B", 5), touch("z", 6)]);
    assert_eq!(rows.iter().map(|row| row.touchpoint_id).collect::<Vec<_>>(), ["z", "B", "a", "b", "é"]);
}

#[test]
fn an_event_sent_again_with_a_new_time_counts_once_at_its_latest_in_the_window() {
    let rows = rows(&[touch("x", 900), touch("y", 500), touch("x", 100), touch("x", -50), touch("x", 2_000)]);
    assert_eq!(credited(&rows), [("y", 1, 150), ("x", 2, 150)]);
    assert_eq!(rows[1].touched_at, Some(NOON - 100));
    // Three identities lie in the window, though two are credited.
    assert!(rows.iter().all(|row| (row.path_length, row.revision) == (2, 4)));
}

#[test]
fn a_long_path_keeps_its_end() {
    let journey = [touch("a", 40), touch("b", 30), touch("c", 20), touch("d", 10)];
    let rows = rows_with(&journey, &[], 2);
    assert_eq!(credited(&rows), [("c", 1, 150), ("d", 2, 150)]);
    assert!(rows.iter().all(|row| (row.path_length, row.revision, row.truncated) == (2, 5, true)));
    assert!(rows_with(&journey, &[], 4).iter().all(|row| !row.truncated));
    // What is sent again is no longer path: three distinct ids fit into three.
    let again = [touch("a", 40), touch("b", 30), touch("c", 20), touch("a", 10)];
    assert!(rows_with(&again, &[], 3).iter().all(|row| (row.truncated, row.path_length) == (false, 3)));
    assert!(rows_with(&again, &[], 2).iter().all(|row| row.truncated));
}

#[test]
fn an_empty_path_is_one_row_of_nobody() {
    let rows = rows(&[touch("after", -1)]);
    let [row] = rows.as_slice() else { panic!("one row") };
    assert_eq!((row.touchpoint_id, row.channel, row.position, row.path_length), ("", "(unattributed)", 0, 0));
    assert_eq!((row.credit_micros, row.credited_micros, row.conversion_micros), (1_000_000, 300, 300));
    assert_eq!((row.touched_at, row.interaction, row.revision), (None, None, 1));
}

#[test]
fn a_touchpoint_without_a_channel_is_other() {
    let rows = rows(&[Touchpoint { channel: None, ..touch("a", 1) }]);
    assert_eq!(rows[0].channel, "(other)");
}

#[test]
#[allow(clippy::too_many_lines)] // one table, read from top to bottom
fn of_conflicting_duplicates_the_greater_counts_field_by_field() {
    let plain = touch("a", 1);
    let greater = [
        ("channel present", Touchpoint { channel: None, ..plain }, plain),
        ("channel bytes", Touchpoint { channel: Some("Email"), ..plain }, plain),
        ("prefix", plain, Touchpoint { channel: Some("emails"), ..plain }),
        ("interaction", plain, Touchpoint { interaction: "view", ..plain }),
        ("earlier field decides", Touchpoint { term: Some("z"), ..plain }, Touchpoint { source: Some("a"), ..plain }),
        ("cost by value", cost(9), cost(10)),
        ("cost present", plain, cost(0)),
        ("currency", Touchpoint { currency: Some("EUR"), ..plain }, Touchpoint { currency: Some("USD"), ..plain }),
        ("milestone last", Touchpoint { milestone: Some("z"), ..plain }, Touchpoint { currency: Some("A"), ..plain }),
    ];
    for (why, less, more) in greater {
        for mut pair in [vec![less, more], vec![more, less], vec![less, more, less]] {
            let sent = pair.len();
            assert_eq!(journey::settle(&mut pair), sent - 1, "{why}");
            assert_eq!(pair, [more], "{why}");
        }
    }
    let mut same = vec![plain, plain];
    assert_eq!(journey::settle(&mut same), 0, "a plain duplicate is no conflict");
    assert_eq!(same, [plain]);
}

fn cost(micros: i64) -> Touchpoint<'static> {
    Touchpoint { cost_micros: Some(micros), ..touch("a", 1) }
}

#[test]
fn the_greatest_adjustment_has_the_last_word() {
    let journey = [touch("a", 1)];
    let restated = |at, id, micros| adjustment(id, at, Some((micros, "USD")));
    // The later one, whatever the ids say.
    let rows = rows_with(&journey, &[restated(2, "a", 900), restated(1, "z", 800)], 256);
    assert_eq!((rows[0].credited_micros, rows[0].currency, rows[0].revision), (900, Some("USD"), 4));
    // At the same time the greater id.
    let rows = rows_with(&journey, &[restated(1, "a", 900), restated(1, "z", 800)], 256);
    assert_eq!(rows[0].conversion_micros, 800);
    // An adjustment that is earlier than its conversion is a word on it all the same.
    let rows = rows_with(&journey, &[restated(-LOOKBACK * 9, "a", 7)], 256);
    assert_eq!(rows[0].conversion_micros, 7);
    // A conflicting duplicate: the greater stands, and the pair counts once.
    let rows = rows_with(&journey, &[restated(1, "a", 9), restated(1, "a", 10), restated(1, "a", 8)], 256);
    assert_eq!((rows[0].conversion_micros, rows[0].revision), (10, 3));
}

#[test]
fn a_retraction_takes_all_rows_and_a_later_restatement_brings_them_back() {
    let journey = [touch("a", 1)];
    let retraction = adjustment("r", 5, None);
    assert_eq!(rows_with(&journey, &[retraction], 256), []);
    let with_currency = Adjustment { currency: Some("EUR"), ..retraction };
    assert_eq!(rows_with(&journey, &[with_currency], 256), [], "a retraction whatever its currency");
    let back = rows_with(&journey, &[retraction, adjustment("s", 6, Some((0, "EUR")))], 256);
    assert_eq!((back[0].credit_micros, back[0].credited_micros, back[0].revision), (1_000_000, 0, 4));
}
