//! Tributary: streaming multi-touch attribution, exact and incremental.
//!
//! Touchpoints and conversions come from a log, each user's journey is kept in RocksDB, and every event that changes who
//! earned a conversion is answered by the attribution rows that changed.
//!
//! # Path of an event
//!
//! [`topics`] reads records of a partition; [`stream`] decodes them with [`codec`] (writer schemas come from
//! [`registry`]), asks [`core`] what changed against the state in [`store`], and hands rows, dead letters and offsets to
//! one transaction of [`topics`]. After its commit the changes are written to [`store`], where [`query`] reads them for
//! [`api`]. [`replay`] computes the same rows from files in one pass, sharing only [`core`] and [`codec`]: it is what the
//! stream is checked against.
//!
//! # Layout
//!
//! - [`core`]: the pure core: events, journeys, paths, models, credit, rows, differences.
//! - [`codec`]: bytes to core types and back; [`registry`]: schema id to schema.
//! - [`seal`]: what lies on disk, encrypted; [`store`]: one RocksDB a partition.
//! - [`topics`]: the log's trait; Kafka and the embedded log.
//! - [`stream`]: the worker; [`replay`]: the batch.
//! - [`query`], [`access`], [`audit`], [`api`]: the sidecar; [`telemetry`]: logs, traces, metrics, health.
//! - [`config`], [`app`], [`demo`]: settings, putting the parts together, synthetic shoppers.
//!
//! What must always hold, and what happens when something dies, is in `docs/ARCHITECTURE.md`.

pub mod access;
pub mod api;
pub mod app;
pub mod audit;
pub mod codec;
pub mod config;
pub mod core;
pub mod demo;
pub mod query;
pub mod registry;
pub mod replay;
pub mod seal;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod topics;
