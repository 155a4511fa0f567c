//! Room and time.

use std::time::Duration;

use axum::http::StatusCode;

use super::Bench;
use crate::access::Role;
use crate::api::{Code, Limits};

#[tokio::test]
async fn beyond_the_room_there_is_is_shed_and_probes_are_not() {
    let bench = Bench::with(Limits { concurrency: 0, ..Limits::default() }, true);
    let got = bench.get(Role::Analyst, "/v1/users/ann/journey").await;
    assert_eq!((got.status, got.problem().code), (StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded));
    assert_eq!(got.header("retry-after"), "1");
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(bench.get(Role::Viewer, path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn room_is_given_back() {
    let bench = Bench::with(Limits { concurrency: 1, reads: 1, ..Limits::default() }, true);
    for _ in 0..3 {
        assert_eq!(bench.get(Role::Analyst, "/v1/users/ann/journey").await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let bench = Bench::with(Limits { request: Duration::from_millis(40), ..Limits::default() }, true);
    *bench.log.delay.lock().unwrap() = Duration::from_millis(400);
    let event = r#"{"event_id":"e1","user_id":"ann","occurred_at":1767225600000}"#;
    let got = bench.post("/v1/touchpoints", "application/json", event).await;
    assert_eq!((got.status, got.problem().code), (StatusCode::SERVICE_UNAVAILABLE, Code::Timeout));
}
