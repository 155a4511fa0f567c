//! Who may do what: the table of roles against the routes of the OpenAPI document.

use axum::body::Body;
use axum::http::StatusCode;

use super::{Bench, answer, request};
use crate::access::{Role, Scope};
use crate::api::{Code, document};

/// Every operation of the document: method, path with its parameters filled in, and the scope that it names.
fn operations() -> Vec<(&'static str, String, Option<Scope>)> {
    let json = serde_json::to_value(document()).unwrap();
    let mut found = Vec::new();
    for (path, item) in json["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = match method.as_str() {
                "get" => "GET",
                "post" => "POST",
                other => panic!("{other} {path}: give this test a method"),
            };
            let scopes = operation["security"][0]["api_key"].as_array();
            let scope = scopes.map(|scopes| {
                assert_eq!(scopes.len(), 1, "{path}");
                *Scope::ALL.iter().find(|s| s.name() == scopes[0]).unwrap_or_else(|| panic!("{path}: {}", scopes[0]))
            });
            assert_eq!(scope.is_some(), path.starts_with("/v1/"), "{path} needs a key exactly under /v1");
            found.push((method, path.replace("{user_id}", "ann").replace("{conversion_id}", "c1"), scope));
        }
    }
    found
}

#[tokio::test]
async fn each_role_opens_what_the_table_says_and_nothing_else() {
    let bench = Bench::open();
    let mut entries = 0;
    for (method, path, scope) in operations() {
        for role in Role::ALL {
            let key = bench.key(role);
            let got = bench.send(request(method, &path, Some(&key)).body(Body::empty()).unwrap()).await.status;
            let opened = scope.is_none_or(|scope| role.opens(scope));
            assert_eq!(got == StatusCode::FORBIDDEN, !opened, "{role}: {method} {path} answered {got}");
            assert_ne!(got, StatusCode::UNAUTHORIZED, "{role}: {method} {path}");
            entries += 1;
        }
    }
    assert_eq!(entries, 9 * Role::ALL.len(), "a route came or went: look at the table of roles");
}

#[tokio::test]
async fn without_a_valid_key_there_is_nothing_and_no_hint() {
    let bench = Bench::open();
    let (revoked, stranger) = (bench.admin.create(Role::Analyst, "", 0).unwrap(), Bench::open().key(Role::Analyst));
    bench.admin.revoke(&revoked.id).unwrap();
    let mut typo = bench.key(Role::Analyst);
    typo.replace_range(12..13, if &typo[12..13] == "x" { "y" } else { "x" });
    let bad = [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer nonsense"),
        Some("Basic dHJiOmxpdmU="),
        Some(&format!("Bearer {}", revoked.key)),
        Some(&format!("Bearer {stranger}")),
        Some(&format!("Bearer {typo}")),
    ]
    .map(|value| value.map(str::to_owned));
    for (method, path, scope) in operations() {
        let mut bodies = Vec::new();
        for value in &bad {
            let mut builder = request(method, &path, None).header("x-request-id", "same");
            if let Some(value) = value {
                builder = builder.header("authorization", value);
            }
            let got = bench.send(builder.body(Body::empty()).unwrap()).await;
            if scope.is_none() {
                assert_eq!(got.status, StatusCode::OK, "{path} asks for no key");
                continue;
            }
            assert_eq!(
                (got.status, got.problem().code),
                (StatusCode::UNAUTHORIZED, Code::Unauthenticated),
                "{value:?}"
            );
            assert_eq!(got.header("www-authenticate"), "Bearer realm=\"tributary\"");
            bodies.push(got.body);
        }
        bodies.dedup();
        assert!(bodies.len() <= 1, "{path} tells bad keys apart");
    }
}

#[tokio::test]
async fn the_scheme_may_be_in_any_case() {
    let bench = Bench::open();
    let value = format!("bearer  {}", bench.key(Role::Analyst));
    let builder = request("GET", "/v1/users/nobody/journey", None).header("authorization", value);
    assert_eq!(bench.send(builder.body(Body::empty()).unwrap()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_key_stops_opening_when_it_is_revoked() {
    let bench = Bench::open();
    let made = bench.admin.create(Role::Viewer, "", 0).unwrap();
    let ask = || request("GET", "/v1/reports/channels", Some(&made.key)).body(Body::empty()).unwrap();
    assert_eq!(answer(bench.router(), ask()).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    bench.admin.revoke(&made.id).unwrap();
    assert_eq!(answer(bench.router(), ask()).await.status, StatusCode::UNAUTHORIZED);
}
