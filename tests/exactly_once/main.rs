//! Exactly once, on a real broker and the real schema registry: the binary as it is deployed, killed and paused at random
//! moments under load, must end at the rows that one batch pass over the same events computes. The rows are read by a
//! program that shares no code with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/broker.rs"]
#[allow(dead_code, reason = "the tests of the log need more of it")]
mod broker;
#[path = "../simulation/dice.rs"]
#[allow(dead_code, reason = "the simulation's chance, of which this needs less")]
mod dice;

mod events;
mod feed;
mod instance;
mod kill;
mod log;
mod ready;
mod restart;
mod rules;
mod servers;
mod stage;
#[path = "../support/until.rs"]
mod until;
