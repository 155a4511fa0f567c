//! The Kafka log against a real broker: what the engine rests on, one promise a test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/binary.rs"]
mod binary;
#[path = "../support/broker.rs"]
mod broker;
#[path = "../support/proxy.rs"]
mod proxy;

mod audit;
mod control;
mod faults;
mod group;
mod mock;
mod reading;
mod topics;
mod transactions;
mod worker;
mod zombie;
