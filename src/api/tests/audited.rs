//! What the audit log hears of requests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use serde_json::json;

use super::{Bench, Lines, request};
use crate::access::{Role, token::Token};
use crate::api::{Code, IngestError};

const GOOD: &str = r#"{"event_id":"e1","user_id":"ann","occurred_at":"2026-01-01T00:00:00Z"}"#;

#[tokio::test]
async fn every_decision_and_every_write_is_told_and_nothing_of_whom_it_is_about() {
    let bench = Bench::open();
    let (analyst, viewer, ingestor) = (bench.key(Role::Analyst), bench.key(Role::Viewer), bench.key(Role::Ingestor));
    let revoked = bench.key(Role::Analyst);
    let id = |key: &str| Token::parse(key).unwrap().id.to_owned();
    bench.admin.revoke(&id(&revoked)).unwrap();
    let journey = "/v1/users/ann-secret/journey?limit=3";
    for key in [None, Some("trb_live_canary"), Some(&revoked), Some(&viewer), Some(&analyst)] {
        let mut asks = request("GET", journey, key).header("x-request-id", "r-1").body(Body::empty()).unwrap();
        asks.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 9))));
        bench.send(asks).await;
    }
    let write = |body: &'static str| {
        request("POST", "/v1/touchpoints", Some(&ingestor))
            .header("content-type", "application/x-ndjson")
            .body(body.into())
    };
    assert_eq!(bench.send(write(GOOD).unwrap()).await.status, StatusCode::ACCEPTED);
    *bench.log.broken.lock().unwrap() = Some(IngestError::Unavailable("full".into()));
    assert_eq!(bench.send(write(GOOD).unwrap()).await.problem().code, Code::LogUnavailable);
    assert_eq!(bench.send(write("{}").unwrap()).await.problem().code, Code::InvalidEvents, "no write, no entry");

    let route = "GET /v1/users/{user_id}/journey";
    let expected = [
        format!("anonymous authenticate {route} denied"),
        format!("anonymous authenticate {route} denied"),
        format!("key:{} authenticate {route} denied", id(&revoked)),
        format!("key:{} authorize {route} denied", id(&viewer)),
        format!("key:{} authorize {route} allowed", id(&analyst)),
        format!("key:{} ingest touchpoints allowed", id(&ingestor)),
        format!("key:{} ingest touchpoints done", id(&ingestor)),
        format!("key:{} ingest touchpoints allowed", id(&ingestor)),
        format!("key:{} ingest touchpoints failed", id(&ingestor)),
    ];
    assert_eq!(bench.audited.told(), expected);
    let entries = bench.audited.entries();
    assert_eq!((&entries[0]["client"], &entries[0]["request_id"]), (&json!("192.0.2.7"), &json!("r-1")));
    assert_eq!((&entries[5]["count"], &entries[6]["count"]), (&json!(1), &json!(1)));
    let reasons: Vec<_> = entries.iter().map(|entry| entry["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons[0], "no key");
    assert_eq!(reasons[2], "revoked key");
    assert_eq!((reasons[3], reasons[8]), ("role viewer, scope journeys", "full"));
    let all = serde_json::to_string(&entries).unwrap();
    for secret in ["ann", "canary", &analyst, &viewer, &revoked, &analyst[30..]] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn while_the_audit_log_is_away_nothing_is_changed_and_no_decision_is_told() {
    let bench = Bench::open();
    let (ingestor, viewer) = (bench.key(Role::Ingestor), bench.key(Role::Viewer));
    bench.audited.away(true);
    let write = || {
        let request = request("POST", "/v1/touchpoints", Some(&ingestor)).header("content-type", "application/json");
        request.body(GOOD.into()).unwrap()
    };
    for _ in 0..2 {
        let got = bench.send(write()).await;
        assert_eq!((got.status, got.problem().code), (StatusCode::SERVICE_UNAVAILABLE, Code::AuditUnavailable));
        assert!(got.problem().detail.contains("no broker") && got.header("retry-after") == "1", "{:?}", got.problem());
    }
    assert!(bench.log.events.lock().unwrap().is_empty());
    let denied = || request("GET", "/v1/users/ann/journey", Some(&viewer)).body(Body::empty()).unwrap();
    let mut answers = Vec::new();
    for _ in 0..66 {
        answers.push(bench.send(denied()).await);
    }
    let (told, waited): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == StatusCode::FORBIDDEN);
    assert!(waited.iter().all(|answer| answer.problem().code == Code::AuditUnavailable) && !waited.is_empty());
    bench.audited.away(false);
    let until = Instant::now() + Duration::from_secs(20);
    while bench.send(write()).await.status != StatusCode::ACCEPTED {
        assert!(Instant::now() < until, "it is back");
    }
    let entries = bench.audited.told();
    let denials = entries.iter().filter(|entry| entry.contains("authorize") && entry.ends_with("denied")).count();
    assert_eq!(denials, told.len(), "each that was answered is there, and no other");
    assert_eq!(entries.iter().filter(|entry| entry.ends_with("done")).count(), 1, "{entries:?}");
}

#[tokio::test]
async fn a_change_is_refused_in_time_where_the_audit_log_hangs_and_is_not_made() {
    let bench = Bench::open();
    let ingestor = bench.key(Role::Ingestor);
    *bench.audited.log.slow.lock().unwrap() = Duration::from_secs(2);
    let write = request("POST", "/v1/touchpoints", Some(&ingestor)).header("content-type", "application/json");
    let began = Instant::now();
    let got = bench.send(write.body(GOOD.into()).unwrap()).await;
    assert_eq!((got.status, got.problem().code), (StatusCode::SERVICE_UNAVAILABLE, Code::AuditUnavailable));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}; 200 ms are its patience", began.elapsed());
    let told = bench.audited.entries();
    let outcomes: Vec<_> = told.iter().map(|entry| entry["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["allowed", "failed"]);
    assert!(told[1]["reason"].as_str().unwrap().starts_with("not made: "), "{}", told[1]);
    assert!(bench.log.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_line_of_a_refused_request_names_request_and_key_and_no_secret() {
    let bench = Bench::open();
    let (viewer, revoked) = (bench.key(Role::Viewer), bench.key(Role::Analyst));
    let id = |key: &str| Token::parse(key).unwrap().id.to_owned();
    bench.admin.revoke(&id(&revoked)).unwrap();
    let lines = Lines::hear(tracing::Level::DEBUG);
    for (request_id, key) in [("r-revoked", &revoked), ("r-viewer", &viewer)] {
        let asks = request("GET", "/v1/users/ann/journey", Some(key)).header("x-request-id", request_id);
        bench.send(asks.body(Body::empty()).unwrap()).await;
    }
    let text = lines.heard();
    for (what, key, request_id) in
        [("without a valid key", &revoked, "r-revoked"), ("beyond the key's role", &viewer, "r-viewer")]
    {
        let line = text.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what} is not in {text}"));
        assert!(line.contains(&id(key)) && line.contains(request_id), "{line}");
        assert!(!text.contains(&key[30..]), "a secret");
    }
}

#[tokio::test]
async fn what_a_stranger_sends_cannot_break_a_line_of_the_log() {
    let bench = Bench::open();
    let nasty = "\"\\,{\"chain\":\"x\"}";
    for path in ["/v1/users/%0a%22%7d%1b%5b2J/journey", "/v1/users/%e2%80%ae/journey"] {
        let asks = request("QUOTE'X", path, Some(nasty)).header("x-request-id", "a\"b").body(Body::empty()).unwrap();
        bench.send(asks).await;
        let asks = request("GET", path, Some(nasty)).header("x-request-id", "a\"b").body(Body::empty()).unwrap();
        assert_eq!(bench.send(asks).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(bench.audited.entries().len(), 2);
    for record in bench.audited.log.records.lock().unwrap().iter() {
        assert!(record.value.iter().all(|byte| (b' '..=b'~').contains(byte)));
    }
}
