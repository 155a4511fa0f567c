//! What lies in the topics, read with a plain client.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tributary::topics::Input;

use crate::feed::BAD;
use crate::stage::{PARTITIONS, Stage};

const LIMIT: Duration = Duration::from_secs(30);

fn consumer(stage: &Stage, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", stage.broker.address())
        .set("group.id", stage.topic(group))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap()
}

/// Records that a group has not answered yet. While a transaction over its offsets is undecided (a killed process's, until it is
/// back) the brokers hold the answer back, so none in time counts as much to do.
pub fn behind(stage: &Stage, group: &str) -> i64 {
    let client = consumer(stage, group);
    let mut all = TopicPartitionList::new();
    for input in Input::ALL {
        all.add_partition_range(&stage.topic(input.name()), 0, PARTITIONS - 1);
    }
    let Ok(committed) = client.committed_offsets(all, LIMIT) else {
        return i64::MAX;
    };
    let lags = committed.elements().into_iter().map(|of| {
        let (_, end) = client.fetch_watermarks(of.topic(), of.partition(), LIMIT).unwrap();
        end - of.offset().to_raw().unwrap_or(0).max(0)
    });
    lags.sum()
}

/// A record by where it lay in an input topic.
pub type Origin = (String, i32, i64);

/// Key and value of the records that cannot be used.
pub type Bad = BTreeMap<Origin, (Option<Vec<u8>>, Option<Vec<u8>>)>;

/// The bad records of the input topics.
pub fn bad_records(stage: &Stage) -> Bad {
    let mut bad = Bad::new();
    for input in Input::ALL {
        each(stage, &stage.topic(input.name()), |message| {
            if header(message, BAD).is_some() {
                let origin = (input.name().to_owned(), message.partition(), message.offset());
                bad.insert(origin, content(message));
            }
        });
    }
    bad
}

/// The dead letters by the origin that they name; each must be there once, and say why.
pub fn dead_letters(stage: &Stage) -> Bad {
    let mut letters = Bad::new();
    each(stage, &stage.topic("dead-letter"), |message| {
        let text = |name| header(message, name).unwrap_or_else(|| panic!("a dead letter without {name}"));
        let partition: i32 = text("tributary-origin-partition").parse().unwrap();
        let offset: i64 = text("tributary-origin-offset").parse().unwrap();
        let origin = (text("tributary-origin-topic"), partition, offset);
        assert!(text("tributary-reason").contains(": "), "no reason in {origin:?}");
        assert_eq!(message.partition(), partition, "{origin:?}");
        assert!(letters.insert(origin.clone(), content(message)).is_none(), "{origin:?} was set aside twice");
    });
    letters
}

fn content(message: &BorrowedMessage<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec))
}

fn header(message: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    Some(String::from_utf8_lossy(found.value.unwrap_or_default()).into_owned())
}

/// Hands out every committed record of a topic.
fn each(stage: &Stage, topic: &str, mut take: impl FnMut(&BorrowedMessage<'_>)) {
    let client = consumer(stage, "look");
    for partition in 0..PARTITIONS {
        let (start, end) = client.fetch_watermarks(topic, partition, LIMIT).unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(start)).unwrap();
        client.assign(&list).unwrap();
        let began = Instant::now();
        // The last offset may be a transaction's marker, so the position says when all was read.
        let position = || client.position().unwrap().elements_for_topic(topic)[0].offset().to_raw().unwrap_or(start);
        while start < end && position() < end {
            assert!(began.elapsed() < LIMIT, "{topic}-{partition}: not read within {LIMIT:?}");
            if let Some(message) = client.poll(Duration::from_millis(100)) {
                take(&message.unwrap());
            }
        }
    }
}
