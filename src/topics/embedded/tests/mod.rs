//! The embedded log as its users see it, in memory and on disk.

mod durability;
mod sealed;
mod topics;
mod transactions;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::topics::{Assignment, Limit, Offsets, Outgoing, PartitionOffsets, Records, TopicLog};

const ALL: Limit = Limit { records: usize::MAX, bytes: usize::MAX };

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
    NewRecord { partition, key: Some(key.as_bytes()), value, headers: &[], timestamp }
}

fn row<'a>(partition: u32, key: &'a str, value: Option<&'a str>) -> Outgoing<'a> {
    let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
    Outgoing { output: Output::Attributions, partition, key, value, headers: &[] }
}

fn offsets(partition: u32, touchpoints: Offset, conversions: Offset, metadata: &str) -> Offsets {
    let next = PerInput { touchpoints, conversions };
    Offsets::new(PartitionOffsets { partition, next, metadata: metadata.to_owned() }, Vec::new())
}

/// A member that holds every partition, reading from the committed offsets on.
fn sole_member(broker: &Arc<Broker>, name: &str) -> Member {
    let mut member = broker.join(name);
    broker.spread().unwrap();
    for assignment in member.poll(Duration::ZERO).unwrap() {
        let Assignment::Gained(partition) = assignment else { panic!("{assignment:?}") };
        let committed = member.committed(partition).unwrap();
        let next = PerInput::from_fn(|input| committed.get(input).as_ref().map_or(0, |committed| committed.next));
        member.seek(partition, next).unwrap();
    }
    member
}

fn values(records: &Records) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap()).collect()
}
