//! The control topic: read whole, followed, appended to.

use std::collections::BTreeMap;
use std::time::Duration;

use tributary::topics::Error;
use tributary::topics::kafka::control::{Appender, Follower};
use tributary::topics::kafka::tail::{From, Tail};

use crate::broker::Broker;
use crate::worker::{append, bare_settings, eventually, settings};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

fn note(table: &mut Table, key: &[u8], value: Option<&[u8]>) {
    match value {
        Some(value) => drop(table.insert(key.to_vec(), value.to_vec())),
        None => drop(table.remove(key)),
    }
}

#[test]
fn the_control_topic_is_read_whole_and_then_followed() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "control", 1);
    let topic = settings.topics.control.clone();
    let appender = Appender::open(&settings).unwrap();
    for (key, value) in [("key/1", Some("a")), ("key/2", Some("b")), ("key/1", Some("c")), ("key/2", None)] {
        appender.append(&topic, key.as_bytes(), value.map(str::as_bytes)).unwrap();
    }
    let mut table = Table::new();
    let mut follower =
        Follower::open(&settings, &topic, &mut |entry| note(&mut table, entry.key, entry.value)).unwrap();
    assert_eq!(table, Table::from([(b"key/1".to_vec(), b"c".to_vec())]));

    let (_, offset) = appender.append(&topic, b"key/3", Some(b"d")).unwrap();
    let seen = eventually("what was appended", Duration::from_secs(10), || {
        let mut seen = None;
        follower
            .poll(Duration::from_millis(100), &mut |entry| {
                seen = Some(entry.offset);
                note(&mut table, entry.key, entry.value);
            })
            .unwrap();
        seen
    });
    assert_eq!(seen, offset, "an append returns where the record stands");
    assert_eq!(table.len(), 2);
}

#[test]
fn whether_all_was_read_is_asked_of_the_brokers_whose_silence_is_no_answer() {
    const WAIT: Duration = Duration::from_secs(2);
    let broker = Broker::start("control-ends");
    let settings = settings(broker.address(), "control-ends", 1);
    let topic = settings.topics.control.clone();
    let appender = Appender::open(&settings).unwrap();
    let mut follower = Follower::open(&settings, &topic, &mut |_| {}).unwrap();
    let empty = follower.ends(WAIT).unwrap();
    assert!(follower.has_reached(&empty), "nothing is all there is");
    appender.append(&topic, b"key/1", Some(b"a")).unwrap();
    let one = follower.ends(WAIT).unwrap();
    assert!(!follower.has_reached(&one));
    eventually("it is read", Duration::from_secs(20), || {
        follower.poll(Duration::from_millis(100), &mut |_| {}).unwrap();
        follower.has_reached(&one).then_some(())
    });
    broker.act("pause");
    let (began, error) = (std::time::Instant::now(), follower.ends(WAIT).unwrap_err());
    broker.act("resume");
    assert!(matches!(error, Error::Unreachable(_)) && began.elapsed() < 3 * WAIT, "{error}");
    eventually("it is answered again", Duration::from_secs(30), || follower.ends(WAIT).ok());
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let broker = Broker::shared();
    let settings = bare_settings(broker.address(), "no-such");
    let error = Follower::open(&settings, &settings.topics.control, &mut |_| {}).err().unwrap();
    assert!(matches!(error, Error::Fatal(_)) && error.to_string().contains("no-such.control"), "{error}");
    let error = Appender::open(&settings).unwrap().append(&settings.topics.control, b"k", None).unwrap_err();
    assert!(error.to_string().contains("no-such.control"), "{error}");
}

#[test]
fn a_tail_begins_at_either_end() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "tail", 2);
    let topic = settings.topics.touchpoints.clone();
    append(&settings, tributary::topics::Input::Touchpoints, 1, 10);
    let mut old = Tail::open(&settings, &topic, From::Beginning).unwrap();
    let mut new = Tail::open(&settings, &topic, From::End).unwrap();
    append(&settings, tributary::topics::Input::Touchpoints, 0, 3);
    let count = |tail: &mut Tail, expected: usize| {
        let mut found = Vec::new();
        eventually("rows", Duration::from_secs(20), || {
            tail.poll(Duration::from_millis(50), &mut |entry| found.push((entry.partition, entry.offset))).unwrap();
            (found.len() >= expected).then_some(())
        });
        found
    };
    assert_eq!(count(&mut new, 3), [(0, 0), (0, 1), (0, 2)]);
    assert_eq!(count(&mut old, 13).len(), 13);
}
