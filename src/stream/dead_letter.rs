//! A record that cannot be used goes, whole, to the dead-letter partition of its own number, with the reason and its
//! origin in headers.

use crate::core::Fault;
use crate::topics::{Error, LogIdentity, Outgoing, Output, Record, TopicLog, headers, origin};

/// What headers and the record's own frame may take beside key, value and the original headers, in bytes.
const FRAME: usize = 2_048;

/// Produces the dead letter of `record`. One that is larger than `room` bytes goes by pointer and hash: its key and value
/// stay where the origin says.
pub fn produce(
    log: &mut dyn TopicLog,
    partition: u32,
    identity: &LogIdentity,
    record: &Record<'_>,
    fault: &Fault,
    room: usize,
) -> Result<(), Error> {
    let reason = fault.to_string();
    let offset = record.head.offset.to_string();
    let (number, logged_at) = (partition.to_string(), record.head.logged_at.to_string());
    let mut all: Vec<(&str, &[u8])> = vec![
        (origin::REASON, reason.as_bytes()),
        (origin::INPUT, record.head.input.name().as_bytes()),
        (origin::TOPIC, identity.topics.get(record.head.input).as_bytes()),
        (origin::PARTITION, number.as_bytes()),
        (origin::OFFSET, offset.as_bytes()),
        (origin::TIMESTAMP, logged_at.as_bytes()),
    ];
    let size = [record.key, record.value].into_iter().flatten().map(<[u8]>::len).sum::<usize>() + record.headers.len();
    let output = Output::DeadLetter;
    if size + FRAME <= room {
        all.extend(headers(record.headers));
        return log.produce(Outgoing { output, partition, key: record.key, value: record.value, headers: &all });
    }
    let value = record.value.unwrap_or_default();
    let (hash, bytes) = (format!("{:032x}", xxhash_rust::xxh3::xxh3_128(value)), value.len().to_string());
    all.push((origin::VALUE_HASH, hash.as_bytes()));
    all.push((origin::VALUE_BYTES, bytes.as_bytes()));
    let key = record.key.filter(|key| key.len() + FRAME <= room);
    log.produce(Outgoing { output, partition, key, value: None, headers: &all })
}
