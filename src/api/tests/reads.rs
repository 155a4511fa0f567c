//! Journeys, conversions and reports.

use axum::http::StatusCode;
use serde_json::json;

use super::Bench;
use crate::access::Role;
use crate::api::Code;
use crate::core::Model;
use crate::query::samples::{EPOCH, touchpoint};
use crate::store::{Cell, Dimension, Sum};

#[tokio::test]
async fn a_journey_comes_in_pages_and_says_how_fresh_it_is() {
    let bench = Bench::open();
    bench.shop.touch(&touchpoint("t1", "ann/1 ü", 10, "email"));
    bench.shop.convert("c1", "ann/1 ü", 20, Some(5));
    let first = bench.get(Role::Analyst, "/v1/users/ann%2F1%20%C3%BC/journey?limit=1").await;
    assert_eq!(first.status, StatusCode::OK);
    let page = first.json();
    assert_eq!(page["user_id"], "ann/1 ü");
    assert_eq!(page["entries"][0]["type"], "touchpoint");
    assert_eq!(page["entries"][0]["occurred_at"], EPOCH + 10);
    assert_eq!(first.header("tributary-as-of"), "2026-01-01T00:00:05.000Z");
    assert_eq!(first.header("tributary-position"), format!("{}:5:3", bench.shop.partition("ann/1 ü")));
    let next = format!("/v1/users/ann%2F1%20%C3%BC/journey?limit=1&cursor={}", page["next"].as_str().unwrap());
    let second = bench.get(Role::Analyst, &next).await.json();
    assert_eq!((&second["entries"][0]["type"], &second["next"]), (&json!("conversion"), &json!(null)));
    assert_eq!(second["entries"][0]["status"], "counts");
}

#[tokio::test]
async fn what_is_not_there_is_the_same_for_whoever_may_ask() {
    let bench = Bench::open();
    for path in ["/v1/users/nobody/journey", "/v1/conversions/nothing/attributions"] {
        let got = bench.get(Role::Analyst, path).await;
        assert_eq!((got.status, got.problem().code), (StatusCode::NOT_FOUND, Code::NotFound), "{path}");
        assert!(!got.header("tributary-as-of").is_empty(), "{path} says as of when it was not there");
    }
}

#[tokio::test]
async fn the_rows_of_a_conversion() {
    let bench = Bench::open();
    bench.shop.touch(&touchpoint("t1", "ann", 10, "email"));
    bench.shop.convert("c1", "ann", 20, Some(7));
    let got = bench.get(Role::Analyst, "/v1/conversions/c1/attributions").await.json();
    assert_eq!((&got["status"], got["rows"].as_array().unwrap().len()), (&json!("counts"), Model::ALL.len()));
    let row = &got["rows"][0];
    assert_eq!((&row["row_id"], &row["credited_micros"]), (&json!("c1|first_touch|t1"), &json!(7)));
}

#[tokio::test]
async fn a_report_sums_integers_of_any_size() {
    let bench = Bench::open();
    let at = EPOCH + 3 * 900_000;
    for partition in 0..2 {
        let cell = Cell {
            dimension: Dimension::Channel,
            model: Model::Linear,
            bucket: Cell::bucket_of(at),
            name: Some("email"),
            unattributed: false,
            currency: Some("EUR"),
        };
        let sum = Sum { credit_micros: 1_500_000, credited_micros: i128::from(i64::MAX) };
        bench.shop.add(partition, &cell, sum);
    }
    let path = "/v1/reports/channels?model=linear&from=2026-01-01&to=2026-01-01T01:00:00Z";
    let got = bench.get(Role::Viewer, path).await;
    assert_eq!(got.status, StatusCode::OK);
    let text = String::from_utf8(got.body.clone()).unwrap();
    assert!(text.contains("\"credited_micros\":18446744073709551614"), "{text}");
    assert!(text.contains("\"credit_micros\":3000000"), "{text}");
    assert_eq!(got.json()["partitions_summed"], 2);
    assert_eq!(got.header("tributary-position").split(',').count(), 2);
}

#[tokio::test]
async fn all_mistakes_of_a_query_come_in_one_answer() {
    let bench = Bench::open();
    let mistakes = |path: &'static str, role| {
        let bench = &bench;
        async move {
            let got = bench.get(role, path).await;
            assert_eq!(
                (got.status, got.problem().code),
                (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidParameters),
                "{path}"
            );
            got.problem().errors.into_iter().map(|e| format!("{}{}", e.place, e.pointer)).collect::<Vec<_>>()
        }
    };
    let report = "/v1/reports/channels?model=best&from=2026-01-01T00:07:00Z&group_by=hour&form=1";
    let named = mistakes(report, Role::Viewer).await;
    assert_eq!(named, ["query/model", "query/from", "query/to", "query/group_by", "query/form"]);
    let backwards = "/v1/reports/channels?model=linear&from=2026-01-02&to=2026-01-01";
    assert_eq!(mistakes(backwards, Role::Viewer).await, ["query/to"]);
    let long = "/v1/reports/channels?model=linear&from=2026-01-01&to=2029-01-05T00:15:00Z";
    assert_eq!(mistakes(long, Role::Viewer).await, ["query/to"]);
    let most = bench.get(Role::Viewer, "/v1/reports/channels?model=linear&from=2026-01-01&to=2029-01-05").await;
    assert_eq!(most.status, StatusCode::OK, "1,100 days");
    let journey = "/v1/users/a%00b/journey?limit=1001&cursor=x";
    assert_eq!(mistakes(journey, Role::Analyst).await, ["path/user_id", "query/limit", "query/cursor"]);
    assert_eq!(mistakes("/v1/users/ann/journey?limit=0", Role::Analyst).await, ["query/limit"]);
    assert_eq!(mistakes("/v1/conversions/c1/attributions?x=1", Role::Analyst).await, ["query/x"]);
}
