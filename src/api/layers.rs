//! What wraps every route.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State as Extract};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::audited::RequestId;
use super::problem::{Code, Problem};
use super::state::State;
use crate::telemetry::metrics::Http;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Longest request id taken from a caller.
const MAX_REQUEST_ID: usize = 64;

/// The outermost layer: strict headers on every answer, whoever made it. Nothing names the program or its version.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fixed = [
        (CACHE_CONTROL, "private, no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (RESOURCE_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What browsers are told of other origins: nothing, but for those that are configured. A key travels in `Authorization`, never
/// in a cookie, so no origin is given credentials.
pub(super) fn cross_origin(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<_> = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let exposed = ["retry-after", "ratelimit", "ratelimit-policy", "tributary-as-of", "tributary-position"];
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, REQUEST_ID])
        .expose_headers(exposed.map(HeaderName::from_static).into_iter().chain([REQUEST_ID]).collect::<Vec<_>>())
        .max_age(Duration::from_secs(600));
    Some(layer)
}

/// Gives the request its id, counts and times it, and writes problems out.
pub(super) async fn watch(Extract(state): Extract<State>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = Http::method(request.method().as_str());
    let route = request.extensions().get::<MatchedPath>().cloned();
    state.metrics.http.in_flight.inc();
    let in_flight = InFlight(&state);
    let response = next.run(request).await;
    drop(in_flight);
    let mut response = as_problem(response, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let (status, took) = (response.status().as_u16(), began.elapsed());
    state.metrics.http.answered(route, method, status, took);
    tracing::debug!(route, method, status, seconds = took.as_secs_f64(), request_id = id, "request answered");
    response
}

/// Counts down also where the caller goes away and the request is dropped half-way.
struct InFlight<'a>(&'a State);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.metrics.http.in_flight.dec();
    }
}

fn as_problem(mut response: Response, id: &str) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.render(id, response),
        None if response.status().is_client_error() || response.status().is_server_error() => {
            Problem::of(Code::of_status(response.status())).render(id, response)
        }
        None => response,
    }
}

/// The caller's own id where it is a plain one, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let plain = |id: &&str| {
        (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if let Some(id) = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(plain) {
        return id.to_owned();
    }
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = u128::from(COUNTER.fetch_add(1, Ordering::Relaxed)).to_be_bytes(); // unique enough to go on
    }
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// Longest path and query, in bytes.
const MAX_TARGET: usize = 8 << 10;
/// The most fields of a head, and the most bytes in them. (What is far beyond is cut off before it is a request.)
const MAX_FIELDS: (usize, usize) = (64, 16 << 10);

/// Refuses a head that is larger than any honest one.
pub(super) async fn head(request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return Problem::new(Code::UriTooLong, format!("path and query have at most {MAX_TARGET} bytes"))
            .into_response();
    }
    let (fields, bytes) = MAX_FIELDS;
    let headers = request.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > fields || size > bytes {
        let detail = format!("a head has at most {fields} fields and {bytes} bytes in them");
        return Problem::new(Code::HeadTooLarge, detail).into_response();
    }
    next.run(request).await
}

/// When an answer would come too late to be given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(pub(super) Instant);

/// Bounds what those with a key ask of `/v1` together: so many requests a second, so many at one time, each for so long.
pub(super) async fn bound(state: &State, mut request: Request, next: Next) -> Response {
    let bounds = state.bounds();
    if let Err(too_many) = bounds.throttle.anybody() {
        return too_many.problem("too many requests of everybody together").into_response();
    }
    let Some(_place) = state.place(bounds.limits.concurrency) else {
        return Problem::of(Code::Overloaded).into_response();
    };
    let limit = bounds.limits.request;
    // A tenth is for giving the answer, and for saying why there is none.
    request.extensions_mut().insert(Deadline(Instant::now() + limit.mul_f64(0.9)));
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::Timeout, format!("no answer within {} ms", limit.as_millis())).into_response(),
    }
}
