//! Reading: every record once, in order, from where it was asked.

use std::time::{Duration, Instant};

use tributary::topics::{Error, Input, Limit, PerInput, Records, TopicLog};

use crate::broker::Broker;
use crate::worker::{LIMIT, Worker, append, both, eventually, settings};

/// Offsets of what can be fetched until there are so many.
fn fetch(worker: &mut Worker, input: Input, count: usize, limit: Limit) -> Vec<i64> {
    let mut batch = Records::default();
    eventually("records", Duration::from_secs(20), || {
        worker.log.poll(Duration::from_millis(20)).unwrap();
        let before = batch.len();
        worker.log.fetch(0, input, limit, &mut batch).unwrap();
        assert!(batch.len() - before <= limit.records);
        (batch.len() >= count).then_some(())
    });
    batch.iter().map(|record| record.head.offset).collect()
}

#[test]
fn a_seek_drops_what_was_fetched_ahead_and_leaves_no_gap() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "seeks", 1);
    append(&settings, Input::Touchpoints, 0, 5000);
    append(&settings, Input::Conversions, 0, 5000);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    // A few records are read and thousands are fetched ahead, then reading goes back and forth.
    let small = Limit { records: 40, bytes: 1 << 20 };
    for round in 0..40_i64 {
        let from = PerInput { touchpoints: (round * 1237) % 4900, conversions: (round * 2741) % 4900 };
        worker.log.seek(0, from).unwrap();
        for input in Input::ALL {
            let read = fetch(&mut worker, input, 100, small);
            let expected: Vec<i64> = (*from.get(input)..).take(read.len()).collect();
            assert_eq!(read, expected, "round {round}, {}", input.name());
        }
    }
}

#[test]
fn a_fetch_stops_at_its_limits_and_loses_nothing() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "limits", 1);
    append(&settings, Input::Touchpoints, 0, 2000);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    let mut read = fetch(&mut worker, Input::Touchpoints, 7, Limit { records: 7, bytes: 1 << 20 });
    // By bytes: the record that crosses the limit is the last.
    let mut batch = Records::default();
    worker.log.fetch(0, Input::Touchpoints, Limit { records: 1000, bytes: 100 }, &mut batch).unwrap();
    let one = batch.iter().next().map_or(0, |record| record.key.unwrap().len() + record.value.unwrap().len());
    assert!(batch.bytes() >= 100 && batch.bytes() < 100 + one, "{} bytes", batch.bytes());
    read.extend(batch.iter().map(|record| record.head.offset));
    let left = 2000 - read.len();
    read.extend(fetch(&mut worker, Input::Touchpoints, left, LIMIT));
    assert_eq!(read, (0..2000).collect::<Vec<i64>>());
    assert_eq!(worker.log.known_end(0, Input::Touchpoints), Some(2000));
}

#[test]
fn a_record_comes_with_its_key_value_and_time() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "whole-records", 1);
    let appender = tributary::topics::kafka::control::Appender::open(&settings).unwrap();
    appender.append_at(&settings.topics.conversions, b"u1", Some(b"v"), Some(1_700_000_000_123)).unwrap();
    appender.append_at(&settings.topics.conversions, b"u1", None, Some(1_700_000_000_124)).unwrap();
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    let mut batch = Records::default();
    eventually("records", Duration::from_secs(20), || {
        worker.log.poll(Duration::from_millis(20)).unwrap();
        worker.log.fetch(0, Input::Conversions, LIMIT, &mut batch).unwrap();
        (batch.len() >= 2).then_some(())
    });
    let first = batch.get(0).unwrap();
    assert_eq!((first.key, first.value), (Some(b"u1".as_slice()), Some(b"v".as_slice())));
    assert_eq!((first.head.input, first.head.logged_at), (Input::Conversions, 1_700_000_000_123));
    assert_eq!(batch.get(1).unwrap().value, None);
}

#[test]
fn a_poll_wakes_when_a_record_comes_and_does_not_spin_over_what_is_held_back() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "wakes", 1);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    worker.log.poll(Duration::from_millis(300)).unwrap();
    let other = settings.clone();
    let appended = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        append(&other, Input::Touchpoints, 0, 1);
    });
    let started = Instant::now();
    worker.log.poll(Duration::from_secs(20)).unwrap();
    let waited = started.elapsed();
    appended.join().unwrap();
    assert!(waited < Duration::from_secs(10), "woke after {waited:?} only");

    // Nobody fetches it: the next poll waits for something new.
    let started = Instant::now();
    worker.log.poll(Duration::from_millis(300)).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(290), "came back after {:?}", started.elapsed());
    assert_eq!(fetch(&mut worker, Input::Touchpoints, 1, LIMIT), [0]);
}

#[test]
fn an_offset_that_is_not_in_the_log_is_fatal_and_named() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "out-of-range", 1);
    append(&settings, Input::Touchpoints, 0, 3);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    worker.log.seek(0, both(1_000_000)).unwrap();
    let mut batch = Records::default();
    let error = eventually("an error", Duration::from_secs(20), || {
        drop(worker.log.poll(Duration::from_millis(20)));
        worker.log.fetch(0, Input::Touchpoints, LIMIT, &mut batch).err()
    });
    assert!(matches!(error, Error::Fatal(_)), "{error:?}");
    let words = error.to_string();
    assert!(words.contains("out-of-range.touchpoints-0") && words.contains("1000000"), "{words}");
    assert!(batch.is_empty());
}
