//! The worker: poll, decode, core, transaction, store; dead letters; recovery.
//!
//! | file | holds |
//! | --- | --- |
//! | `worker`, `options` | the loop of one thread and its partitions |
//! | `transaction` | one transaction over what they have prepared, and the writes after it |
//! | `partition` | one partition: its phases, its batches |
//! | `recovery` | from assigned to live: judged, replayed, then answered |
//! | `taking` | whether it may be taken, and from where |
//! | `intake` | what is read and not yet used, in the order of timestamps |
//! | `prepare` | a batch: decoded, checked, applied, encoded, before anything begins |
//! | `decode` | bytes to events |
//! | `overlay`, `apply`, `case`, `late` | what a batch changes: a pure function of the state before it |
//! | `rows`, `dead_letter` | what goes out |
//! | `panics` | too many records in a row that our code cannot bear |
//! | `meta` | the state's own account, and what travels with committed offsets |
//! | `observe` | the noteworthy moments, as values |
//! | `planted` | bugs for tests to plant |
//!
//! **Architecture invariant:** the state is written only after the commit of the transaction that covers the same
//! records (`transaction`), and no record is answered before every input has reached its committed offset
//! (`recovery`).

pub mod apply;
mod case;
mod dead_letter;
pub mod decode;
pub mod intake;
pub mod late;
pub mod meta;
pub mod observe;
pub mod options;
pub mod overlay;
mod panics;
mod partition;
pub mod planted;
pub mod prepare;
mod recovery;
pub mod rows;
pub mod taking;
mod transaction;
pub mod worker;

pub use observe::{BatchReport, Lag, Moment, Observer};
pub use options::{Clock, Options, Parts};
pub use planted::{Bug, Planted};
pub use prepare::Engine;
pub use rows::RowFormat;
pub use worker::{Error, Worker};
