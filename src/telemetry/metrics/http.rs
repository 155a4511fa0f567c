//! The sidecar's requests: how many, how they ended, how long they took.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, Result};

use super::make;
use crate::telemetry::events::Handshake;

/// Series of the sidecar. `route` is a route's template (`/v1/users/{user_id}/journey`), never a path.
#[derive(Debug)]
pub struct Http {
    requests: IntCounterVec,
    seconds: HistogramVec,
    /// Requests under way.
    pub in_flight: IntGauge,
    pub(in crate::telemetry) connections_refused: IntCounter,
    handshakes_failed: IntCounterVec,
}

impl Http {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let seconds =
            HistogramOpts::new("tributary_http_request_seconds", "Time to answer a request, by route and method.")
                .buckets(vec![0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]);
        let handshakes_failed = make::counters(
            registry,
            "tributary_tls_handshakes_failed_total",
            "TLS handshakes that came to nothing, by reason.",
            &["reason"],
        )?;
        Handshake::ALL.iter().for_each(|kind| drop(handshakes_failed.with_label_values(&[kind.name()])));
        Ok(Self {
            requests: make::counters(
                registry,
                "tributary_http_requests_total",
                "Requests answered, by route, method and status.",
                &["route", "method", "status"],
            )?,
            seconds: make::histograms(registry, seconds, &["route", "method"])?,
            in_flight: make::gauge(registry, "tributary_http_requests_in_flight", "Requests being answered now.")?,
            connections_refused: make::counter(
                registry,
                "tributary_connections_refused_total",
                "Connections closed at once, because there were too many.",
            )?,
            handshakes_failed,
        })
    }

    /// Counts one handshake that came to nothing.
    pub(in crate::telemetry) fn handshake_failed(&self, kind: Handshake) {
        self.handshakes_failed.with_label_values(&[kind.name()]).inc();
    }

    /// Counts one answered request. `method` must be one of the standard ones: see [`Self::method`].
    pub fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        let mut digits = [0; 3];
        let mut rest = status;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        let status = std::str::from_utf8(&digits).unwrap_or("000");
        self.requests.with_label_values(&[route, method, status]).inc();
        self.seconds.with_label_values(&[route, method]).observe(took.as_secs_f64());
    }

    /// A method's name as a label: callers can make methods up, labels they cannot.
    pub fn method(name: &str) -> &'static str {
        const KNOWN: [&str; 8] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];
        KNOWN.into_iter().find(|known| *known == name).unwrap_or("other")
    }
}
