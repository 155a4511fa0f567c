//! `tributary demo`: synthetic shoppers on the embedded log, and a screen that shows what becomes of them.
//!
//! | file | holds |
//! | --- | --- |
//! | `shoppers` | the events: a pure function of a seed, used by tests and benchmarks too |
//! | `catalog` | channels, campaigns and goals |
//! | `dice` | chance from a seed |
//! | `wire` | events as JSON |
//! | `screen` | the live view |

mod catalog;
mod dice;
pub mod screen;
pub mod shoppers;
pub mod wire;

pub use dice::Dice;

#[cfg(test)]
mod tests;
