//! What needs no key: probes, metrics, and what the framework answers by itself.

use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::get;

use super::{Answer, Bench, answer, request};
use crate::api::{Code, layers, problem};
use crate::telemetry::PartitionState;

async fn open(bench: &Bench, method: &str, path: &str) -> Answer {
    bench.send(request(method, path, None).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn probes_answer_from_health_and_say_why_not() {
    let bench = Bench::open();
    for path in ["/livez", "/readyz", "/startupz"] {
        let got = open(&bench, "GET", path).await;
        assert_eq!((got.status, got.json()), (StatusCode::OK, serde_json::json!({"status": "ok"})), "{path}");
    }
    bench.worker.partition(3, PartitionState::Replaying { left: 17 });
    bench.worker.registry_unreachable(3, "connection refused");
    let ready = open(&bench, "GET", "/readyz").await;
    assert_eq!((ready.status, ready.problem().code), (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable));
    let reasons = ready.problem().reasons;
    assert_eq!(reasons.iter().map(|r| r.code.as_str()).collect::<Vec<_>>(), ["registry_unreachable", "replaying"]);
    assert_eq!((reasons[1].partition, reasons[1].records_left), (Some(3), Some(17)));
    assert_eq!(reasons[1].worker.as_deref(), Some("worker-0"));
    assert_eq!(open(&bench, "GET", "/livez").await.status, StatusCode::OK, "no dependency restarts us");
    assert_eq!(open(&bench, "GET", "/startupz").await.status, StatusCode::OK, "started is for ever");
    bench.health.fatal("disk full");
    assert_eq!(open(&bench, "GET", "/livez").await.problem().reasons[0].code, "fatal");
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_never_by_path() {
    let bench = Bench::open();
    bench.shop.convert("c1", "ann", 1, None);
    open(&bench, "GET", "/v1/users/somebody-secret/journey").await;
    open(&bench, "GET", "/no/such/route").await;
    open(&bench, "BREW", "/livez").await;
    let got = open(&bench, "GET", "/metrics").await;
    assert_eq!(got.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(got.body).unwrap();
    let count = "tributary_http_requests_total";
    for line in [
        format!("{count}{{method=\"GET\",route=\"/v1/users/{{user_id}}/journey\",status=\"401\"}} 1"),
        format!("{count}{{method=\"GET\",route=\"unmatched\",status=\"404\"}} 1"),
        format!("{count}{{method=\"other\",route=\"/livez\",status=\"405\"}} 1"),
        "tributary_http_requests_in_flight 1".to_owned(),
        "tributary_adjustments_waiting 3".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("somebody-secret"));
}

#[tokio::test]
async fn the_framework_speaks_problem_json_too() {
    let bench = Bench::open();
    let missing = open(&bench, "GET", "/v2/anything").await;
    assert_eq!((missing.status, missing.problem().code), (StatusCode::NOT_FOUND, Code::RouteNotFound));
    for (method, path) in
        [("DELETE", "/livez"), ("TRACE", "/readyz"), ("OPTIONS", "/v1/touchpoints"), ("GET", "/v1/touchpoints")]
    {
        let got = open(&bench, method, path).await;
        assert_eq!(
            (got.status, got.problem().code),
            (StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed),
            "{method} {path}"
        );
        assert!(!got.header("allow").is_empty(), "{method} {path} names what is allowed");
    }
    let key = bench.key(crate::access::Role::Analyst);
    let broken = request("GET", "/v1/users/%ff/journey", Some(&key)).body(Body::empty()).unwrap();
    assert_eq!(bench.send(broken).await.problem().code, Code::BadRequest);
}

#[tokio::test]
async fn a_panic_is_a_problem_and_tells_nothing() {
    async fn panics() -> &'static str {
        panic!("the secret reason")
    }
    let bench = Bench::open();
    let router = axum::Router::new()
        .route("/", get(panics))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(problem::panicked))
        .layer(axum::middleware::from_fn_with_state(bench.state.clone(), layers::watch))
        .layer(axum::middleware::from_fn(layers::harden))
        .with_state(bench.state.clone());
    let got = answer(router, request("GET", "/", None).body(Body::empty()).unwrap()).await;
    assert_eq!((got.status, got.problem().code), (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal));
    assert!(!String::from_utf8(got.body).unwrap().contains("secret"));
}

#[tokio::test]
async fn request_ids_are_taken_over_only_where_they_are_plain() {
    let bench = Bench::open();
    let ask = |id: &str| request("GET", "/livez", None).header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(bench.send(ask("abc-123")).await.header("x-request-id"), "abc-123");
    for id in ["", "a b", "a\"b", &"x".repeat(65)] {
        let got = bench.send(ask(id)).await;
        assert_eq!(got.header("x-request-id").len(), 32, "{id:?}");
    }
}

#[test]
fn codes_are_added_to_and_never_changed() {
    let listed: Vec<_> = Code::ALL.iter().map(|code| (code.name(), code.status().as_u16())).collect();
    let known = [
        ("bad_request", 400),
        ("unauthenticated", 401),
        ("forbidden", 403),
        ("route_not_found", 404),
        ("not_found", 404),
        ("method_not_allowed", 405),
        ("slow_body", 408),
        ("body_too_large", 413),
        ("unsupported_media_type", 415),
        ("conflict", 409),
        ("invalid_parameters", 422),
        ("invalid_body", 422),
        ("invalid_events", 422),
        ("internal", 500),
        ("uri_too_long", 414),
        ("head_too_large", 431),
        ("rate_limited", 429),
        ("overloaded", 503),
        ("timeout", 503),
        ("partition_elsewhere", 503),
        ("log_unavailable", 503),
        ("audit_unavailable", 503),
        ("ingest_elsewhere", 404),
        ("unavailable", 503),
        ("starting", 503),
    ];
    assert_eq!(listed, known);
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.name());
    }
}
