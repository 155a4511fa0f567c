//! How the instance is.

use axum::http::StatusCode;
use serde_json::json;

use super::Bench;
use crate::access::{Role, now_ms};
use crate::core::Rules;
use crate::query::samples::{EPOCH, touchpoint};
use crate::telemetry::PartitionState;

#[tokio::test]
async fn it_says_what_is_held_and_where_it_stands() {
    let bench = Bench::open();
    let user = (0..).map(|n| format!("user-{n}")).find(|user| bench.shop.partition(user) == 0).unwrap();
    bench.shop.touch(&touchpoint("t1", &user, 10, "email"));
    let got = bench.get(Role::Operator, "/v1/status").await;
    assert_eq!(got.status, StatusCode::OK);
    let status = got.json();
    assert_eq!((&status["instance"], &status["ready"]), (&json!("test-1"), &json!(true)));
    assert_eq!(status["reasons"], json!([]));
    assert!((now_ms() - status["started_at"].as_i64().unwrap()) < 60_000);
    assert_eq!(status["rules"]["digest"], Rules::default().digest());
    assert_eq!(status["partitions_in_all"], 2);
    let held = json!([{"partition": 0, "worker": "worker-0", "state": "live", "records_left": null,
        "next_touchpoint": 5, "next_conversion": 2, "as_of": EPOCH + 5_000}]);
    assert_eq!(status["partitions"], held);
    assert!(got.header("tributary-position").starts_with("0:5:2"));
}

#[tokio::test]
async fn it_says_what_is_wrong_and_still_answers() {
    let bench = Bench::open();
    bench.worker.partition(7, PartitionState::Replaying { left: 41 });
    bench.worker.log_unreachable("no broker");
    let status = bench.get(Role::Operator, "/v1/status").await.json();
    assert_eq!(
        (&status["ready"], &status["log_answers"], &status["registry_answers"]),
        (&json!(false), &json!(false), &json!(true))
    );
    let codes: Vec<_> = status["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].clone()).collect();
    assert_eq!(codes, ["log_unreachable", "replaying"]);
    let replaying = &status["partitions"][1];
    assert_eq!((&replaying["partition"], &replaying["state"]), (&json!(7), &json!("replaying")));
    assert_eq!((&replaying["records_left"], &replaying["next_touchpoint"]), (&json!(41), &json!(null)));
    bench.worker.registry_unreachable(7, "no registry");
    assert_eq!(bench.get(Role::Operator, "/v1/status").await.json()["registry_answers"], false);
}
