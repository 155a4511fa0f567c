//! A record that cannot be used goes, whole, to the dead-letter partition of its own number, with the reason and its
//! origin in headers.

use crate::core::Fault;
use crate::topics::{Error, Outgoing, Output, Record, TopicLog, headers, origin};

/// Why the record could not be used: `field: reason`.
pub const REASON: &str = "tributary-reason";
/// The partition that it lies on, in decimal.
pub const PARTITION: &str = "tributary-origin-partition";
/// Its log timestamp, in milliseconds.
pub const TIMESTAMP: &str = "tributary-origin-timestamp";
/// XXH3-128 of a value that was too large to go along, in hexadecimal.
pub const VALUE_HASH: &str = "tributary-value-xxh3";
/// The length of such a value, in bytes.
pub const VALUE_BYTES: &str = "tributary-value-bytes";

/// What headers and the record's own frame may take beside key, value and the original headers, in bytes.
const FRAME: usize = 2_048;

/// Produces the dead letter of `record`. One that is larger than `room` bytes goes by pointer and hash: its key and value
/// stay where the origin says.
pub fn produce(
    log: &mut dyn TopicLog,
    partition: u32,
    record: &Record<'_>,
    fault: &Fault,
    room: usize,
) -> Result<(), Error> {
    let reason = fault.to_string();
    let offset = record.head.offset.to_string();
    let (number, logged_at) = (partition.to_string(), record.head.logged_at.to_string());
    let mut all: Vec<(&str, &[u8])> = vec![
        (REASON, reason.as_bytes()),
        (origin::TOPIC, record.head.input.name().as_bytes()),
        (PARTITION, number.as_bytes()),
        (origin::OFFSET, offset.as_bytes()),
        (TIMESTAMP, logged_at.as_bytes()),
    ];
    let size = [record.key, record.value].into_iter().flatten().map(<[u8]>::len).sum::<usize>() + record.headers.len();
    let output = Output::DeadLetter;
    if size + FRAME <= room {
        all.extend(headers(record.headers));
        return log.produce(Outgoing { output, partition, key: record.key, value: record.value, headers: &all });
    }
    let value = record.value.unwrap_or_default();
    let (hash, bytes) = (format!("{:032x}", xxhash_rust::xxh3::xxh3_128(value)), value.len().to_string());
    all.push((VALUE_HASH, hash.as_bytes()));
    all.push((VALUE_BYTES, bytes.as_bytes()));
    let key = record.key.filter(|key| key.len() + FRAME <= room);
    log.produce(Outgoing { output, partition, key, value: None, headers: &all })
}
