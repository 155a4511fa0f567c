//! Whole or not at all, and never by a former owner.

use super::*;
use crate::topics::{self, Receipt, origin};

#[test]
fn a_transaction_is_seen_whole_or_not_at_all() {
    let broker = in_memory(2);
    let mut member = sole_member(&broker, "w");
    member.begin().unwrap();
    member.produce(row(0, "a", Some("1"))).unwrap();
    let about: [(&str, &[u8]); 2] = [(origin::TOPIC, b"conversions"), (origin::OFFSET, b"3")];
    let dead = Outgoing { output: Output::DeadLetter, partition: 1, key: None, value: Some(b"x"), headers: &about };
    member.produce(dead).unwrap();
    assert_eq!(broker.ends(Topic::Attributions), [0, 0]);
    let both = Offsets::new(
        PartitionOffsets { partition: 0, next: PerInput { touchpoints: 1, conversions: 2 }, metadata: "m".into() },
        vec![PartitionOffsets { partition: 1, next: PerInput::default(), metadata: "n".into() }],
    );
    assert_eq!(member.commit(&both).unwrap(), Receipt { dead_letters_next: vec![(1, 1)] });
    assert_eq!(broker.ends(Topic::Attributions), [1, 0]);
    assert_eq!(member.set_aside(1, 0).unwrap(), (vec![(Input::Conversions, 3)], 1));
    assert_eq!(member.set_aside(1, 1).unwrap(), (vec![], 1));
    let committed = member.committed(0).unwrap();
    assert_eq!(committed.conversions.unwrap().next, 2);
    assert_eq!(committed.touchpoints.unwrap().metadata, "m");

    member.begin().unwrap();
    member.produce(row(0, "a", Some("2"))).unwrap();
    member.abort().unwrap();
    assert_eq!(broker.ends(Topic::Attributions), [1, 0]);
    member.begin().unwrap();
    member.produce(row(0, "a", None)).unwrap();
    member.commit(&offsets(0, 1, 2, "m")).unwrap();
    assert_eq!(broker.read(Topic::Attributions, 0, 1, 9).unwrap()[0].value, None);
    assert_eq!(broker.compacted(Topic::Attributions, 0).unwrap(), []);
}

#[test]
fn a_transaction_larger_than_its_memory_is_as_atomic() {
    let broker = in_memory(2);
    let mut zombie = sole_member(&broker, "a");
    let large = "x".repeat(1 << 20);
    zombie.begin().unwrap();
    for _ in 0..9 {
        zombie.produce(row(0, "k", Some(&large))).unwrap();
    }
    assert!(broker.storage.get(&rows::record_key(Topic::Attributions, 0, 3)).unwrap().is_some(), "nothing was spilled");
    assert_eq!(broker.ends(Topic::Attributions), [0, 0]);

    let mut successor = broker.join("b");
    broker.assign(0, "b").unwrap();
    assert_eq!(successor.poll(Duration::ZERO).unwrap(), [Assignment::Gained(0)]);
    successor.begin().unwrap();
    successor.produce(row(0, "k", Some("small"))).unwrap();
    successor.commit(&offsets(0, 0, 0, "")).unwrap();
    let late = (0..9).map(|_| zombie.produce(row(0, "k", Some(&large)))).find(Result::is_err);
    assert!(matches!(late, Some(Err(topics::Error::Fenced(_)))), "{late:?}");
    let read = broker.read(Topic::Attributions, 0, 0, 99).unwrap();
    assert_eq!(read.iter().map(|record| record.value.as_deref()).collect::<Vec<_>>(), [Some(&b"small"[..])]);

    // What the zombie left beyond the end goes at the next opening.
    successor.begin().unwrap();
    for _ in 0..9 {
        successor.produce(row(0, "k", Some(&large))).unwrap();
    }
    successor.commit(&offsets(0, 0, 0, "")).unwrap();
    assert_eq!(broker.ends(Topic::Attributions), [10, 0]);
}

#[test]
fn a_zombie_writes_nothing() {
    let broker = in_memory(2);
    broker.append(Input::Touchpoints, &[record(0, "k", "a", 1)]).unwrap();
    let mut zombie = sole_member(&broker, "a");
    zombie.begin().unwrap();
    zombie.produce(row(0, "a", Some("zombie"))).unwrap();
    zombie.produce(row(1, "b", Some("zombie"))).unwrap();
    let mut successor = broker.join("b");
    broker.assign(0, "b").unwrap();
    // Fenced before anybody has polled, for the partition it still has as well.
    let both = Offsets::new(
        PartitionOffsets { partition: 1, next: PerInput::default(), metadata: String::new() },
        vec![PartitionOffsets {
            partition: 0,
            next: PerInput { touchpoints: 1, conversions: 0 },
            metadata: String::new(),
        }],
    );
    assert!(matches!(zombie.commit(&both), Err(topics::Error::Fenced(_))));
    assert_eq!(broker.ends(Topic::Attributions), [0, 0]);
    assert_eq!(successor.poll(Duration::ZERO).unwrap(), [Assignment::Gained(0)]);
    assert_eq!(successor.committed(0).unwrap(), PerInput::default());

    // And still after the partition has come back to it, until it knows.
    broker.assign(0, "a").unwrap();
    zombie.begin().unwrap();
    assert!(matches!(zombie.commit(&offsets(0, 1, 0, "")), Err(topics::Error::Fenced(_))));
    assert_eq!(zombie.poll(Duration::ZERO).unwrap(), [Assignment::Lost(0), Assignment::Gained(0)]);
    zombie.begin().unwrap();
    zombie.commit(&offsets(0, 1, 0, "mine")).unwrap();
    assert_eq!(successor.poll(Duration::ZERO).unwrap(), [Assignment::Lost(0)]);
    assert_eq!(zombie.committed(0).unwrap().touchpoints.unwrap().metadata, "mine");
}
