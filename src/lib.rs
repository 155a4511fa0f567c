//! Tributary: streaming multi-touch attribution, exact and incremental.

pub mod access;
pub mod api;
pub mod app;
pub mod codec;
pub mod config;
pub mod core;
pub mod demo;
pub mod query;
pub mod registry;
pub mod replay;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod topics;
