//! The embedded log as its users see it, in memory and on disk.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::topics::{
    self, Assignment, Bounds, Limit, Offsets, Outgoing, PartitionOffsets, Receipt, Records, TopicLog, headers, origin,
};

const ALL: Limit = Limit {
    records: usize::MAX,
    bytes: usize::MAX,
};

fn settings(partitions: u32) -> Settings {
    let mut settings = Settings::new(NonZeroU32::new(partitions).unwrap());
    settings.sync = false;
    settings
}

fn in_memory(partitions: u32) -> Arc<Broker> {
    Broker::open(&Place::Memory(rocksdb::Env::mem_env().unwrap()), &settings(partitions)).unwrap()
}

fn on_disk(folder: &Path, partitions: u32) -> Arc<Broker> {
    let settings = Settings::new(NonZeroU32::new(partitions).unwrap());
    Broker::open(&Place::Folder(folder.to_owned()), &settings).unwrap()
}

fn record<'a>(partition: u32, key: &'a str, value: &'a str, timestamp: Millis) -> NewRecord<'a> {
    let value = Some(value.as_bytes());
    NewRecord {
        partition,
        key: Some(key.as_bytes()),
        value,
        headers: &[],
        timestamp,
    }
}

fn row<'a>(partition: u32, key: &'a str, value: Option<&'a str>) -> Outgoing<'a> {
    let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
    Outgoing {
        output: Output::Attributions,
        partition,
        key,
        value,
        headers: &[],
    }
}

fn offsets(partition: u32, touchpoints: Offset, conversions: Offset, metadata: &str) -> Offsets {
    let next = PerInput {
        touchpoints,
        conversions,
    };
    Offsets::new(
        PartitionOffsets {
            partition,
            next,
            metadata: metadata.to_owned(),
        },
        Vec::new(),
    )
}

/// A member that holds every partition, reading from the committed offsets on.
fn sole_member(broker: &Arc<Broker>, name: &str) -> Member {
    let mut member = broker.join(name);
    broker.spread().unwrap();
    for assignment in member.poll(Duration::ZERO).unwrap() {
        let Assignment::Gained(partition) = assignment else {
            panic!("{assignment:?}")
        };
        let committed = member.committed(partition).unwrap();
        let next = PerInput::from_fn(|input| committed.get(input).as_ref().map_or(0, |committed| committed.next));
        member.seek(partition, next).unwrap();
    }
    member
}

fn values(records: &Records) -> Vec<String> {
    records
        .iter()
        .map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap())
        .collect()
}

#[test]
fn appended_records_are_read_in_order_with_all_they_have() {
    let broker = in_memory(2);
    let told: [(&str, &[u8]); 2] = [("trace", b"abc"), ("empty", b"")];
    let bare = NewRecord {
        partition: 1,
        key: None,
        value: None,
        headers: &told,
        timestamp: 7,
    };
    let positions = broker
        .append(
            Input::Touchpoints,
            &[record(1, "k", "a", 5), record(0, "k", "b", 6), bare],
        )
        .unwrap();
    assert_eq!(positions, [(1, 0), (0, 0), (1, 1)]);
    broker.append(Input::Conversions, &[record(1, "k", "c", 8)]).unwrap();

    let mut member = sole_member(&broker, "w");
    let mut records = Records::default();
    member.fetch(1, Input::Touchpoints, ALL, &mut records).unwrap();
    let read: Vec<_> = records.iter().collect();
    assert_eq!(read.len(), 2);
    assert_eq!(
        (read[0].head.offset, read[0].head.logged_at, read[0].value),
        (0, 5, Some(&b"a"[..]))
    );
    assert_eq!((read[1].key, read[1].value, read[1].head.offset), (None, None, 1));
    assert_eq!(headers(read[1].headers).collect::<Vec<_>>(), told);
    records.clear();
    member.fetch(1, Input::Touchpoints, ALL, &mut records).unwrap();
    assert!(records.is_empty(), "read already");
    member.fetch(1, Input::Conversions, ALL, &mut records).unwrap();
    assert_eq!(values(&records), ["c"]);
    assert_eq!(member.known_end(1, Input::Touchpoints), Some(2));
    assert_eq!(broker.ends(Topic::Touchpoints), [1, 2]);
}

#[test]
fn fetch_stops_at_either_limit_and_goes_on() {
    let broker = in_memory(1);
    let batch: Vec<_> = (0..5).map(|_| record(0, "key", "0123456789", 1)).collect();
    broker.append(Input::Touchpoints, &batch).unwrap();
    let mut member = sole_member(&broker, "w");
    let mut records = Records::default();
    member
        .fetch(
            0,
            Input::Touchpoints,
            Limit {
                records: 2,
                bytes: usize::MAX,
            },
            &mut records,
        )
        .unwrap();
    assert_eq!(records.len(), 2);
    member
        .fetch(0, Input::Touchpoints, Limit { records: 9, bytes: 14 }, &mut records)
        .unwrap();
    assert_eq!(records.len(), 4, "the record that crosses the limit is handed out");
    member.fetch(0, Input::Touchpoints, ALL, &mut records).unwrap();
    assert_eq!(
        records.iter().map(|record| record.head.offset).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
    member
        .seek(
            0,
            PerInput {
                touchpoints: 6,
                conversions: 0,
            },
        )
        .unwrap();
    let beyond = member.fetch(0, Input::Touchpoints, ALL, &mut records);
    assert!(matches!(beyond, Err(topics::Error::Fatal(message)) if message.contains("0 to 5")));
}

#[test]
fn a_transaction_is_seen_whole_or_not_at_all() {
    let broker = in_memory(2);
    let mut member = sole_member(&broker, "w");
    member.begin().unwrap();
    member.produce(row(0, "a", Some("1"))).unwrap();
    let about: [(&str, &[u8]); 2] = [(origin::TOPIC, b"conversions"), (origin::OFFSET, b"3")];
    let dead = Outgoing {
        output: Output::DeadLetter,
        partition: 1,
        key: None,
        value: Some(b"x"),
        headers: &about,
    };
    member.produce(dead).unwrap();
    assert_eq!(broker.ends(Topic::Attributions), [0, 0]);
    let both = Offsets::new(
        PartitionOffsets {
            partition: 0,
            next: PerInput {
                touchpoints: 1,
                conversions: 2,
            },
            metadata: "m".into(),
        },
        vec![PartitionOffsets {
            partition: 1,
            next: PerInput::default(),
            metadata: "n".into(),
        }],
    );
    assert_eq!(
        member.commit(&both).unwrap(),
        Receipt {
            dead_letters_next: vec![(1, 1)]
        }
    );
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
    assert!(
        broker
            .storage
            .get(&rows::record_key(Topic::Attributions, 0, 3))
            .unwrap()
            .is_some(),
        "nothing was spilled"
    );
    assert_eq!(broker.ends(Topic::Attributions), [0, 0]);

    let mut successor = broker.join("b");
    broker.assign(0, "b").unwrap();
    assert_eq!(successor.poll(Duration::ZERO).unwrap(), [Assignment::Gained(0)]);
    successor.begin().unwrap();
    successor.produce(row(0, "k", Some("small"))).unwrap();
    successor.commit(&offsets(0, 0, 0, "")).unwrap();
    let late = (0..9)
        .map(|_| zombie.produce(row(0, "k", Some(&large))))
        .find(Result::is_err);
    assert!(matches!(late, Some(Err(topics::Error::Fenced(_)))), "{late:?}");
    let read = broker.read(Topic::Attributions, 0, 0, 99).unwrap();
    assert_eq!(
        read.iter().map(|record| record.value.as_deref()).collect::<Vec<_>>(),
        [Some(&b"small"[..])]
    );

    // What the zombie left beyond the end goes at the next opening.
    successor.begin().unwrap();
    for _ in 0..9 {
        successor.produce(row(0, "k", Some(&large))).unwrap();
    }
    successor.commit(&offsets(0, 0, 0, "")).unwrap();
    assert_eq!(broker.ends(Topic::Attributions), [10, 0]);
}

#[test]
fn what_a_crash_left_beyond_the_end_is_gone_after_opening() {
    let env = rocksdb::Env::mem_env().unwrap();
    let place = Place::Memory(env);
    let broker = Broker::open(&place, &settings(1)).unwrap();
    let mut member = sole_member(&broker, "a");
    let large = "x".repeat(1 << 20);
    member.begin().unwrap();
    for _ in 0..9 {
        member.produce(row(0, "k", Some(&large))).unwrap();
    }
    drop((member, broker));
    let broker = Broker::open(&place, &settings(1)).unwrap();
    assert_eq!(broker.ends(Topic::Attributions), [0]);
    for offset in 0..9 {
        let key = rows::record_key(Topic::Attributions, 0, offset);
        assert_eq!(broker.storage.get(&key).unwrap(), None, "{offset}");
    }
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
        PartitionOffsets {
            partition: 1,
            next: PerInput::default(),
            metadata: String::new(),
        },
        vec![PartitionOffsets {
            partition: 0,
            next: PerInput {
                touchpoints: 1,
                conversions: 0,
            },
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
    assert!(matches!(
        zombie.commit(&offsets(0, 1, 0, "")),
        Err(topics::Error::Fenced(_))
    ));
    assert_eq!(
        zombie.poll(Duration::ZERO).unwrap(),
        [Assignment::Lost(0), Assignment::Gained(0)]
    );
    zombie.begin().unwrap();
    zombie.commit(&offsets(0, 1, 0, "mine")).unwrap();
    assert_eq!(successor.poll(Duration::ZERO).unwrap(), [Assignment::Lost(0)]);
    assert_eq!(zombie.committed(0).unwrap().touchpoints.unwrap().metadata, "mine");
}

#[test]
fn nothing_is_fetched_before_seek_nor_after_a_loss() {
    let broker = in_memory(1);
    broker.append(Input::Touchpoints, &[record(0, "k", "a", 1)]).unwrap();
    let mut member = broker.join("a");
    broker.spread().unwrap();
    assert_eq!(member.poll(Duration::ZERO).unwrap(), [Assignment::Gained(0)]);
    let mut records = Records::default();
    member.fetch(0, Input::Touchpoints, ALL, &mut records).unwrap();
    assert!(records.is_empty());
    member.seek(0, PerInput::default()).unwrap();
    broker.join("a");
    assert_eq!(member.poll(Duration::ZERO).unwrap(), [Assignment::Lost(0)]);
    member.fetch(0, Input::Touchpoints, ALL, &mut records).unwrap();
    assert!(records.is_empty());
}

#[test]
fn poll_wakes_for_records_and_for_assignments_and_else_waits() {
    let broker = in_memory(1);
    let mut member = sole_member(&broker, "a");
    let began = Instant::now();
    assert_eq!(member.poll(Duration::from_millis(30)).unwrap(), []);
    assert!(began.elapsed() >= Duration::from_millis(30));

    let long = Duration::from_secs(60);
    let began = Instant::now();
    let other = Arc::clone(&broker);
    let appender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        other.append(Input::Conversions, &[record(0, "k", "a", 1)]).unwrap();
    });
    assert_eq!(member.poll(long).unwrap(), []);
    appender.join().unwrap();
    let mut records = Records::default();
    member.fetch(0, Input::Conversions, ALL, &mut records).unwrap();
    assert_eq!(values(&records), ["a"]);

    let other = Arc::clone(&broker);
    let thief = std::thread::spawn(move || {
        let thief = other.join("b");
        std::thread::sleep(Duration::from_millis(20));
        other.assign(0, "b").unwrap();
        thief
    });
    while member.poll(long).unwrap() != [Assignment::Lost(0)] {}
    thief.join().unwrap();
    assert!(began.elapsed() < long);
}

#[test]
fn inputs_are_trimmed_no_further_than_committed() {
    let place = Place::Memory(rocksdb::Env::mem_env().unwrap());
    let broker = Broker::open(&place, &settings(1)).unwrap();
    let batch: Vec<_> = (0..10).map(|at| record(0, "k", "v", at * 100)).collect();
    broker.append(Input::Touchpoints, &batch).unwrap();
    assert_eq!(
        broker.trim(Input::Touchpoints, 0, 8).unwrap(),
        0,
        "nothing is committed"
    );
    let mut member = sole_member(&broker, "a");
    member.begin().unwrap();
    member.commit(&offsets(0, 6, 0, "")).unwrap();
    assert_eq!(broker.offset_at(Input::Touchpoints, 0, 350).unwrap(), 4);
    assert_eq!(broker.trim(Input::Touchpoints, 0, 4).unwrap(), 4);
    assert_eq!(broker.trim(Input::Touchpoints, 0, 2).unwrap(), 4, "never back");
    assert_eq!(broker.trim(Input::Touchpoints, 0, 9).unwrap(), 6);
    assert_eq!(
        member.bounds(0, Input::Touchpoints).unwrap(),
        Bounds { start: 6, end: 10 }
    );
    assert!(matches!(broker.trim(Topic::Attributions, 0, 1), Err(Error::Refused(_))));
    member
        .seek(
            0,
            PerInput {
                touchpoints: 5,
                conversions: 0,
            },
        )
        .unwrap();
    let mut records = Records::default();
    let gone = member.fetch(0, Input::Touchpoints, ALL, &mut records);
    assert!(matches!(gone, Err(topics::Error::Fatal(message)) if message.contains("6 to 10")));
    drop((member, broker));

    let broker = Broker::open(&place, &settings(1)).unwrap();
    assert_eq!(
        broker.bounds(Topic::Touchpoints, 0).unwrap(),
        Bounds { start: 6, end: 10 }
    );
    assert_eq!(
        broker.append(Input::Touchpoints, &[record(0, "k", "v", 1)]).unwrap(),
        [(0, 10)]
    );
    assert_eq!(
        broker.newest(),
        900,
        "rows are stamped with the newest input, also after opening again"
    );
}

#[test]
fn control_is_followed_and_compacted() {
    let broker = in_memory(3);
    assert!(!broker.wait(Topic::Control, 0, 0, Duration::ZERO).unwrap());
    assert_eq!(broker.control_put(b"key/1", Some(b"a"), 1).unwrap(), 0);
    assert_eq!(broker.control_put(b"key/1", Some(b"b"), 2).unwrap(), 1);
    assert_eq!(broker.control_put(b"key/2", Some(b"c"), 3).unwrap(), 2);
    assert_eq!(broker.control_put(b"key/2", None, 4).unwrap(), 3);
    assert!(broker.wait(Topic::Control, 0, 3, Duration::ZERO).unwrap());
    assert_eq!(broker.control_read(2).unwrap().len(), 2);
    let now = broker.compacted(Topic::Control, 0).unwrap();
    assert_eq!(
        now.iter()
            .map(|record| (record.offset, record.value.as_deref()))
            .collect::<Vec<_>>(),
        [(1, Some(&b"b"[..]))]
    );
}

/// Whatever the size of its steps, cleaning changes neither the newest records nor what a slow reader ends with.
#[test]
fn cleaning_leaves_the_newest_of_each_key() {
    for records in [1, 7, 1000] {
        let broker = in_memory(2);
        broker.append(Input::Touchpoints, &[record(0, "k", "v", 1000)]).unwrap();
        let mut member = sole_member(&broker, "a");
        for round in 0..60 {
            member.begin().unwrap();
            for key in 0..10 {
                let value = format!("{round}");
                let deleted = key >= 7 && round % 2 == 1;
                member
                    .produce(row(1, &format!("k{key}"), (!deleted).then_some(&*value)))
                    .unwrap();
            }
            member.commit(&offsets(1, 0, 0, "")).unwrap();
        }
        let before = broker.compacted(Topic::Attributions, 1).unwrap();
        assert_eq!(before.len(), 7);
        let cleaning = Cleaning {
            records,
            forget_before: 1000,
        };
        while broker.clean(cleaning).unwrap() {}
        let left = broker.read(Topic::Attributions, 1, 0, 999).unwrap();
        assert_eq!(
            left.len(),
            10,
            "seven values, and three deletions that a slow reader must still see"
        );
        assert_eq!(broker.compacted(Topic::Attributions, 1).unwrap(), before);
        assert_eq!(broker.ends(Topic::Attributions), [0, 600]);

        // Ten more make it due again; deletions old enough go for good.
        member.begin().unwrap();
        for key in 0..10 {
            member.produce(row(1, &format!("other{key}"), Some("v"))).unwrap();
        }
        member.commit(&offsets(1, 0, 0, "")).unwrap();
        while broker
            .clean(Cleaning {
                records,
                forget_before: 1001,
            })
            .unwrap()
        {}
        assert_eq!(broker.read(Topic::Attributions, 1, 0, 999).unwrap().len(), 17);
    }
}

#[test]
fn opening_otherwise_than_made_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().join("log"));
    let broker = Broker::open(&place, &settings(4)).unwrap();
    let cluster = broker.identity().cluster.clone();
    assert_eq!(cluster.len(), 22);
    let twice = Broker::open(&place, &settings(4)).err().unwrap();
    assert!(matches!(twice, Error::InUse(_)), "{twice}");
    drop(broker);

    let error = Broker::open(&place, &settings(8)).err().unwrap().to_string();
    assert!(error.contains("number of partitions 4, not 8"), "{error}");
    let mut renamed = settings(4);
    renamed.topics.touchpoints = "clicks".to_owned();
    let error = Broker::open(&place, &renamed).err().unwrap().to_string();
    assert!(error.contains("touchpoints topic touchpoints, not clicks"), "{error}");
    assert_eq!(Broker::open(&place, &settings(4)).unwrap().identity().cluster, cluster);
}

#[test]
fn appends_that_cannot_be_are_refused_whole() {
    let broker = in_memory(2);
    let refused = broker.append(Input::Touchpoints, &[record(0, "k", "a", 1), record(2, "k", "b", 1)]);
    assert!(matches!(refused, Err(Error::Refused(message)) if message.contains("no partition 2")));
    assert_eq!(broker.ends(Topic::Touchpoints), [0, 0]);
    assert!(matches!(
        broker.append(Topic::Attributions, &[record(0, "k", "a", 1)]),
        Err(Error::Refused(_))
    ));
}

/// Many threads append and commit at once: everything is there, in each thread's order, and what was acknowledged was
/// visible to the one who wrote it.
#[test]
fn several_threads_share_the_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_disk(folder.path(), 4);
    let mut workers: Vec<_> = (0..2).map(|worker| broker.join(&format!("w{worker}"))).collect();
    broker.spread().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let broker = &broker;
            scope.spawn(move || {
                for turn in 0..50 {
                    let value = format!("{thread}/{turn}");
                    let positions = broker
                        .append(Input::Touchpoints, &[record(turn % 4, "k", &value, 1)])
                        .unwrap();
                    assert!(broker.ends(Topic::Touchpoints)[(turn % 4) as usize] > positions[0].1);
                }
            });
        }
        for worker in &mut workers {
            scope.spawn(move || {
                let mine = worker.poll(Duration::ZERO).unwrap();
                assert_eq!(mine.len(), 2);
                for turn in 0..50 {
                    let Assignment::Gained(partition) = mine[turn % 2] else {
                        panic!("{mine:?}")
                    };
                    worker.begin().unwrap();
                    worker.produce(row(partition, "k", Some(&turn.to_string()))).unwrap();
                    worker.commit(&offsets(partition, 0, 0, &turn.to_string())).unwrap();
                }
            });
        }
    });
    drop(workers);
    drop(broker);

    let broker = on_disk(folder.path(), 4);
    let mut next = BTreeMap::new();
    for partition in 0..4 {
        let turns = broker.read(Topic::Attributions, partition, 0, 999).unwrap();
        assert_eq!(turns.len(), 25);
        for record in broker.read(Topic::Touchpoints, partition, 0, 999).unwrap() {
            let value = String::from_utf8(record.value.unwrap()).unwrap();
            let (thread, turn) = value.split_once('/').unwrap();
            let turn: u32 = turn.parse().unwrap();
            let expected = next.entry((thread.to_owned(), partition)).or_insert(partition);
            assert_eq!(turn, *expected);
            *expected += 4;
        }
    }
    assert_eq!(next.values().map(|turn| turn / 4).sum::<u32>(), 4 * 50);
}

/// One process's part of [`killed_at_any_moment`]: appends and commits without end, telling what was acknowledged.
fn append_and_commit(folder: &Path) -> ! {
    let broker = on_disk(folder, 2);
    let mut member = sole_member(&broker, "w");
    let committed = member.committed(0).unwrap().touchpoints;
    let mut number: i64 = committed.map_or(0, |committed| committed.metadata.parse().unwrap());
    let large = "x".repeat(300_000);
    loop {
        number += 1;
        let value = number.to_string();
        let appended = broker.append(
            Input::Touchpoints,
            &[record(0, "k", &value, number), record(1, "k", &value, number)],
        );
        println!("appended {}", appended.unwrap()[1].1);
        member.begin().unwrap();
        for copy in 0..20 {
            // Every fifth is larger than a chunk.
            let key = if number % 5 == 0 { large.as_str() } else { "key" };
            member.produce(row(copy % 2, key, Some(&value))).unwrap();
        }
        let next = PerInput {
            touchpoints: number,
            conversions: 0,
        };
        let both = [0, 1].map(|partition| PartitionOffsets {
            partition,
            next,
            metadata: value.clone(),
        });
        let [first, second] = both;
        member.commit(&Offsets::new(first, vec![second])).unwrap();
        println!("committed {number}");
    }
}

/// What must hold of a log that [`append_and_commit`] wrote, however it ended.
fn check(broker: &Arc<Broker>, appended: Option<i64>, committed: i64) -> i64 {
    let mut member = sole_member(broker, "check");
    let last = [0, 1].map(|partition| {
        let offsets = member.committed(partition).unwrap().touchpoints;
        offsets.map_or(0, |offsets| offsets.metadata.parse::<i64>().unwrap())
    });
    assert_eq!(last[0], last[1], "one transaction committed both");
    assert!(
        last[0] >= committed,
        "{committed} was acknowledged, {} is there",
        last[0]
    );
    for partition in [0, 1] {
        let rows = broker.read(Topic::Attributions, partition, 0, usize::MAX).unwrap();
        let numbers: Vec<i64> = rows
            .iter()
            .map(|row| {
                std::str::from_utf8(row.value.as_ref().unwrap())
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        let whole: Vec<i64> = (1..=last[0]).flat_map(|number| [number; 10]).collect();
        assert_eq!(numbers, whole);
    }
    let ends = broker.ends(Topic::Touchpoints);
    assert_eq!(ends[0], ends[1], "one append wrote both");
    assert!(appended.is_none_or(|appended| ends[0] > appended));
    let read = broker.read(Topic::Touchpoints, 1, 0, usize::MAX).unwrap();
    assert!(read.iter().map(|record| record.offset).eq(0..ends[1]), "no gap");
    last[0]
}

#[test]
fn killed_at_any_moment() {
    const FOLDER: &str = "TRIBUTARY_TEST_LOG_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        append_and_commit(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut appended, mut committed) = (None, 0);
    for round in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "topics::embedded::tests::killed_at_any_moment",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let began = committed;
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150 + round * 61 % 100));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        for line in lines.map_while(Result::ok) {
            if let Some((what, number)) = line.split_once(' ') {
                match (what, number.parse()) {
                    ("appended", Ok(number)) => appended = Some(number),
                    ("committed", Ok(number)) => committed = number,
                    _ => {}
                }
            }
        }
        killer.join().unwrap();
        let last = check(&on_disk(folder.path(), 2), appended, committed);
        assert!(round == 0 || last >= began);
        committed = last;
    }
    assert!(committed > 8, "the children got nowhere");
}

/// After a power cut the write-ahead log ends anywhere: what is left of it is whole transactions.
#[test]
fn a_log_cut_anywhere_holds_whole_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_disk(folder.path(), 2);
    let mut member = sole_member(&broker, "w");
    for number in 1..=30_i64 {
        let value = number.to_string();
        broker
            .append(
                Input::Touchpoints,
                &[record(0, "k", &value, 1), record(1, "k", &value, 1)],
            )
            .unwrap();
        member.begin().unwrap();
        for copy in 0..20 {
            member.produce(row(copy % 2, "key", Some(&value))).unwrap();
        }
        let next = PerInput {
            touchpoints: number,
            conversions: 0,
        };
        let [first, second] = [0, 1].map(|partition| PartitionOffsets {
            partition,
            next,
            metadata: value.clone(),
        });
        member.commit(&Offsets::new(first, vec![second])).unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    for cut in 1..40_u64 {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            let to = copy.path().join(file.file_name());
            std::fs::copy(file.path(), &to).unwrap();
            if to.extension().is_some_and(|ending| ending == "log") {
                let length = file.metadata().unwrap().len();
                std::fs::OpenOptions::new()
                    .write(true)
                    .open(&to)
                    .unwrap()
                    .set_len(length * cut / 40)
                    .unwrap();
            }
        }
        seen.insert(check(&on_disk(copy.path(), 2), None, 0));
    }
    assert!(seen.len() > 20, "the cuts did not hit the log: {seen:?}");
}
