//! What opening a log finds or makes.

use std::num::NonZeroU32;
use std::ops::ControlFlow;

use base64::Engine as _;
use rocksdb::WriteBatch;

use super::rows::{Commit, Extent, IDENTITY, bounds_key, committed_key, record_key};
use super::storage::Storage;
use super::{Error, Settings, Topic};
use crate::topics::{LogIdentity, Offset};

/// Every topic with its partitions, in order.
pub(super) fn slots(partitions: NonZeroU32) -> Vec<(Topic, u32)> {
    let places = |topic: Topic| (0..topic.partitions(partitions)).map(move |partition| (topic, partition));
    Topic::ALL.into_iter().flat_map(places).collect()
}

/// Reads who the log is and compares, or says so in a new one.
pub(super) fn identify(storage: &Storage, settings: &Settings) -> Result<LogIdentity, Error> {
    let Some(bytes) = storage.get(&IDENTITY)? else {
        let identity = LogIdentity {
            cluster: settings.cluster.clone().map_or_else(cluster_id, Ok)?,
            topics: settings.topics.clone(),
            partitions: settings.partitions.get(),
        };
        let json = serde_json::to_vec(&identity).map_err(|error| Error::Storage(error.to_string()))?;
        let mut batch = WriteBatch::default();
        storage.put(&mut batch, &IDENTITY, &json)?;
        storage.write(batch)?;
        if settings.sync {
            storage.sync()?;
        }
        return Ok(identity);
    };
    compare(storage, settings, &bytes)
}

/// Who the log says it is must be who is asked for.
pub(super) fn compare(storage: &Storage, settings: &Settings, bytes: &[u8]) -> Result<LogIdentity, Error> {
    let made: LogIdentity = serde_json::from_slice(bytes).map_err(|_| storage.corrupt("the identity"))?;
    let differs = |what, made: &dyn ToString, asked: &dyn ToString| Error::Differs {
        place: storage.place().to_owned(),
        what,
        made: made.to_string(),
        asked: asked.to_string(),
    };
    if made.partitions != settings.partitions.get() {
        return Err(differs("the number of partitions", &made.partitions, &settings.partitions));
    }
    let names = [
        ("the touchpoints topic", &made.topics.touchpoints, &settings.topics.touchpoints),
        ("the conversions topic", &made.topics.conversions, &settings.topics.conversions),
    ];
    for (what, made, asked) in names {
        if made != asked {
            return Err(differs(what, made, asked));
        }
    }
    Ok(made)
}

/// A random id, as Kafka's own look.
fn cluster_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::Storage(format!("no random bytes to be had: {error}")))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// The extent of a partition.
pub(super) fn extent(storage: &Storage, (topic, partition): (Topic, u32)) -> Result<Extent, Error> {
    match storage.get(&bounds_key(topic, partition))? {
        None => Ok(Extent::default()),
        Some(bytes) => Extent::decode(&bytes).ok_or_else(|| storage.corrupt("a partition's bounds")),
    }
}

/// The extent of a partition; what a transaction left beyond its end when the process died is deleted.
pub(super) fn recover(storage: &Storage, (topic, partition): (Topic, u32)) -> Result<Extent, Error> {
    let extent = extent(storage, (topic, partition))?;
    let mut left_over = false;
    storage.scan((topic, partition), extent.end..Offset::MAX, |_, _| {
        left_over = true;
        ControlFlow::Break(())
    })?;
    if left_over {
        let mut batch = WriteBatch::default();
        let (from, to) = (record_key(topic, partition, extent.end), record_key(topic, partition, Offset::MAX));
        batch.delete_range(from, to);
        storage.write(batch)?;
    }
    Ok(extent)
}

/// What the group has committed, by partition.
pub(super) fn commits(storage: &Storage, partitions: NonZeroU32) -> Result<Vec<Option<Commit>>, Error> {
    let read = |partition| {
        let Some(bytes) = storage.get(&committed_key(partition))? else {
            return Ok(None);
        };
        Commit::decode(&bytes).map(Some).ok_or_else(|| storage.corrupt("a committed offset"))
    };
    (0..partitions.get()).map(read).collect()
}
