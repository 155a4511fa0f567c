//! Bytes <-> core types: how events come off the wire, how rows go onto it, how the state keeps events.
//!
//! | file | holds |
//! | --- | --- |
//! | `framing` | what a record's bytes say they are: Avro in Confluent framing, or JSON |
//! | `json` | events from strict JSON, rows to JSON |
//! | `avro/` | events from Avro by a plan made once for each writer's schema; rows and events to Avro |
//! | `record` | the stored form of events |
//! | `schemas` | the schemas of the wire, as committed in `schemas/` |
//!
//! **Architecture invariant:** nothing here does I/O or asks a registry; whatever the bytes are, the answer is a value or
//! a `Fault` that names the field, never a panic, and never an allocation of a size that the bytes merely claim.

pub mod avro;
mod bytes;
mod field;
mod framing;
pub mod json;
pub mod record;
#[cfg(test)]
pub(crate) mod samples;
pub mod schemas;

pub use framing::{Framing, framing};
