//! States that must not go on, as the one meets them who takes the partition. Every single refusal has its case beside
//! `src/stream/taking.rs`; here is what a whole worker makes of them.

use super::*;
use tributary::topics::{Offsets, PartitionOffsets};

/// What the one says who takes the partition with that folder.
fn refusal(scene: &Scene, folder: &str) -> String {
    reason(scene.worker(folder).turns(8))
}

fn reason(outcome: Result<(), Error>) -> String {
    match outcome {
        Err(Error::Refused(reason)) => reason,
        other => panic!("it is not refused: {other:?}"),
    }
}

#[test]
fn a_state_goes_on_where_it_was() {
    let scene = Scene::new();
    scene.settled("a");
    let rows = scene.broker.ends(Topic::Attributions);
    let mut again = scene.worker("a");
    again.turns(4).unwrap();
    assert!(again.is_live());
    assert_eq!(scene.broker.ends(Topic::Attributions), rows);
    scene.touch("t9", 500);
    again.turns(2).unwrap();
    assert!(scene.broker.ends(Topic::Attributions) > rows);
}

#[test]
fn other_rules_are_refused_with_state_and_without_and_the_way_out_works() {
    let mut scene = Scene::new();
    scene.settled("a");
    scene.rules = Rules::new(1_000, 1_000, 10, scene.rules.models().to_vec()).unwrap();
    let with_state = refusal(&scene, "a");
    assert!(with_state.contains("other rules") && with_state.contains("lookback_ms=2592000000"), "{with_state}");
    let without = refusal(&scene, "b");
    assert!(without.contains("other rules") && without.contains("group_id"), "{without}");
    // The way out: a new group, a new folder and a new output topic, which a new log is all in one.
    scene.broker = broker("two");
    scene.settled("c");
    assert_eq!(scene.committed(), PerInput { touchpoints: 3, conversions: 1 });
}

#[test]
fn a_state_of_another_cluster_is_refused() {
    let mut scene = Scene::new();
    scene.settled("a");
    scene.broker = broker("two");
    let refusal = refusal(&scene, "a");
    assert!(refusal.contains("another log") && refusal.contains("cluster one"), "{refusal}");
}

#[test]
fn a_state_ahead_of_what_the_group_committed_is_refused() {
    let mut scene = Scene::new();
    scene.settled("a");
    scene.broker = broker("one");
    let mut other = scene.worker("b");
    scene.touch("t0", 1_000);
    other.turns(4).unwrap();
    drop(other);
    let refusal = refusal(&scene, "a");
    assert!(refusal.contains("beyond the committed offset (1)"), "{refusal}");
}

#[test]
fn a_topic_made_anew_is_refused() {
    let mut scene = Scene::new();
    scene.settled("a");
    // As many records, committed by the same group of the same cluster, but others.
    scene.broker = broker("one");
    let mut other = scene.worker("b");
    for number in 0..3 {
        scene.touch(&format!("other{number}"), 1_000);
    }
    scene.convert("other", 0);
    other.turns(6).unwrap();
    drop(other);
    let refusal = refusal(&scene, "a");
    assert!(refusal.contains("another record at offset"), "{refusal}");
}

#[test]
fn a_state_that_retention_has_passed_is_refused_with_the_figures() {
    let scene = Scene::new();
    scene.settled("a");
    let mut newer = scene.worker("b");
    for number in 0..9 {
        scene.touch(&format!("n{number}"), 900);
    }
    newer.turns(6).unwrap();
    assert_eq!(scene.broker.trim(Input::Touchpoints, 0, 10).unwrap(), 10);
    drop(newer);
    let refusal = refusal(&scene, "a");
    assert!(refusal.contains("offset 3") && refusal.contains("begins at 10: 7 records are gone"), "{refusal}");
}

#[test]
fn offsets_that_stay_missing_are_refused_after_a_while() {
    let mut scene = Scene::new();
    scene.settled("a");
    // The same log in everything that the state knows of it, but the group has committed nothing.
    scene.broker = broker("one");
    let mut worker = scene.worker("a");
    worker.turns(20).unwrap();
    assert!(!worker.is_live());
    scene.clock.fetch_add(10_000, Ordering::Relaxed);
    let refusal = reason(worker.turns(1));
    assert!(refusal.contains("no committed offset"), "{refusal}");
}

#[test]
fn offsets_of_strangers_are_refused_at_once() {
    let scene = Scene::new();
    let mut stranger = scene.broker.join("stranger");
    scene.broker.assign(0, "stranger").unwrap();
    stranger.poll(Duration::ZERO).unwrap();
    stranger.begin().unwrap();
    let of = PartitionOffsets { partition: 0, next: PerInput::default(), metadata: "hello".into() };
    stranger.commit(&Offsets::new(of, Vec::new())).unwrap();
    drop(stranger);
    let refusal = refusal(&scene, "a");
    assert!(refusal.contains("not committed by tributary") && refusal.contains("hello"), "{refusal}");
}

#[test]
fn an_account_that_cannot_be_read_is_refused() {
    let scene = Scene::new();
    scene.settled("a");
    let dir = scene.root.join("a/p-00000");
    let state = store::Partition::open(&scene.shared, &dir).unwrap();
    let mut batch = store::Batch::default();
    batch.set_meta(b"{}");
    state.write(&mut batch).unwrap();
    state.flush().unwrap();
    drop(state);
    let refusal = refusal(&scene, "a");
    assert!(refusal.contains("account cannot be read"), "{refusal}");
}
