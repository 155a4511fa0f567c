//! Transactions: all or nothing of rows, dead letters, offsets and metadata.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tributary::topics::{Error, Input, Outgoing, Output, TopicLog, origin};

use crate::broker::Broker;
use crate::worker::{METADATA, Worker, append, both, eventually, offsets, row, rows, settings};

fn dead_letter<'a>(partition: u32, headers: &'a [(&'a str, &'a [u8])]) -> Outgoing<'a> {
    Outgoing { output: Output::DeadLetter, partition, key: Some(b"user"), value: Some(b"bad"), headers }
}

#[test]
fn rows_dead_letters_offsets_and_metadata_go_together() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "together", 2);
    let mut worker = Worker::with_partitions(&settings, 0, 2);

    worker.log.begin().unwrap();
    worker.log.produce(row(1, b"kept")).unwrap();
    let reason: (&str, &[u8]) = ("tributary-reason", b"channel: too long");
    let first: [(&str, &[u8]); 3] = [reason, (origin::TOPIC, b"conversions"), (origin::OFFSET, b"41")];
    let second: [(&str, &[u8]); 2] = [(origin::TOPIC, b"touchpoints"), (origin::OFFSET, b"7")];
    worker.log.produce(dead_letter(1, &first)).unwrap();
    worker.log.produce(dead_letter(1, &second)).unwrap();
    let receipt = worker.log.commit(&offsets(1, both(42))).unwrap();

    let [(partition, next)] = receipt.dead_letters_next[..] else { panic!("{receipt:?}") };
    assert_eq!(partition, 1);
    // The marker may not be written yet; then the dead letters are not stable.
    assert!([0, 3].contains(&next), "two dead letters and a marker, but {next}");
    assert_eq!(rows(&settings, Output::Attributions), [(1, "kept".to_owned())]);
    let committed = worker.log.committed(1).unwrap();
    for input in Input::ALL {
        let at = committed.get(input).clone().unwrap();
        assert_eq!((at.next, at.metadata.as_str()), (42, METADATA));
    }
    let (set_aside, end) = worker.log.set_aside(1, 0).unwrap();
    assert_eq!(set_aside, [(Input::Conversions, 41), (Input::Touchpoints, 7)]);
    let (none, again) = worker.log.set_aside(1, end).unwrap();
    assert_eq!((none.len(), again), (0, end));
    assert_eq!(worker.log.set_aside(0, 0).unwrap(), (Vec::new(), 0), "an empty partition ends where it begins");
}

#[test]
fn an_aborted_transaction_leaves_nothing() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "aborted", 1);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    for round in 0..3_u8 {
        worker.log.begin().unwrap();
        for n in 0..100_u8 {
            worker.log.produce(row(0, &[b'x', round, n])).unwrap();
        }
        worker.log.abort().unwrap();
        worker.log.abort().unwrap(); // once more is no harm
    }
    worker.log.begin().unwrap();
    worker.log.produce(row(0, b"kept")).unwrap();
    worker.log.commit(&offsets(0, both(1))).unwrap();
    assert_eq!(rows(&settings, Output::Attributions), [(0, "kept".to_owned())]);
    assert_eq!(worker.log.renewals(), 0, "an abort needs no new producer");
}

#[test]
fn a_record_that_is_too_large_aborts_and_the_next_transaction_is_as_before() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "too-large", 1);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    worker.log.begin().unwrap();
    worker.log.produce(row(0, b"with it")).unwrap();
    let refused = worker.log.produce(row(0, &vec![0; settings.largest_record + 1])).unwrap_err();
    assert!(matches!(refused, Error::Aborted(_)), "{refused}");
    let closed = worker.log.produce(row(0, b"late")).unwrap_err();
    assert!(matches!(closed, Error::Aborted(_)), "{closed}");

    worker.log.begin().unwrap();
    worker.log.produce(row(0, b"kept")).unwrap();
    worker.log.commit(&offsets(0, both(1))).unwrap();
    assert_eq!(rows(&settings, Output::Attributions), [(0, "kept".to_owned())]);
}

#[test]
fn a_full_queue_is_waited_for() {
    let broker = Broker::shared();
    let mut settings = settings(broker.address(), "full-queue", 1);
    settings.queues.produced = 1 << 20;
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    worker.log.begin().unwrap();
    let value = [b'v'; 10_000];
    for _ in 0..1000 {
        worker.log.produce(row(0, &value)).unwrap(); // 10 MB through a queue of 1 MB
    }
    worker.log.commit(&offsets(0, both(1))).unwrap();
    assert_eq!(rows(&settings, Output::Attributions).len(), 1000);
}

#[test]
fn many_transactions_in_a_row_use_no_more_than_their_two_producers() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "in-a-row", 1);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    for n in 1..=200_u32 {
        worker.log.begin().unwrap();
        worker.log.produce(row(0, n.to_string().as_bytes())).unwrap();
        worker.log.commit(&offsets(0, both(n.into()))).unwrap();
    }
    let values: Vec<String> = rows(&settings, Output::Attributions).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, (1..=200).map(|n| n.to_string()).collect::<Vec<_>>(), "in the order of the commits");
    assert_eq!(worker.log.committed(0).unwrap().touchpoints.unwrap().next, 200);
    assert_eq!(worker.log.renewals(), 0);
}

#[test]
fn the_end_of_an_input_is_before_a_transaction_that_is_still_open() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "open-input", 1);
    append(&settings, Input::Touchpoints, 0, 3);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("transactional.id", "someone-else")
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(10)).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<str, str>::to(&settings.topics.touchpoints).partition(0).payload("open")).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    let bounds = worker.log.bounds(0, Input::Touchpoints).unwrap();
    assert_eq!((bounds.start, bounds.end), (0, 3));

    producer.commit_transaction(Duration::from_secs(10)).unwrap();
    eventually("the marker", Duration::from_secs(10), || {
        let end = worker.log.bounds(0, Input::Touchpoints).unwrap().end;
        assert!([3, 5].contains(&end), "a record and its marker, but {end}");
        (end == 5).then_some(())
    });
}
