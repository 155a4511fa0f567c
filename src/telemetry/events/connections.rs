//! Connections that come to nothing.

use std::net::IpAddr;

use tracing::{debug, warn};

use crate::telemetry::Metrics;

/// A connection was closed at once for want of a place.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRefused {
    /// Where it came from.
    pub from: IpAddr,
    /// The setting that allows no more.
    pub limit: &'static str,
}

impl ConnectionRefused {
    /// Log line and metric.
    pub fn emit(self, metrics: &Metrics) {
        metrics.http.connections_refused.inc();
        if let Some(held_back) = metrics.lines.connection_refused.pass() {
            warn!(from = %self.from, limit = self.limit, held_back, "connection closed, there are too many");
        }
    }
}

/// Why a TLS handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The client showed no certificate that is accepted here.
    Certificate,
    /// The client turned away, as where it does not accept the certificate that it was shown.
    Rejected,
    /// What the client speaks is no TLS, or none that is spoken here.
    Protocol,
    /// It took too long.
    Timeout,
    /// The client hung up, as what only looks whether the port is open does.
    Closed,
}

impl Handshake {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Certificate, Self::Rejected, Self::Protocol, Self::Timeout, Self::Closed];

    /// Its name in metrics and lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Rejected => "rejected",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
        }
    }
}

/// A TLS handshake came to nothing.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeFailed<'a> {
    /// Where it came from.
    pub from: IpAddr,
    /// What kind of failure.
    pub kind: Handshake,
    /// Why, in words.
    pub reason: &'a str,
}

impl HandshakeFailed<'_> {
    /// Metric, and a log line now and then. Refused certificates have a line of their own, so that nobody who scans the port
    /// hides them; of who just hangs up there is none.
    pub fn emit(self, metrics: &Metrics) {
        let Self { from, kind, reason } = self;
        metrics.http.handshake_failed(kind);
        let line = match kind {
            Handshake::Closed => return debug!(%from, reason, "TLS handshake failed"),
            Handshake::Certificate => &metrics.lines.certificate_refused,
            _ => &metrics.lines.handshake_failed,
        };
        if let Some(held_back) = line.pass() {
            warn!(%from, kind = kind.name(), reason, held_back, "TLS handshake failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_scans_the_port_does_not_hide_a_refused_certificate() {
        let metrics = Metrics::new().unwrap();
        let failed = |kind| HandshakeFailed { from: [192, 0, 2, 7].into(), kind, reason: "why" }.emit(&metrics);
        [Handshake::Protocol, Handshake::Timeout, Handshake::Rejected, Handshake::Closed].into_iter().for_each(failed);
        assert_eq!(metrics.lines.certificate_refused.pass(), Some(0));
        assert_eq!(metrics.lines.handshake_failed.pass(), None, "they had their line");
    }
}
