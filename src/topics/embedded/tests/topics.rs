//! Appending, reading, waiting, and what may go.

use std::time::Instant;

use super::*;
use crate::topics::{self, Bounds, headers};

#[test]
fn appended_records_are_read_in_order_with_all_they_have() {
    let broker = in_memory(2);
    let told: [(&str, &[u8]); 2] = [("trace", b"abc"), ("empty", b"")];
    let bare = NewRecord { partition: 1, key: None, value: None, headers: &told, timestamp: 7 };
    let positions = broker.append(Input::Touchpoints, &[record(1, "k", "a", 5), record(0, "k", "b", 6), bare]).unwrap();
    assert_eq!(positions, [(1, 0), (0, 0), (1, 1)]);
    broker.append(Input::Conversions, &[record(1, "k", "c", 8)]).unwrap();

    let mut member = sole_member(&broker, "w");
    let mut records = Records::default();
    member.fetch(1, Input::Touchpoints, ALL, &mut records).unwrap();
    let read: Vec<_> = records.iter().collect();
    assert_eq!(read.len(), 2);
    assert_eq!((read[0].head.offset, read[0].head.logged_at, read[0].value), (0, 5, Some(&b"a"[..])));
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
    member.fetch(0, Input::Touchpoints, Limit { records: 2, bytes: usize::MAX }, &mut records).unwrap();
    assert_eq!(records.len(), 2);
    member.fetch(0, Input::Touchpoints, Limit { records: 9, bytes: 14 }, &mut records).unwrap();
    assert_eq!(records.len(), 4, "the record that crosses the limit is handed out");
    member.fetch(0, Input::Touchpoints, ALL, &mut records).unwrap();
    assert_eq!(records.iter().map(|record| record.head.offset).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    member.seek(0, PerInput { touchpoints: 6, conversions: 0 }).unwrap();
    let beyond = member.fetch(0, Input::Touchpoints, ALL, &mut records);
    assert!(matches!(beyond, Err(topics::Error::Fatal(message)) if message.contains("0 to 5")));
}

#[test]
fn nothing_is_fetched_before_seek_nor_after_a_loss() {
    let broker = in_memory(1);
    broker.append(Input::Touchpoints, &[record(0, "k", "a", 1)]).unwrap();
    let mut member = broker.join("a");
    broker.spread().unwrap();
    assert!(!member.is_member(), "nobody has told it anything");
    assert_eq!(member.poll(Duration::ZERO).unwrap(), [Assignment::Gained(0)]);
    assert!(member.is_member());
    let mut idle = broker.join("without a partition");
    assert!(idle.poll(Duration::ZERO).unwrap().is_empty() && idle.is_member(), "told that there is none");
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
    assert_eq!(broker.trim(Input::Touchpoints, 0, 8).unwrap(), 0, "nothing is committed");
    let mut member = sole_member(&broker, "a");
    member.begin().unwrap();
    member.commit(&offsets(0, 6, 0, "")).unwrap();
    assert_eq!(broker.offset_at(Input::Touchpoints, 0, 350).unwrap(), 4);
    assert_eq!(broker.trim(Input::Touchpoints, 0, 4).unwrap(), 4);
    assert_eq!(broker.trim(Input::Touchpoints, 0, 2).unwrap(), 4, "never back");
    assert_eq!(broker.trim(Input::Touchpoints, 0, 9).unwrap(), 6);
    assert_eq!(member.bounds(0, Input::Touchpoints).unwrap(), Bounds { start: 6, end: 10 });
    assert!(matches!(broker.trim(Topic::Attributions, 0, 1), Err(Error::Refused(_))));
    member.seek(0, PerInput { touchpoints: 5, conversions: 0 }).unwrap();
    let mut records = Records::default();
    let gone = member.fetch(0, Input::Touchpoints, ALL, &mut records);
    assert!(matches!(gone, Err(topics::Error::Fatal(message)) if message.contains("6 to 10")));
    drop((member, broker));

    let broker = Broker::open(&place, &settings(1)).unwrap();
    assert_eq!(broker.bounds(Topic::Touchpoints, 0).unwrap(), Bounds { start: 6, end: 10 });
    assert_eq!(broker.append(Input::Touchpoints, &[record(0, "k", "v", 1)]).unwrap(), [(0, 10)]);
    assert_eq!(broker.newest(), 900, "rows are stamped with the newest input, also after opening again");
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
        now.iter().map(|record| (record.offset, record.value.as_deref())).collect::<Vec<_>>(),
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
                member.produce(row(1, &format!("k{key}"), (!deleted).then_some(&*value))).unwrap();
            }
            member.commit(&offsets(1, 0, 0, "")).unwrap();
        }
        let before = broker.compacted(Topic::Attributions, 1).unwrap();
        assert_eq!(before.len(), 7);
        let cleaning = Cleaning { records, forget_before: 1000 };
        while broker.clean(cleaning).unwrap() {}
        let left = broker.read(Topic::Attributions, 1, 0, 999).unwrap();
        assert_eq!(left.len(), 10, "seven values, and three deletions that a slow reader must still see");
        assert_eq!(broker.compacted(Topic::Attributions, 1).unwrap(), before);
        assert_eq!(broker.ends(Topic::Attributions), [0, 600]);

        // Ten more make it due again; deletions old enough go for good.
        member.begin().unwrap();
        for key in 0..10 {
            member.produce(row(1, &format!("other{key}"), Some("v"))).unwrap();
        }
        member.commit(&offsets(1, 0, 0, "")).unwrap();
        while broker.clean(Cleaning { records, forget_before: 1001 }).unwrap() {}
        assert_eq!(broker.read(Topic::Attributions, 1, 0, 999).unwrap().len(), 17);
    }
}

#[test]
fn appends_that_cannot_be_are_refused_whole() {
    let broker = in_memory(2);
    let refused = broker.append(Input::Touchpoints, &[record(0, "k", "a", 1), record(2, "k", "b", 1)]);
    assert!(matches!(refused, Err(Error::Refused(message)) if message.contains("no partition 2")));
    assert_eq!(broker.ends(Topic::Touchpoints), [0, 0]);
    assert!(matches!(broker.append(Topic::Attributions, &[record(0, "k", "a", 1)]), Err(Error::Refused(_))));
}
