//! How the instance is, for whoever looks after it.

use axum::Json;
use axum::extract::State as Extract;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Allowed;
use super::fresh;
use super::parameters::Parameters;
use super::problem::{Problem, Unready};
use super::state::State;
use crate::core::rules::Rules;
use crate::core::{CORE_VERSION, Millis};
use crate::query::Freshness;
use crate::telemetry::PartitionState;
use crate::telemetry::health::{Held, Reason};

/// How one instance is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct InstanceStatus {
    /// The instance's name.
    instance: String,
    /// When it began to start, in milliseconds since 1970.
    started_at: i64,
    /// Whether queries are answered from whole state, as `/readyz` says it.
    ready: bool,
    /// Why not.
    reasons: Vec<Unready>,
    /// Whether the log answers every worker.
    log_answers: bool,
    /// Whether no partition waits for the schema registry.
    registry_answers: bool,
    /// The rules that rows are by.
    rules: RulesInForce,
    /// How many partitions there are, on all instances together.
    partitions_in_all: u32,
    /// Those held here. How far behind the log they are is in `/metrics`.
    partitions: Vec<PartitionStatus>,
}

/// The rules that rows are by: the same on every instance of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct RulesInForce {
    /// Their digest, as it is kept beside state and offsets.
    digest: String,
    /// The version of the rules as code.
    core_version: u32,
    /// Every rule, as the digest is of it.
    text: String,
}

/// How one partition is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct PartitionStatus {
    /// The partition.
    partition: u32,
    /// The worker that holds it.
    worker: String,
    /// What it does now.
    state: PartitionPhase,
    /// Records left to be applied again, where that is what it does.
    records_left: Option<u64>,
    /// The offset of the touchpoint to be applied next; null while the state is not open.
    next_touchpoint: Option<i64>,
    /// The offset of the conversion to be applied next.
    next_conversion: Option<i64>,
    /// The greatest log timestamp applied, in milliseconds since 1970.
    as_of: Option<Millis>,
}

/// What a partition does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PartitionPhase {
    /// Its state is opened and compared.
    Restoring,
    /// Records are applied again, output suppressed.
    Replaying,
    /// New records are processed.
    Live,
}

/// How this instance is: its partitions, what it depends on, its rules. It answers also where the state cannot be read.
#[utoipa::path(get, path = "/v1/status", operation_id = "getStatus", tag = "status",
    responses((status = 200, description = "How the instance is", body = InstanceStatus)))]
pub(super) async fn status(_: Allowed, Extract(state): Extract<State>, uri: Uri) -> Result<Response, Problem> {
    Parameters::of(&uri).finish()?;
    let reader = state.reader.clone();
    // Beside the reads of callers, who must not be able to keep it waiting.
    let read = tokio::task::spawn_blocking(move || reader.freshness());
    let freshness = read.await.ok().and_then(Result::ok).unwrap_or_default();
    let headers = fresh::headers(freshness.as_of(), &freshness.position());
    Ok((headers, Json(of(&state, &freshness))).into_response())
}

fn of(state: &State, freshness: &Freshness) -> InstanceStatus {
    let reasons = state.health.not_ready();
    let answers = |code: &str| reasons.iter().all(|reason: &Reason| reason.code != code);
    InstanceStatus {
        instance: state.instance.clone(),
        started_at: state.health.started_at(),
        ready: reasons.is_empty(),
        log_answers: answers("log_unreachable"),
        registry_answers: answers("registry_unreachable"),
        rules: RulesInForce::of(state.reader.rules()),
        partitions_in_all: state.reader.count().get(),
        partitions: state.health.held().into_iter().map(|held| PartitionStatus::of(held, freshness)).collect(),
        reasons: reasons.into_iter().map(Unready::from).collect(),
    }
}

impl RulesInForce {
    fn of(rules: &Rules) -> Self {
        Self { digest: rules.digest(), core_version: CORE_VERSION, text: rules.canonical() }
    }
}

impl PartitionStatus {
    fn of(held: Held, freshness: &Freshness) -> Self {
        let applied = freshness.of(held.partition);
        let (state, records_left) = match held.state {
            PartitionState::Restoring => (PartitionPhase::Restoring, None),
            PartitionState::Replaying { left } => (PartitionPhase::Replaying, Some(left)),
            PartitionState::Live => (PartitionPhase::Live, None),
        };
        Self {
            partition: held.partition,
            worker: held.worker,
            state,
            records_left,
            next_touchpoint: applied.map(|applied| applied.applied.touchpoints),
            next_conversion: applied.map(|applied| applied.applied.conversions),
            as_of: applied.map(|applied| applied.as_of).filter(|at| *at > 0),
        }
    }
}
