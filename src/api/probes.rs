//! `/livez`, `/readyz`, `/startupz` and `/metrics`.

use axum::Json;
use axum::extract::State as Extract;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem, Unready};
use super::state::State;
use crate::telemetry::health::Reason;

/// What a probe says when all is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Probe {
    /// `ok`.
    status: &'static str,
}

/// Whether the worker loops go round. Asks for no dependency: a broker that is down restarts nobody.
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "probes",
    responses((status = 200, description = "The process is alive", body = Probe)))]
pub(super) async fn livez(Extract(state): Extract<State>) -> Response {
    probe(state.health.not_alive())
}

/// Whether queries are answered from whole state: every worker has its share of the
/// partitions, each of them recovered, log and registry reachable, and API keys known as they stand.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "probes",
    responses((status = 200, description = "The process is ready", body = Probe)))]
pub(super) async fn readyz(Extract(state): Extract<State>) -> Response {
    probe(state.health.not_ready())
}

/// Whether every worker has had its share of the partitions live since the process began.
#[utoipa::path(get, path = "/startupz", operation_id = "startupz", tag = "probes",
    responses((status = 200, description = "The process has started", body = Probe)))]
pub(super) async fn startupz(Extract(state): Extract<State>) -> Response {
    probe(state.health.not_started())
}

/// Every metric in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "probes",
    responses((status = 200, description = "Metrics", content_type = "text/plain; version=0.0.4", body = String)))]
pub(super) async fn metrics(Extract(state): Extract<State>) -> Result<Response, Problem> {
    let reader = state.reader.clone();
    // Beside the reads of callers, who must not be able to keep a scrape waiting.
    if let Ok(Ok(freshness)) = tokio::task::spawn_blocking(move || reader.freshness()).await {
        state.metrics.stream.adjustments_waiting.set(freshness.waiting());
    }
    let text = state.metrics.render(&state.health).map_err(|error| {
        tracing::error!(%error, "metrics cannot be written");
        Problem::of(Code::Internal)
    })?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

fn probe(reasons: Vec<Reason>) -> Response {
    let Some(first) = reasons.first() else {
        return Json(Probe { status: "ok" }).into_response();
    };
    let problem = Problem::new(Code::Unavailable, first.detail.clone());
    Problem { reasons: reasons.into_iter().map(Unready::from).collect(), ..problem }.into_response()
}

impl From<Reason> for Unready {
    fn from(reason: Reason) -> Self {
        let Reason { code, detail, worker, partition, records_left } = reason;
        Self { code: code.to_owned(), detail, worker, partition, records_left }
    }
}
