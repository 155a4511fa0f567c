//! Who may do what: the routes of docs/openapi.json against every role, and against every key that is none.

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tower::ServiceExt;

use super::{Answer, Bench, answer, request};
use crate::access::{NewKey, Role, Rotation, Scope, now_ms};
use crate::api::auth::{self, Allowed};
use crate::api::table::TABLE;
use crate::api::{Code, Limits, Rate, Rates};
use crate::query::samples::touchpoint;

/// What is expected, written down apart from what the code says: method, path, and the roles that are let in; `*` is
/// whoever comes, without a key too.
const EXPECTED: &[(&str, &str, &[&str])] = &[
    ("GET", "/livez", &["*"]),
    ("GET", "/readyz", &["*"]),
    ("GET", "/startupz", &["*"]),
    ("GET", "/metrics", &["*"]),
    ("GET", "/v1/reports/channels", &["viewer", "analyst"]),
    ("GET", "/v1/users/{user_id}/journey", &["analyst"]),
    ("GET", "/v1/conversions/{conversion_id}/attributions", &["analyst"]),
    ("POST", "/v1/touchpoints", &["ingestor"]),
    ("POST", "/v1/conversions", &["ingestor"]),
    ("GET", "/v1/status", &["operator"]),
    ("GET", "/v1/keys", &["admin"]),
    ("POST", "/v1/keys", &["admin"]),
    ("GET", "/v1/keys/{key_id}", &["admin"]),
    ("POST", "/v1/keys/{key_id}/rotate", &["admin"]),
    ("POST", "/v1/keys/{key_id}/revoke", &["admin"]),
];

struct Operation {
    method: String,
    path: String,
    scopes: Vec<String>,
    roles: &'static [&'static str],
}

impl Operation {
    fn is_open(&self) -> bool {
        self.roles == ["*"]
    }

    fn lets_in(&self, role: Role) -> bool {
        self.is_open() || self.roles.contains(&role.name())
    }

    /// The path of the object that has this name, whatever it is.
    fn of(&self, object: &str) -> String {
        let (before, rest) = self.path.split_once('{').unwrap_or((&self.path, "}"));
        if rest == "}" { self.path.clone() } else { format!("{before}{object}{}", rest.split_once('}').unwrap().1) }
    }
}

/// Every operation of the committed document, with what is expected of it.
fn operations() -> Vec<Operation> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    for (path, item) in json["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            let entry = EXPECTED.iter().find(|(m, p, _)| *m == method && p == path);
            let (_, _, roles) = entry.unwrap_or_else(|| panic!("{method} {path}: who may do this? say it in EXPECTED"));
            let scopes = operation["security"][0]["api_key"].as_array().cloned().unwrap_or_default();
            let scopes = scopes.iter().map(|scope| scope.as_str().unwrap().to_owned()).collect();
            found.push(Operation { method, path: path.clone(), scopes, roles });
        }
    }
    assert_eq!(found.len(), EXPECTED.len(), "an operation went: take it out of EXPECTED");
    found
}

#[tokio::test]
async fn each_role_opens_what_is_expected_and_nothing_else() {
    let bench = Bench::open();
    for operation in operations() {
        for role in Role::ALL {
            let key = bench.key(role);
            let methods = if operation.method == "GET" { vec!["GET", "HEAD"] } else { vec![operation.method.as_str()] };
            for method in methods {
                let ask = request(method, &operation.of("something"), Some(&key)).body(Body::empty()).unwrap();
                let got = bench.router_answers(ask).await;
                let here = format!("{role}: {method} {} answered {got}", operation.path);
                assert_eq!(got == StatusCode::FORBIDDEN, !operation.lets_in(role), "{here}");
                assert_ne!(got, StatusCode::UNAUTHORIZED, "{here}");
                assert_ne!(got, StatusCode::METHOD_NOT_ALLOWED, "{here}");
            }
        }
    }
}

#[test]
fn document_and_table_say_the_same() {
    let operations = operations();
    for operation in &operations {
        let scopes: Vec<_> =
            Scope::ALL.into_iter().filter(|s| operation.scopes.iter().any(|n| n == s.name())).collect();
        assert_eq!(operation.scopes.len(), usize::from(!operation.is_open()), "{}", operation.path);
        for role in Role::ALL {
            let opened = operation.is_open() || scopes.iter().all(|scope| role.opens(*scope));
            assert_eq!(opened, operation.lets_in(role), "{role}: {} {}", operation.method, operation.path);
        }
    }
    for (method, path, _) in TABLE {
        let known = operations.iter().any(|o| o.method == *method && o.path == *path);
        assert!(known, "{method} {path} stands in the table and is no route");
    }
}

#[test]
fn the_page_on_keys_shows_the_table() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keys.md")).unwrap();
    for (method, path, scope) in TABLE {
        let marks = Role::ALL.map(|role| if role.opens(*scope) { " yes |" } else { " |" }).concat();
        let row = format!("| `{method} {path}` |{marks}");
        assert!(page.lines().any(|line| line == row), "docs/keys.md lacks the row\n{row}");
    }
}

/// The value of `Authorization`, and where the request comes from.
type Bad = (Option<String>, Option<&'static str>);

/// Everything that is no valid key.
fn bad(bench: &Bench) -> Vec<Bad> {
    let now = now_ms();
    let make = |new: NewKey, at| bench.admin.create(new, at).unwrap();
    let any = || NewKey::of(Role::Admin);
    let (revoked, rotated, stranger) = (make(any(), now), make(any(), now - 9), Bench::open().key(Role::Analyst));
    bench.admin.revoke(&revoked.id).unwrap();
    bench.admin.rotate(&rotated.id, Rotation { grace_ms: 0, expires_at: None }, now - 9).unwrap();
    let expired = make(NewKey { expires_at: Some(now - 5), ..any() }, now - 9);
    let far = make(NewKey { networks: vec!["192.0.2.0/24".parse().unwrap()], ..any() }, now);
    let good = bench.key(Role::Admin);
    let mut typo = good.clone();
    typo.replace_range(12..13, if &typo[12..13] == "x" { "y" } else { "x" });
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    vec![
        (None, None),
        (Some(String::new()), None),
        (Some("Bearer".into()), None),
        (bearer("nonsense"), None),
        (bearer(&good.repeat(20)), None),
        (Some("Basic dHJiOmxpdmU=".into()), None),
        (Some(format!("Basic {good}")), None),
        (bearer(&revoked.key), None),
        (bearer(&rotated.key), None),
        (bearer(&expired.key), None),
        (bearer(&far.key), None),
        (bearer(&far.key), Some("198.51.100.7:4000")),
        (bearer(&far.key), Some("[::192.0.2.7]:4000")),
        (bearer(&stranger), None),
        (bearer(&typo), None),
    ]
}

fn with(operation: &Operation, object: &str, (value, from): &Bad) -> Request<Body> {
    let mut builder = request(&operation.method, &operation.of(object), None).header("x-request-id", "same");
    if let Some(value) = value {
        builder = builder.header("authorization", value);
    }
    if let Some(from) = from {
        builder = builder.extension(ConnectInfo(from.parse::<std::net::SocketAddr>().unwrap()));
    }
    builder.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn without_a_valid_key_there_is_nothing_and_no_hint() {
    let rates = Rates { bad_keys: Rate::per_second(1_000, 1_000), ..Rates::default() };
    let bench = Bench::with(Limits { rates, ..Limits::default() }, true);
    let bad = bad(&bench);
    for operation in operations() {
        let mut answers = Vec::new();
        for value in &bad {
            let got = bench.send(with(&operation, "something", value)).await;
            if operation.is_open() {
                assert_eq!(got.status, StatusCode::OK, "{} asks for no key", operation.path);
                continue;
            }
            let here = format!("{} {}: {value:?}", operation.method, operation.path);
            assert_eq!((got.status, got.problem().code), (StatusCode::UNAUTHORIZED, Code::Unauthenticated), "{here}");
            assert_eq!(got.header("www-authenticate"), "Bearer realm=\"tributary\"");
            answers.push(whole(&got));
        }
        answers.dedup();
        assert!(answers.len() <= 1, "{} tells bad keys apart", operation.path);
    }
}

/// All that a caller sees of an answer.
fn whole(answer: &Answer) -> String {
    format!("{} {:?} {}", answer.status, answer.headers, String::from_utf8_lossy(&answer.body))
}

#[tokio::test]
async fn a_key_is_good_inside_its_networks() {
    let bench = Bench::open();
    let networks = vec!["192.0.2.0/24".parse().unwrap()];
    let made = bench.admin.create(NewKey { networks, ..NewKey::of(Role::Operator) }, now_ms()).unwrap();
    let operation = operations().into_iter().find(|operation| operation.path == "/v1/status").unwrap();
    for from in ["192.0.2.7:4000", "[::ffff:192.0.2.7]:4000"] {
        let ask = with(&operation, "", &(Some(format!("Bearer {}", made.key)), Some(from)));
        assert_eq!(bench.send(ask).await.status, StatusCode::OK, "{from}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_the_same_whoever_asks() {
    let bench = Bench::open();
    bench.shop.touch(&touchpoint("t1", "ann", 10, "email"));
    bench.shop.convert("c1", "ann", 20, Some(7));
    let mut objects = 0;
    for operation in operations().into_iter().filter(|operation| operation.path.contains('{')) {
        objects += 1;
        let there = match operation.path.split(['{', '}']).nth(1).unwrap() {
            "user_id" => "ann".to_owned(),
            "conversion_id" => "c1".to_owned(),
            "key_id" => bench.admin.create(NewKey::of(Role::Viewer), now_ms()).unwrap().id,
            other => panic!("{other}: an object of which kind?"),
        };
        let mut answers = Vec::new();
        // What is left of a key's rate differs, as it should.
        let whole = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("ratelimit");
            whole(&Answer { status: answer.status, headers, body: answer.body.clone() })
        };
        for role in Role::ALL.into_iter().cycle().take(2 * Role::ALL.len()) {
            let key = (Some(format!("Bearer {}", bench.key(role))), None);
            let missing = bench.send(with(&operation, "nothing", &key)).await;
            let here = format!("{role}: {} {}", operation.method, operation.path);
            if operation.lets_in(role) {
                assert_eq!((missing.status, missing.problem().code), (StatusCode::NOT_FOUND, Code::NotFound), "{here}");
                answers.push(whole(&missing));
            } else {
                let found = bench.send(with(&operation, &there, &key)).await;
                assert_eq!(whole(&missing), whole(&found), "{here} tells what is there");
            }
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{} tells callers apart", operation.path);
        let role = Role::ALL.into_iter().find(|role| operation.lets_in(*role)).unwrap();
        let key = (Some(format!("Bearer {}", bench.key(role))), None);
        assert!(bench.send(with(&operation, &there, &key)).await.status.is_success(), "{}", operation.path);
    }
    assert!(objects >= 5);
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
    let made = bench.admin.create(NewKey::of(Role::Viewer), 0).unwrap();
    let ask = || request("GET", "/v1/reports/channels", Some(&made.key)).body(Body::empty()).unwrap();
    assert_eq!(answer(bench.router(), ask()).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    bench.admin.revoke(&made.id).unwrap();
    assert_eq!(answer(bench.router(), ask()).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_route_that_the_table_does_not_have_is_open_to_nobody() {
    let bench = Bench::open();
    let identify = from_fn_with_state((bench.state.clone(), 0), auth::identify);
    let unlisted = get(async |_: Allowed| "open");
    let router = Router::new().route("/v1/unlisted", unlisted).route_layer(identify).with_state(bench.state.clone());
    for role in Role::ALL {
        let asked = request("GET", "/v1/unlisted", Some(&bench.key(role))).body(Body::empty()).unwrap();
        assert_eq!(router.clone().oneshot(asked).await.unwrap().status(), StatusCode::FORBIDDEN, "{role}");
    }
}
