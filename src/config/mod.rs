//! One configuration tree: a TOML file, then the environment; unknown keys refused; validated once.
//!
//! | file | holds |
//! | --- | --- |
//! | `tree`, `sidecar` | the settings as types, with their defaults |
//! | `settings`, `page` | the settings as a table, and docs/configuration.md, which is made from it |
//! | `load` | file and environment -> tree |
//! | `check` | every rule between and within settings |
//! | `changed` | which settings differ between two readings |
//! | `units` | durations and sizes as people write them |
//!
//! **Architecture invariant:** nothing else in the crate reads the environment, and no module below `app` knows this one:
//! each has its own small settings, which `app` fills.

mod changed;
mod check;
mod error;
mod load;
pub mod page;
pub mod settings;
mod sidecar;
mod tree;
pub mod units;

pub use changed::changed;
pub use error::{Error, Problem};
pub use sidecar::{Limits, Sidecar, Tls};
pub use tree::{
    Access, Audit, Config, Engine, Format, Kafka, Log, LogFormat, LogKind, Memory, Output, Properties, Registry, Rules,
    Seal, Telemetry, Topics,
};

#[cfg(test)]
mod tests;
