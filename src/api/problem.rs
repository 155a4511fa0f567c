//! Every error as RFC 9457 problem+json. Codes are for programs: they are added to, never changed.
//!
//! A handler's problem travels in the response's extensions; `layers::watch` writes it out with the request's id, and
//! turns whatever the framework answered by itself into one.

use std::any::Any;

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::query;

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request cannot be understood as HTTP.
    BadRequest,
    /// No key, or one that is not valid.
    Unauthenticated,
    /// The key is valid, but its role does not open this.
    Forbidden,
    /// There is no such route.
    RouteNotFound,
    /// What was asked for is not there.
    NotFound,
    /// The route knows no such method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    SlowBody,
    /// The body is too large.
    BodyTooLarge,
    /// The body's type is none that the route takes.
    UnsupportedMediaType,
    /// What is asked does not fit what is there.
    Conflict,
    /// Path or query break a rule; `errors` says which.
    InvalidParameters,
    /// The body breaks a rule; `errors` names each mistake. Nothing was changed.
    InvalidBody,
    /// Events break a rule of the contract; `errors` names each. None was taken.
    InvalidEvents,
    /// The engine's own fault; the log says more under the request's id.
    Internal,
    /// The path and query are too long.
    UriTooLong,
    /// The head has too many fields, or too much in them.
    HeadTooLarge,
    /// Too many requests, of this key or of everybody; `Retry-After` says when to come back.
    RateLimited,
    /// Too many requests at one time.
    Overloaded,
    /// The answer took too long.
    Timeout,
    /// Another instance holds the partition.
    PartitionElsewhere,
    /// The log takes nothing just now.
    LogUnavailable,
    /// The audit log takes nothing just now, so nothing is done that it could not tell of.
    AuditUnavailable,
    /// This instance reads Kafka: events are produced to its topics, not sent here.
    IngestElsewhere,
    /// A probe refuses; `reasons` says why.
    Unavailable,
    /// The process is starting; the same request may be sent again.
    Starting,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 25] = [
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::RouteNotFound,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::SlowBody,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::Conflict,
        Self::InvalidParameters,
        Self::InvalidBody,
        Self::InvalidEvents,
        Self::Internal,
        Self::UriTooLong,
        Self::HeadTooLarge,
        Self::RateLimited,
        Self::Overloaded,
        Self::Timeout,
        Self::PartitionElsewhere,
        Self::LogUnavailable,
        Self::AuditUnavailable,
        Self::IngestElsewhere,
        Self::Unavailable,
        Self::Starting,
    ];

    /// Its name, its status, and its title.
    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => ("bad_request", StatusCode::BAD_REQUEST, "The request cannot be understood"),
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED, "A valid API key is needed"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "The key's role does not open this"),
            Self::RouteNotFound => ("route_not_found", StatusCode::NOT_FOUND, "There is no such route"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "Not found"),
            Self::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "The route knows no such method")
            }
            Self::SlowBody => ("slow_body", StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time"),
            Self::BodyTooLarge => ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body's type is not taken")
            }
            Self::InvalidParameters => {
                ("invalid_parameters", StatusCode::UNPROCESSABLE_ENTITY, "Parameters break a rule")
            }
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "What is asked does not fit what is there"),
            Self::InvalidBody => {
                ("invalid_body", StatusCode::UNPROCESSABLE_ENTITY, "The body breaks a rule; nothing was changed")
            }
            Self::InvalidEvents => {
                ("invalid_events", StatusCode::UNPROCESSABLE_ENTITY, "Events break a rule; none was taken")
            }
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here"),
            Self::UriTooLong => ("uri_too_long", StatusCode::URI_TOO_LONG, "Path and query are too long"),
            Self::HeadTooLarge => {
                ("head_too_large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too large")
            }
            Self::RateLimited => ("rate_limited", StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Self::Overloaded => ("overloaded", StatusCode::SERVICE_UNAVAILABLE, "Too many requests at one time"),
            Self::Timeout => ("timeout", StatusCode::SERVICE_UNAVAILABLE, "The answer took too long"),
            Self::PartitionElsewhere => {
                ("partition_elsewhere", StatusCode::SERVICE_UNAVAILABLE, "Another instance holds the partition")
            }
            Self::LogUnavailable => {
                ("log_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The log takes nothing just now")
            }
            Self::AuditUnavailable => {
                ("audit_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The audit log takes nothing just now")
            }
            Self::IngestElsewhere => ("ingest_elsewhere", StatusCode::NOT_FOUND, "Events are not taken here"),
            Self::Starting => ("starting", StatusCode::SERVICE_UNAVAILABLE, "The process is starting"),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Not available now"),
        }
    }

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status it comes with.
    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    /// The code of what the framework answered by itself.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::RouteNotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodyTooLarge,
            StatusCode::URI_TOO_LONG => Self::UriTooLong,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

/// One mistake of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where the mistake is: `path`, `query` or `body`.
    #[serde(rename = "in")]
    pub place: String,
    /// A JSON pointer into it: `/limit`, `/3/occurred_at` (the fourth event).
    pub pointer: String,
    /// What is wrong.
    pub reason: String,
}

impl FieldError {
    /// A mistake in `place` at `pointer`.
    pub fn new(place: &str, pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.to_owned(), pointer: pointer.into(), reason: reason.into() }
    }
}

/// One reason why a probe refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unready {
    /// A stable name: `starting`, `joining`, `restoring`, `replaying`, `log_unreachable`, `registry_unreachable`,
    /// `audit_unavailable`, `keys_stale`, `worker_stuck`, `stopping`, `fatal`.
    pub code: String,
    /// For people.
    pub detail: String,
    /// The worker it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The partition it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Records left to be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_left: Option<u64>,
}

/// An error as callers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct Rendered {
    /// A name for the kind of problem: `urn:tributary:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The kind, for programs.
    pub code: Code,
    /// What happened this time, and the way out.
    pub detail: String,
    /// This very occurrence: `urn:tributary:request:` and the request's id, as in the header `X-Request-Id`.
    pub instance: String,
    /// Each mistake of the request, where there are some to name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Why a probe refuses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Unready>,
}

/// An error on its way to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The kind.
    pub code: Code,
    /// What happened this time, and the way out.
    pub detail: String,
    /// Each mistake of the request.
    pub errors: Vec<FieldError>,
    /// Why a probe refuses.
    pub reasons: Vec<Unready>,
    /// After how many seconds to ask again.
    pub retry_after: Option<u64>,
}

impl Problem {
    /// A problem without more to say than its code does.
    pub fn of(code: Code) -> Self {
        Self::new(code, code.row().2)
    }

    /// A problem, and what happened this time.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = (code.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { code, detail: detail.into(), errors: Vec::new(), reasons: Vec::new(), retry_after }
    }

    /// A request with these mistakes.
    pub fn with_errors(code: Code, errors: Vec<FieldError>) -> Self {
        let count = errors.len();
        let detail = format!("{count} mistake{}; see errors", if count == 1 { "" } else { "s" });
        Self { errors, ..Self::new(code, detail) }
    }

    /// The body, with the id of the request.
    pub(super) fn render(self, request_id: &str, response: Response) -> Response {
        let (name, status, title) = self.code.row();
        let rendered = Rendered {
            kind: format!("urn:tributary:problem:{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            code: self.code,
            detail: self.detail,
            instance: format!("urn:tributary:request:{request_id}"),
            errors: self.errors,
            reasons: self.reasons,
        };
        let body = serde_json::to_vec(&rendered).unwrap_or_default(); // strings and numbers always encode
        let (mut head, _) = response.into_parts();
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        head.headers.remove(CONTENT_LENGTH);
        Response::from_parts(head, body.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        let headers = response.headers_mut();
        if self.code == Code::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tributary\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<query::Error> for Problem {
    fn from(error: query::Error) -> Self {
        match error {
            query::Error::NotFound(_) => Self::of(Code::NotFound),
            query::Error::Elsewhere { .. } | query::Error::Partly { .. } => {
                Self::new(Code::PartitionElsewhere, error.to_string())
            }
            query::Error::TooLong => {
                Self::new(Code::Timeout, "the read was given up; a report over fewer days takes less")
            }
            query::Error::Store(_) | query::Error::Record(_) | query::Error::Meta(_) => {
                tracing::error!(%error, "the state cannot be read for a query");
                Self::of(Code::Internal)
            }
        }
    }
}

/// The answer of what needs keys and log, before they are there.
pub(super) async fn starting() -> Problem {
    Problem::new(Code::Starting, "the process is starting; /startupz says what it waits for")
}

/// The answer after a panic in a handler. The panic hook has logged what and where.
pub(super) fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    Problem::of(Code::Internal).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_every_code_with_its_status() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        for code in Code::ALL {
            let row = format!("| `{}` | {} | ", code.name(), code.status().as_u16());
            assert_eq!(rows.iter().filter(|line| line.starts_with(&row)).count(), 1, "{row}");
        }
        assert_eq!(rows.len(), Code::ALL.len(), "a row too many");
    }
}
