//! `tributary demo`: synthetic shoppers on the embedded log, and a screen that shows what becomes of them.
//!
//! | file | holds |
//! | --- | --- |
//! | `shoppers` | the events: a pure function of a seed, used by tests and benchmarks too |
//! | `catalog` | channels, campaigns and goals |
//! | `dice` | chance from a seed |
//! | `wire` | events as JSON |
//! | `feed` | events into the embedded log, at a steady rate |
//! | `key` | the API key, the same over restarts |
//! | `run` | the demo itself |
//! | `live` | the figures of the moment |
//! | `screen` | the live view |

mod catalog;
mod dice;
pub mod feed;
mod key;
pub mod live;
mod run;
pub mod screen;
pub mod shoppers;
pub mod wire;

pub use dice::Dice;
pub use run::{Options, config, run};

#[cfg(test)]
mod tests;
