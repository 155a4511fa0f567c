//! What becomes of the audit log's entries.

use tracing::{debug, warn};

use crate::telemetry::Metrics;

/// The audit log takes nothing; changes are refused.
#[derive(Clone, Copy, Debug)]
pub struct AuditUnreachable<'a> {
    /// What went wrong.
    pub reason: &'a str,
}

impl AuditUnreachable<'_> {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.audit.failures.inc();
        warn!(reason = self.reason, "audit log not writable, changes are refused");
    }
}

/// Entries of the audit log are durable.
#[derive(Clone, Copy, Debug)]
pub struct AuditWritten {
    /// How many.
    pub entries: u64,
}

impl AuditWritten {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.audit.entries.inc_by(self.entries);
        debug!(entries = self.entries, "audit entries written");
    }
}

/// The audit log could not take an entry, so what it tells of did not happen.
#[derive(Clone, Copy, Debug)]
pub struct AuditRefused;

impl AuditRefused {
    /// Metric; the log line is [`AuditUnreachable`]'s.
    pub fn emit(self, metrics: &Metrics) {
        metrics.audit.refused.inc();
    }
}
