//! Events in, on the embedded log. All of a request's events are taken or none.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State as Extract};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::audited::Audited;
use super::auth::Allowed;
use super::events::{self, Form};
use super::fresh;
use super::packing::{self, Packing};
use super::parameters::Parameters;
use super::problem::{Code, Problem};
use super::shapes::{Conversions, Currency, Id, Moment, Text, Touchpoints};
use super::state::{Appended, Ingest, IngestError, State};
use crate::access::now_ms;
use crate::topics::{Input, Offset};

/// Events that were taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// How many.
    accepted: usize,
    /// The last of them on each partition that got some.
    positions: Vec<Position>,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Position {
    /// The partition.
    partition: u32,
    /// The event's offset.
    offset: i64,
}

/// A touchpoint event. Unknown fields are passed over.
#[derive(ToSchema)]
#[allow(dead_code)] // documentation: events are read by the codec
pub(super) struct TouchpointEvent {
    /// The event's id.
    #[schema(value_type = Id)]
    event_id: String,
    /// Who the journey belongs to.
    #[schema(value_type = Id)]
    user_id: String,
    /// When it happened: not more than ten minutes after now.
    #[schema(value_type = Moment)]
    occurred_at: i64,
    /// The channel.
    #[schema(value_type = Option<Text>)]
    channel: Option<String>,
    /// The kind of contact; `click` where not given.
    #[schema(value_type = Option<Text>)]
    interaction: Option<String>,
    /// UTM source.
    #[schema(value_type = Option<Text>)]
    source: Option<String>,
    /// UTM medium.
    #[schema(value_type = Option<Text>)]
    medium: Option<String>,
    /// UTM campaign.
    #[schema(value_type = Option<Text>)]
    campaign: Option<String>,
    /// UTM content.
    #[schema(value_type = Option<Text>)]
    content: Option<String>,
    /// UTM term.
    #[schema(value_type = Option<Text>)]
    term: Option<String>,
    /// What it cost, in micros of `currency`, which it needs.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_000_i64)]
    cost_micros: Option<i64>,
    /// Three letters A to Z.
    #[schema(value_type = Option<Currency>)]
    currency: Option<String>,
    /// A step of the journey that it is.
    #[schema(value_type = Option<Text>)]
    milestone: Option<String>,
}

/// A conversion, or an adjustment of one where `adjusts` is given. Unknown fields are passed over.
#[derive(ToSchema)]
#[allow(dead_code)] // documentation: events are read by the codec
pub(super) struct ConversionEvent {
    /// The event's id: of a conversion its own, unique over all users.
    #[schema(value_type = Id)]
    event_id: String,
    /// Who converted.
    #[schema(value_type = Id)]
    user_id: String,
    /// When it happened: not more than ten minutes after now.
    #[schema(value_type = Moment)]
    occurred_at: i64,
    /// What kind of conversion; `conversion` where not given.
    #[schema(value_type = Option<Text>)]
    kind: Option<String>,
    /// Its value, in micros of `currency`, which it needs.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_000_i64)]
    value_micros: Option<i64>,
    /// Three letters A to Z.
    #[schema(value_type = Option<Currency>)]
    currency: Option<String>,
    /// The conversion that this adjusts: with a value a restatement, without one a retraction.
    #[schema(value_type = Option<Id>)]
    adjusts: Option<String>,
}

/// Appends touchpoints, all or none, durably. Only on the embedded log.
#[utoipa::path(post, path = "/v1/touchpoints", operation_id = "postTouchpoints", tag = "events",
    request_body(description = "One JSON object, an array of them, or one a line",
        content((Touchpoints = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 202, description = "They are in the log", body = Accepted)))]
pub(super) async fn touchpoints(
    _: Allowed,
    Extract(state): Extract<State>,
    request: Request,
) -> Result<Response, Problem> {
    append(state, Input::Touchpoints, request).await
}

/// Appends conversions and adjustments, all or none, durably. Only on the embedded log.
#[utoipa::path(post, path = "/v1/conversions", operation_id = "postConversions", tag = "events",
    request_body(description = "One JSON object, an array of them, or one a line",
        content((Conversions = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 202, description = "They are in the log", body = Accepted)))]
pub(super) async fn conversions(
    _: Allowed,
    Extract(state): Extract<State>,
    request: Request,
) -> Result<Response, Problem> {
    append(state, Input::Conversions, request).await
}

async fn append(state: State, input: Input, request: Request) -> Result<Response, Problem> {
    let elsewhere = || Problem::new(Code::IngestElsewhere, "this instance reads Kafka: produce to its topics");
    let ingest = state.ingest.clone().ok_or_else(elsewhere)?;
    Parameters::of(request.uri()).finish()?;
    let form = form_of(request.headers())?;
    let packing = Packing::of(request.headers())?;
    let ingest = Audited::new(ingest, &state, request.extensions());
    let body = body_of(&state, request).await?;
    let limit = state.bounds().limits.body_bytes;
    let appended = state.write(move || take(&ingest, input, form, &packing.unpack(&body, limit)?));
    let (now, places) = appended.await??;
    let mut last: BTreeMap<u32, Offset> = BTreeMap::new();
    for Appended { partition, offset } in &places {
        let here = last.entry(*partition).or_insert(*offset);
        *here = (*here).max(*offset);
    }
    let positions =
        last.iter().map(|(partition, offset)| Position { partition: *partition, offset: *offset }).collect();
    let headers = fresh::headers(Some(now), &header_of(input, &last));
    Ok((StatusCode::ACCEPTED, headers, Json(Accepted { accepted: places.len(), positions })).into_response())
}

fn take(ingest: &impl Ingest, input: Input, form: Form, body: &[u8]) -> Result<(i64, Vec<Appended>), Problem> {
    let refuse = |errors| Problem::with_errors(Code::InvalidEvents, errors);
    let events = events::split(form, body).map_err(|error| refuse(vec![error]))?;
    let now = now_ms();
    let appended = events::check(input, &events, now, |events| ingest.append(input, events, now)).map_err(refuse)?;
    match appended {
        Ok(places) => Ok((now, places)),
        Err(IngestError::Unaudited(reason)) => Err(Problem::new(Code::AuditUnavailable, reason)),
        Err(IngestError::Unavailable(reason)) => Err(Problem::new(Code::LogUnavailable, reason)),
        Err(IngestError::Broken(reason)) => {
            tracing::error!(reason, "events cannot be appended");
            Err(Problem::of(Code::Internal))
        }
    }
}

fn form_of(headers: &HeaderMap) -> Result<Form, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refuse = || Problem::new(Code::UnsupportedMediaType, "send application/json or application/x-ndjson");
    Form::of(content_type).ok_or_else(refuse)
}

/// Reads the body: not at all where it says that it is too large, never beyond the limit, and within half the time that
/// the request has, so that a slow sender is told apart from a slow answer.
pub(super) async fn body_of(state: &State, mut request: Request) -> Result<Bytes, Problem> {
    let bounds = state.bounds();
    let limit = bounds.limits.body_bytes;
    let too_large = || packing::too_large(limit);
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    DefaultBodyLimit::max(limit).apply(&mut request);
    match tokio::time::timeout(bounds.limits.request / 2, Bytes::from_request(request, state)).await {
        Err(_) => Err(Problem::of(Code::SlowBody)),
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Code::BadRequest, "the body broke off")),
    }
}

/// `partition:touchpoints:conversions` with the offset after the last event taken; the other input's is not known here.
fn header_of(input: Input, last: &BTreeMap<u32, Offset>) -> String {
    let place = |(partition, offset): (&u32, &Offset)| match input {
        Input::Touchpoints => format!("{partition}:{}:-", offset + 1),
        Input::Conversions => format!("{partition}:-:{}", offset + 1),
    };
    last.iter().map(place).collect::<Vec<_>>().join(",")
}
