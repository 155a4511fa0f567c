//! The state: one RocksDB a partition, one column family, a one-byte table prefix.
//!
//! | file | holds |
//! | --- | --- |
//! | `keys` | the tables and their keys |
//! | `batch` | the writes of one transaction, gathered in one arena |
//! | `rollups` | sums for reports: cells, their stored form, the cells that are often written |
//! | `view` | reads over one snapshot |
//! | `partition` | one open folder: write, flush, sizes |
//! | `seal` | whether a folder is sealed, its values opened, sealing anew after a rotation |
//! | `shared` | what all partitions of a process share: memory, file handles, threads |
//! | `partitions` | which partitions this process has open |
//!
//! There is no write-ahead log. One column family means one memtable, so whatever a flush puts on disk is the state after
//! some prefix of the batches, and the meta record, written with every batch, says which. The log of inputs restores the
//! rest. Touchpoints are blind writes: a duplicate lands on itself, a conflicting one beside it.
//!
//! **Architecture invariant:** nothing here knows what a record's bytes mean, what the time is, or what Kafka is.

mod batch;
mod error;
mod keys;
mod partition;
mod partitions;
mod rollups;
mod seal;
mod shared;
#[cfg(test)]
mod tests;
mod view;

pub use batch::Batch;
pub use error::Error;
pub use keys::{ConversionKey, Hasher, UserKey};
pub use partition::{Partition, Sizes};
pub use partitions::{Holder, Partitions};
pub use rollups::{BUCKET_MS, Cell, Dimension, Sum};
pub use seal::look;
pub use shared::{Budget, Shared, Usage};
pub use view::{Place, Stored, View};
