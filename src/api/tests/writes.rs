//! Events in.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::json;

use super::{Bench, request};
use crate::access::Role;
use crate::api::{Code, IngestError, Limits};
use crate::topics::Input;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const GOOD: &str = r#"{"event_id":"e1","user_id":"ann","occurred_at":"2026-01-01T00:00:00Z","extra":1}"#;

#[tokio::test]
async fn one_is_taken_as_it_came() {
    let bench = Bench::open();
    let got = bench.post("/v1/touchpoints", JSON, GOOD).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
    assert_eq!(got.json(), json!({"accepted": 1, "positions": [{"partition": 1, "offset": 0}]}));
    assert_eq!(got.header("tributary-position"), "1:1:-");
    assert!(got.header("tributary-as-of").ends_with('Z'));
    let kept = bench.log.events.lock().unwrap().clone();
    assert_eq!(kept, [(Input::Touchpoints, "ann".to_owned(), GOOD.as_bytes().to_vec())]);
}

#[tokio::test]
async fn many_are_taken_as_an_array_or_as_lines() {
    let bench = Bench::open();
    let array = format!("[{GOOD}, {GOOD}]");
    assert_eq!(bench.post("/v1/conversions", JSON, array).await.json()["accepted"], 2);
    let lines = format!("{GOOD}\n{GOOD}\n\n{GOOD}\n");
    let got = bench.post("/v1/conversions", LINES, lines).await;
    assert_eq!(got.json(), json!({"accepted": 3, "positions": [{"partition": 1, "offset": 4}]}));
    assert_eq!(got.header("tributary-position"), "1:-:5");
}

#[tokio::test]
async fn all_or_none_and_each_bad_one_is_named() {
    let bench = Bench::open();
    let bad = [
        GOOD.replace("ann", ""),
        GOOD.replace("2026-01-01T", "2099-01-01T"),
        GOOD.replace("\"extra\":1", "\"cost_micros\":1"),
        GOOD.replace("\"extra\":1", "\"user_id\":\"bob\""),
        "{".to_owned(),
    ];
    let body = format!("{GOOD}\n{}\n", bad.join("\n"));
    let got = bench.post("/v1/touchpoints", LINES, body).await;
    assert_eq!((got.status, got.problem().code), (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidEvents));
    let named: Vec<_> = got.problem().errors.into_iter().map(|e| e.pointer).collect();
    assert_eq!(named[..4], ["/1/user_id", "/2/occurred_at", "/3/currency", "/4/user_id"]);
    assert!(named[4].starts_with("/5"), "{named:?}");
    assert!(bench.log.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn other_bodies_are_refused() {
    let bench = Bench::with(Limits { body_bytes: 200, ..Limits::default() }, true);
    let codes = [
        (bench.post("/v1/touchpoints", "text/csv", GOOD).await, 415, Code::UnsupportedMediaType),
        (bench.post("/v1/touchpoints", JSON, "").await, 422, Code::InvalidEvents),
        (bench.post("/v1/touchpoints", JSON, "[]").await, 422, Code::InvalidEvents),
        (bench.post("/v1/touchpoints", JSON, format!("[{GOOD},{GOOD},{GOOD}]")).await, 413, Code::BodyTooLarge),
        (bench.post("/v1/touchpoints?x=1", JSON, GOOD).await, 422, Code::InvalidParameters),
    ];
    for (got, status, code) in codes {
        assert_eq!((got.status.as_u16(), got.problem().code), (status, code));
    }
    let key = bench.key(Role::Ingestor);
    let build = || request("POST", "/v1/touchpoints", Some(&key)).header("content-type", JSON);
    let declared = build().header("content-length", "201").body(Body::empty()).unwrap();
    assert_eq!(bench.send(declared).await.problem().code, Code::BodyTooLarge, "before it is read");
    for (encoding, code) in [("br", Code::UnsupportedMediaType), ("gzip", Code::BadRequest)] {
        let packed = build().header("content-encoding", encoding).body(Body::from(GOOD)).unwrap();
        assert_eq!(bench.send(packed).await.problem().code, code, "{encoding}");
    }
    assert!(bench.log.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_logs_failures_are_told_apart() {
    let bench = Bench::open();
    *bench.log.broken.lock().unwrap() = Some(IngestError::Unavailable("the log is full".into()));
    let got = bench.post("/v1/touchpoints", JSON, GOOD).await;
    assert_eq!((got.status.as_u16(), got.problem().code), (503, Code::LogUnavailable));
    assert_eq!((got.problem().detail.as_str(), got.header("retry-after")), ("the log is full", "1"));
    *bench.log.broken.lock().unwrap() = Some(IngestError::Broken("/data/log: corrupt".into()));
    let got = bench.post("/v1/touchpoints", JSON, GOOD).await;
    assert_eq!(got.problem().code, Code::Internal);
    assert!(!got.problem().detail.contains("/data"), "no path leaks");
}

#[tokio::test]
async fn on_kafka_events_are_not_taken() {
    let bench = Bench::with(Limits::default(), false);
    let got = bench.post("/v1/touchpoints", JSON, GOOD).await;
    assert_eq!((got.status.as_u16(), got.problem().code), (404, Code::IngestElsewhere));
}
