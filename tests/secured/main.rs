//! Kafka and the schema registry as production has them: TLS everywhere, SCRAM-SHA-512 and client certificates, Kafka's own
//! authorizer, a registry that asks who is there. The binary is to work with exactly the permissions of
//! docs/kafka-security.md, to name each one that is missing, to say in plain words why it is not let in, and to let none of
//! its secrets out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/broker.rs"]
#[allow(dead_code, reason = "the tests of the log need more of it")]
mod broker;
#[path = "../exactly_once/instance.rs"]
#[allow(dead_code, reason = "the tests of exactly once kill and pause it too")]
mod instance;
#[path = "../exactly_once/servers.rs"]
#[allow(dead_code, reason = "the tests of exactly once need more of it")]
mod servers;

mod certificates;
mod cluster;
mod door;
mod end_to_end;
mod events;
mod grants;
mod missing;
mod page;
mod refused;
mod secrets;
mod stage;
#[path = "../support/until.rs"]
mod until;
