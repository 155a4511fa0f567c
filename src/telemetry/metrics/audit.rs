//! The audit log: what is written, what waits, what was not taken.

use prometheus::{IntCounter, IntGauge, Registry, Result};

use super::make;

/// Series of the audit log.
#[derive(Debug)]
pub struct Audit {
    pub(in crate::telemetry) entries: IntCounter,
    pub(in crate::telemetry) refused: IntCounter,
    pub(in crate::telemetry) failures: IntCounter,
    /// Entries that wait to be written.
    pub queue: IntGauge,
}

impl Audit {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let counter = |name, help| make::counter(registry, name, help);
        Ok(Self {
            entries: counter("tributary_audit_entries_total", "Entries durable in the audit log.")?,
            refused: counter(
                "tributary_audit_refused_total",
                "Requests and changes refused because the audit log could not take their entry.",
            )?,
            failures: counter("tributary_audit_failures_total", "Failed attempts to write the audit log.")?,
            queue: make::gauge(
                registry,
                "tributary_audit_queue_entries",
                "Entries that wait to be written to the audit log.",
            )?,
        })
    }
}
