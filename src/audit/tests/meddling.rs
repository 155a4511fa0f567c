//! Any single thing done to a log shows. What does not is written down here, and in docs/audit.md.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::story::{Story, draft, read, story};
use crate::audit::Record;
use crate::audit::chain::{Chain, End};
use crate::audit::entry::hex;
use crate::audit::memory::end_of;
use crate::audit::verify::{Finding, Span};

/// The record after somebody changed its text and, if they know how, gave it the hash that fits.
fn changed(record: &Record, from: &str, to: &str, rehashed: bool) -> Record {
    let text = String::from_utf8(record.value.clone()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    let text = text.replacen(from, to, 1);
    let (body, _) = text.rsplit_once(",\"hash\":\"").unwrap();
    let hash = hex(&Sha256::digest(format!("{body}}}")));
    let text = if rehashed { format!("{body},\"hash\":\"{hash}\"}}") } else { text };
    Record { key: record.key.clone(), value: text.into_bytes() }
}

fn stories() -> impl Strategy<Value = (Story, usize)> {
    let deeds = proptest::collection::vec((0..3_usize, prop::bool::weighted(0.15)), 8..60);
    (1..3_usize, deeds, any::<prop::sample::Index>()).prop_map(|(instances, deeds, index)| {
        let story = story(instances, &deeds);
        let at = index.index(story.log.len());
        (story, at)
    })
}

/// What the instance remembers that wrote the record at `at`.
fn memory(story: &Story, at: usize) -> Option<&End> {
    let name = format!("i{}-", story.of[at]);
    story.ends.iter().find(|end| end.chain.starts_with(&name))
}

fn differs(log: &[Record], remembered: Option<&End>) -> bool {
    read(0, log, remembered).0.differences > 0
}

/// Whether the record is the last of its instance: the one end that only the instance's memory vouches for.
fn is_newest(story: &Story, at: usize) -> bool {
    story.of[at + 1..].iter().all(|instance| *instance != story.of[at])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_untouched_log_shows_nothing((story, at) in stories()) {
        let (summary, findings) = read(0, &story.log, memory(&story, at));
        // Lives of one entry, which is no stop, are all that there is to say.
        let killed = |finding: &Finding| matches!(finding, Finding::Cut { seq: 0, .. });
        prop_assert!(findings.iter().all(killed), "{:?}", findings);
        prop_assert_eq!(summary.entries, story.log.len() as u64);
        prop_assert_eq!(summary.ends.len(), story.ends.len());
    }

    #[test]
    fn a_removed_entry_shows((story, at) in stories()) {
        let mut log = story.log.clone();
        log.remove(at);
        prop_assert!(differs(&log, memory(&story, at)), "with the memory of its instance, always");
        prop_assert_eq!(differs(&log, None), !is_newest(&story, at), "without it, all but the very last");
    }

    #[test]
    fn an_altered_entry_shows(
        (story, at) in stories(), rehashed: bool, field in 0..4_usize,
    ) {
        let (from, to) = [("\"outcome\":\"done\"", "\"outcome\":\"denied\""), ("\"at\":", "\"at\":1"), ("\"instance\":\"i", "\"instance\":\"j"), ("\"reason\":\"\"", "\"reason\":\"x\"")][field];
        let mut log = story.log.clone();
        log[at] = changed(&log[at], from, to, rehashed);
        prop_assert!(differs(&log, memory(&story, at)));
        let vouched = !rehashed || !is_newest(&story, at);
        prop_assert!(differs(&log, None) || !vouched);
    }

    #[test]
    fn any_flipped_bit_shows((story, at) in stories(), byte: prop::sample::Index, bit in 0..8_u8, in_key: bool) {
        let mut log = story.log.clone();
        let bytes = if in_key { &mut log[at].key } else { &mut log[at].value };
        let byte = byte.index(bytes.len());
        bytes[byte] ^= 1 << bit;
        prop_assert!(differs(&log, None));
    }

    #[test]
    fn two_entries_of_an_instance_that_changed_places_show((story, at) in stories(), other: prop::sample::Index) {
        let same: Vec<_> = (0..story.log.len()).filter(|i| *i != at && story.of[*i] == story.of[at]).collect();
        prop_assume!(!same.is_empty());
        let mut log = story.log.clone();
        log.swap(at, same[other.index(same.len())]);
        prop_assert!(differs(&log, None));
    }

    #[test]
    fn an_entry_put_in_shows((story, at) in stories(), place: prop::sample::Index, rehashed: bool) {
        let mut log = story.log.clone();
        let place = place.index(log.len() + 1);
        log.insert(place, changed(&story.log[at], "\"reason\":\"\"", "\"reason\":\"x\"", rehashed));
        prop_assert!(differs(&log, None));
        let mut log = story.log.clone();
        log.insert(place, story.log[at].clone());
        prop_assert_ne!(read(0, &log, None).1, vec![], "also one that stands there already");
        log.remove(if place <= at { at + 1 } else { at });
        let moved = log.iter().zip(&story.log).any(|(a, b)| a != b);
        let among_others = story.of[at.min(place)..at.max(place).min(story.of.len())].iter().filter(|i| **i == story.of[at]).count();
        prop_assert!(!moved || among_others <= 1 || differs(&log, None), "and one that was moved past another of its instance");
    }
}

#[test]
fn each_kind_of_meddling_has_its_name() {
    let story = story(1, &[(0, false), (0, false), (0, false), (0, true), (0, false)]);
    let (first, second) = (story.log[0].clone(), story.ends[0].chain.clone());
    let name = |record: &Record| {
        let read: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
        read["chain"].as_str().unwrap().to_owned()
    };
    let chain = name(&first);
    let with = |meddle: &dyn Fn(&mut Vec<Record>)| {
        let mut log = story.log.clone();
        meddle(&mut log);
        read(0, &log, Some(&story.ends[0])).1
    };
    let one = |at| Span { from: at, to: at };
    assert_eq!(with(&|log| drop(log.remove(1))), [Finding::Missing { chain: chain.clone(), span: one(1) }]);
    assert_eq!(with(&|log| drop(log.remove(2))), [Finding::Missing { chain: chain.clone(), span: one(2) }], "a tail");
    assert_eq!(
        with(&|log| drop(log.drain(..3))),
        [Finding::Missing { chain: chain.clone(), span: Span { from: 0, to: 2 } }]
    );
    assert_eq!(with(&|log| drop(log.remove(4))), [Finding::Forgotten { chain: second.clone(), seq: 1 }]);
    let swapped =
        [Finding::Missing { chain: chain.clone(), span: one(2) }, Finding::Moved { chain: chain.clone(), seq: 2 }];
    assert_eq!(with(&|log| log.swap(2, 3)), swapped);
    assert_eq!(with(&|log| log.swap(1, 2)), [Finding::Moved { chain: chain.clone(), seq: 1 }]);
    let alter = |rehashed| move |log: &mut Vec<Record>| log[1] = changed(&log[1], "touch", "such", rehashed);
    assert_eq!(with(&alter(false)), [Finding::Altered { chain: chain.clone(), seq: 1 }]);
    assert_eq!(with(&alter(true)), [Finding::Unlinked { chain: chain.clone(), seq: 2 }]);
    let altered_tail = with(&|log| log[2] = changed(&log[2], "touch", "such", true));
    assert_eq!(altered_tail, [Finding::Altered { chain: chain.clone(), seq: 2 }]);
    let repeated = with(&|log| log.insert(3, log[2].clone()));
    assert_eq!(repeated, [Finding::Repeated { chain: chain.clone(), span: one(2) }]);
    let foreign = with(&|log| log.insert(3, Record { key: b"k".to_vec(), value: b"{}".to_vec() }));
    assert_eq!(foreign, [Finding::Foreign { partition: 0, offset: 3 }]);
    let forked = with(&|log| log.insert(2, changed(&log[1], "touch", "such", true)));
    assert_eq!(forked, [Finding::Forked { chain: chain.clone(), seq: 1 }]);
}

#[test]
fn a_chain_made_longer_after_its_life_shows_and_so_does_one_made_up() {
    let base = story(1, &[(0, false), (0, false)]);
    let mut chain = Chain::new("i0", 0, None).unwrap();
    let mut log = vec![chain.seal(&super::story::start(), 0), chain.seal(&draft(1), 1)];
    let end = end_of(&log).unwrap();
    log.push(chain.seal(&draft(2), 2)); // forged: the next life does not know of it
    let mut next = Chain::new("i0", 3, Some(end.clone())).unwrap();
    log.push(next.seal(&super::story::start(), 3));
    let span = Span { from: 2, to: 2 };
    assert_eq!(read(0, &log, None).1, [Finding::Beyond { chain: end.chain.clone(), span }]);
    // A life that does not go on from the one before: an emptied folder, or a forger.
    let mut log = base.log.clone();
    let mut anew = Chain::new("i0", 9, None).unwrap();
    log.push(anew.seal(&super::story::start(), 9));
    let found = read(0, &log, None).1;
    assert!(matches!(&found[..], [Finding::Unconnected { .. }]), "{found:?}");
    // Two lives that both go on from one: a copied folder.
    let mut log = base.log.clone();
    for at in [9, 10] {
        log.push(Chain::new("i0", at, Some(base.ends[0].clone())).unwrap().seal(&super::story::start(), at));
    }
    let found = read(0, &log, None).1;
    assert!(found.iter().any(|finding| matches!(finding, Finding::Claimed { .. })), "{found:?}");
}

#[test]
fn entries_written_again_after_a_crash_are_a_note_also_where_one_had_been_lost() {
    let story = story(1, &[(0, false), (0, false), (0, false), (0, false), (0, false)]);
    let chain = story.ends[0].chain.clone();
    let log: Vec<_> = [0, 1, 2, 1, 2, 3, 4].map(|at: usize| story.log[at].clone()).to_vec();
    let span = Span { from: 1, to: 2 };
    assert_eq!(read(0, &log, None).1, [Finding::Repeated { chain: chain.clone(), span }]);
    let log: Vec<_> = [0, 1, 3, 1, 2, 3, 4].map(|at: usize| story.log[at].clone()).to_vec();
    let (summary, found) = read(0, &log, None);
    assert_eq!((summary.differences, found.len()), (0, 2), "{found:?}");
    let log: Vec<_> = [0, 2, 3, 1, 2, 3, 4].map(|at: usize| story.log[at].clone()).to_vec();
    let span = Span { from: 2, to: 3 };
    assert_eq!(
        read(0, &log, None).1,
        [Finding::Repeated { chain: chain.clone(), span }],
        "the first had not got through"
    );
    for moved in [&[0, 2, 3, 1, 2, 4][..], &[0, 2, 3, 1, 4], &[0, 2, 3, 4, 1], &[0, 2, 3, 1, 3, 4]] {
        let log: Vec<_> = moved.iter().map(|at| story.log[*at].clone()).collect();
        let found = read(0, &log, None).1;
        assert!(found.contains(&Finding::Moved { chain: chain.clone(), seq: 1 }), "{moved:?}: {found:?}");
    }
}

#[test]
fn no_forged_number_makes_a_reading_panic_or_grow() {
    let base = story(1, &[(0, false), (0, false), (0, false)]);
    for number in ["18446744073709551615", "9007199254740992", "9007199254740993", "4096", "5000", "-1", "1.5"] {
        let mut log = base.log.clone();
        log.push(changed(&log[1], "\"seq\":1", &format!("\"seq\":{number}"), true));
        log.push(changed(&log[1], "\"seq\":1", "\"seq\":5001", true));
        log.push(changed(
            &log[0],
            "\"prev\"",
            &format!("\"previous_chain\":\"x\",\"previous_seq\":{number},\"prev\""),
            true,
        ));
        assert!(differs(&log, None), "{number}");
    }
}
