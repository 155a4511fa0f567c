//! The registry against a small one of our own on the loopback address.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::runtime::Runtime;

use super::*;

const EVENT: &str =
    r#"{"type":"record","name":"Event","namespace":"shop","fields":[{"name":"user_id","type":"string"}]}"#;
const WIDER: &str = r#"{"type":"record","name":"Event","namespace":"shop","fields":[{"name":"user_id","type":"string"},
    {"name":"age","type":"int"}]}"#;

/// What the little registry holds and was asked.
#[derive(Default)]
struct Shelf {
    schemas: HashMap<u32, serde_json::Value>,
    subjects: Mutex<HashMap<String, (u32, String)>>,
    asked: AtomicUsize,
    /// Answers everything with this status, when it is not 0.
    out_of_order: AtomicU16,
    authorization: Mutex<Option<String>>,
}

type Shared = State<Arc<Shelf>>;

fn error(code: u32, message: &str) -> Response {
    let status = StatusCode::from_u16((code / 100) as u16).unwrap();
    (status, Json(json!({"error_code": code, "message": message}))).into_response()
}

async fn by_id(State(shelf): Shared, Path(id): Path<u32>, headers: HeaderMap) -> Response {
    shelf.asked.fetch_add(1, Ordering::SeqCst);
    *lock(&shelf.authorization) = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    match shelf.out_of_order.load(Ordering::SeqCst) {
        0 => {}
        404 => return (StatusCode::NOT_FOUND, "<html>nginx</html>").into_response(),
        status => return error(u32::from(status) * 100 + 1, "out of order"),
    }
    match shelf.schemas.get(&id) {
        Some(schema) => Json(schema.clone()).into_response(),
        None => error(40403, "Schema not found"),
    }
}

async fn version(State(shelf): Shared, Path((subject, _)): Path<(String, String)>) -> Response {
    match lock(&shelf.subjects).get(&subject) {
        Some((id, schema)) => {
            Json(json!({"subject": subject, "id": id, "version": 1, "schema": schema})).into_response()
        }
        None => error(40401, "Subject not found"),
    }
}

async fn add(State(shelf): Shared, Path(subject): Path<String>, body: String) -> Response {
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let schema = body["schema"].as_str().unwrap().to_owned();
    assert_eq!(body["schemaType"], "AVRO");
    if schema.contains("\"age\"") {
        return error(40901, "Schema being registered is incompatible: age has no default");
    }
    let mut subjects = lock(&shelf.subjects);
    let id = subjects.len() as u32 + 1;
    let (id, _) = subjects.entry(subject).or_insert((id, schema)).clone();
    Json(json!({"id": id})).into_response()
}

async fn look_up(State(shelf): Shared, Path(subject): Path<String>, body: String) -> Response {
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    match lock(&shelf.subjects).get(&subject) {
        Some((id, schema)) if body["schema"] == **schema => {
            Json(json!({"subject": subject, "id": id, "version": 1, "schema": schema})).into_response()
        }
        Some(_) => error(40403, "Schema not found"),
        None => error(40401, "Subject not found"),
    }
}

async fn compatibility(State(shelf): Shared, Path(subject): Path<String>, body: String) -> Response {
    if !lock(&shelf.subjects).contains_key(&subject) {
        return error(40401, "Subject not found");
    }
    let fits = !body.contains("age");
    let messages: &[&str] = if fits { &[] } else { &["age has no default"] };
    Json(json!({"is_compatible": fits, "messages": messages})).into_response()
}

/// A registry that answers on its own runtime, and ours that asks it.
struct Pair {
    shelf: Arc<Shelf>,
    registry: Registry,
    runtime: Runtime,
}

fn pair(schemas: &[(u32, serde_json::Value)], credentials: Credentials) -> Pair {
    let runtime = Runtime::new().unwrap();
    let shelf = Arc::new(Shelf { schemas: schemas.iter().cloned().collect(), ..Shelf::default() });
    let router = Router::new()
        .route("/base/schemas/ids/{id}", get(by_id))
        .route("/base/schemas/types", get(|| async { Json(json!(["JSON", "AVRO"])) }))
        .route("/base/subjects/{subject}/versions/{version}", get(version))
        .route("/base/subjects/{subject}/versions", post(add))
        .route("/base/subjects/{subject}", post(look_up))
        .route("/base/compatibility/subjects/{subject}/versions/latest", post(compatibility))
        .with_state(Arc::clone(&shelf));
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, router).await });
    let registry = Registry::new(&settings(&[&url], credentials), runtime.handle().clone()).unwrap();
    Pair { shelf, registry, runtime }
}

fn settings(urls: &[&str], credentials: Credentials) -> Settings {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    Settings { urls, credentials, authorities: None, timeout: Duration::from_secs(5) }
}

#[test]
fn a_file_without_certificates_is_refused() {
    let runtime = Runtime::new().unwrap();
    for pem in ["", "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n"] {
        let settings =
            Settings { authorities: Some(pem.into()), ..settings(&["https://127.0.0.1:1"], Credentials::None) };
        let refused = Registry::new(&settings, runtime.handle().clone()).unwrap_err();
        assert!(matches!(&refused, Error::Settings(why) if why.starts_with("registry.ca_file: ")), "{refused}");
    }
}

fn asked(pair: &Pair) -> usize {
    pair.shelf.asked.load(Ordering::SeqCst)
}

#[test]
fn a_schema_is_asked_for_once() {
    let pair = pair(&[(7, json!({"schema": EVENT}))], Credentials::None);
    for _ in 0..3 {
        assert_eq!(*pair.registry.schema(7).unwrap(), Schema::parse_str(EVENT).unwrap());
    }
    assert_eq!(asked(&pair), 1);
    assert_eq!(*lock(&pair.shelf.authorization), None);
}

#[test]
fn an_unknown_id_is_the_records_fault_and_not_asked_for_again_at_once() {
    let pair = pair(&[], Credentials::None);
    for _ in 0..3 {
        assert_eq!(pair.registry.schema(9), Err(Error::UnknownId(9)));
    }
    assert_eq!(asked(&pair), 1);
    assert!(Error::UnknownId(9).is_of_the_record());
    // The minute passes.
    let long_ago = Instant::now().checked_sub(ASK_AGAIN).unwrap();
    lock(&pair.registry.memory).refusals.insert(9, (long_ago, Error::UnknownId(9)));
    assert_eq!(pair.registry.schema(9), Err(Error::UnknownId(9)));
    assert_eq!(asked(&pair), 2);
}

#[test]
fn strange_ids_do_not_grow_the_memory_or_push_out_good_schemas() {
    let pair = pair(&[(7, json!({"schema": EVENT}))], Credentials::None);
    pair.registry.schema(7).unwrap();
    for id in 0..5000 {
        lock(&pair.registry.memory).refusals.insert(id, (Instant::now(), Error::UnknownId(id)));
    }
    assert!(lock(&pair.registry.memory).refusals.len() <= REMEMBERED);
    pair.registry.schema(7).unwrap();
    assert_eq!(asked(&pair), 1);
}

#[test]
fn what_is_no_avro_schema_is_the_records_fault() {
    let schemas = [
        (1, json!({"schema": "{\"type\":\"object\"}", "schemaType": "JSON"})),
        (2, json!({"schema": "{\"type\":\"recrod\"}"})),
        (
            3,
            json!({"schema": "{\"type\":\"array\",\"items\":\"shop.Missing\"}",
            "references": [{"name": "shop.Missing", "subject": "missing", "version": 1}]}),
        ),
    ];
    let pair = pair(&schemas, Credentials::None);
    for (id, word) in [(1, "of type Json, not Avro"), (2, "no Avro schema"), (3, "refers to shop.Missing")] {
        let error = pair.registry.schema(id).unwrap_err();
        assert!(error.is_of_the_record() && error.to_string().contains(word), "{error}");
    }
}

#[test]
fn references_are_put_in_their_places() {
    let outer = r#"{"type":"record","name":"Order","fields":[{"name":"first","type":"shop.Event"},
        {"name":"second","type":["null","shop.Event"]}]}"#;
    let reference = json!({"name": "shop.Event", "subject": "event", "version": 1});
    let pair = pair(&[(7, json!({"schema": outer, "references": [reference]}))], Credentials::None);
    lock(&pair.shelf.subjects).insert("event".into(), (1, EVENT.into()));
    let Schema::Record(order) = pair.registry.schema(7).unwrap().as_ref().clone() else { panic!("no record") };
    assert_eq!(order.fields[0].schema, Schema::parse_str(EVENT).unwrap());
    let whole = Schema::Record(order);
    assert!(apache_avro::schema::ResolvedSchema::new(&whole).is_ok());
}

#[test]
fn a_registry_out_of_order_is_nobodys_fault() {
    let pair = pair(&[(7, json!({"schema": EVENT}))], Credentials::None);
    for (status, refused) in [(500, false), (503, false), (429, false), (401, true), (403, true), (404, true)] {
        pair.shelf.out_of_order.store(status, Ordering::SeqCst);
        let error = pair.registry.schema(7).unwrap_err();
        assert!(!error.is_of_the_record());
        assert_eq!(matches!(error, Error::Refused(_)), refused, "{status}: {error}");
        assert_eq!(matches!(error, Error::Unreachable(_)), !refused, "{status}: {error}");
    }
    pair.shelf.out_of_order.store(0, Ordering::SeqCst);
    assert!(pair.registry.schema(7).is_ok(), "and then it is well again");
}

#[test]
fn nobody_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let runtime = Runtime::new().unwrap();
    let registry = Registry::new(&settings(&[&url], Credentials::None), runtime.handle().clone()).unwrap();
    let error = registry.schema(1).unwrap_err();
    assert!(matches!(&error, Error::Unreachable(why) if why.contains("refused")), "{error}");
    let error = runtime.block_on(registry.reachable()).unwrap_err();
    assert!(matches!(&error, Error::Unreachable(_)), "{error}");
    // A second address is tried.
    let pair = pair(&[(7, json!({"schema": EVENT}))], Credentials::None);
    let good = format!("{}", pair.registry.client.first_url());
    let registry = Registry::new(&settings(&[&url, &good], Credentials::None), runtime.handle().clone()).unwrap();
    assert!(registry.schema(7).is_ok());
    assert!(runtime.block_on(registry.reachable()).is_ok());
}

#[test]
fn a_silent_registry_runs_out_of_patience() {
    let runtime = Runtime::new().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); // accepts, and says nothing
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = Settings { timeout: Duration::from_millis(200), ..settings(&[&url], Credentials::None) };
    let registry = Registry::new(&settings, runtime.handle().clone()).unwrap();
    let begun = Instant::now();
    assert!(matches!(registry.schema(1), Err(Error::Unreachable(_))));
    assert!(begun.elapsed() < Duration::from_secs(3));
    // Threads that waited for that answer take it as theirs instead of waiting their own time one after the other.
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for id in 0..8 {
            let registry = &registry;
            scope.spawn(move || assert!(matches!(registry.schema(id), Err(Error::Unreachable(_)))));
        }
    });
    assert!(begun.elapsed() < Duration::from_millis(1200), "{:?}", begun.elapsed());
}

#[test]
fn a_runtime_that_is_gone_is_an_error() {
    let pair = pair(&[], Credentials::None);
    pair.runtime.shutdown_background();
    assert!(matches!(pair.registry.schema(1), Err(Error::Unreachable(_))));
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let secret: SecretString = "s3cret".to_owned().into();
    let basic = Credentials::Basic { username: "key".into(), password: secret.clone() };
    for (credentials, expected) in [(basic, "Basic a2V5OnMzY3JldA=="), (Credentials::Bearer(secret), "Bearer s3cret")] {
        let pair = pair(&[(7, json!({"schema": EVENT}))], credentials);
        pair.registry.schema(7).unwrap();
        assert_eq!(lock(&pair.shelf.authorization).as_deref(), Some(expected));
        assert!(!format!("{:?}", pair.registry).contains("s3cret"));
    }
    let runtime = Runtime::new().unwrap();
    let refused = |urls: &[&str]| {
        Registry::new(&settings(urls, Credentials::None), runtime.handle().clone()).unwrap_err().to_string()
    };
    assert!(refused(&["http://key:s3cret@host"]).contains("registry.username"));
    assert!(!refused(&["http://key:s3cret@host"]).contains("s3cret"));
    assert!(refused(&["ftp://host"]).contains("no http or https address"));
    assert!(refused(&["host:8081"]).contains("registry.url"));
    assert!(refused(&[]).contains("at least one"));
}

#[test]
fn registering_and_checking() {
    let pair = pair(&[], Credentials::None);
    let registry = &pair.registry;
    pair.runtime.block_on(async {
        registry.reachable().await.unwrap();
        assert_eq!(registry.latest("t-value").await, Ok(None));
        assert_eq!(registry.registered("t-value", EVENT).await, Ok(None));
        assert_eq!(registry.compatible("t-value", EVENT).await, Ok(Compatibility::First));
        assert_eq!(registry.check_all(&[("t-value", EVENT)]).await, Ok(vec![Standing::Missing]));
        assert_eq!(registry.register_all(&[("t-value", EVENT), ("c-value", EVENT)]).await, Ok(vec![1, 2]));
        assert_eq!(registry.register("t-value", EVENT).await, Ok(1));
        let there = Registered { id: 1, version: Some(1), schema: EVENT.into() };
        assert_eq!(registry.latest("t-value").await, Ok(Some(there.clone())));
        assert_eq!(registry.registered("t-value", EVENT).await, Ok(Some(there.clone())));
        assert_eq!(registry.check_all(&[("t-value", EVENT)]).await, Ok(vec![Standing::Registered(there)]));
        let other = EVENT.replace("user_id", "user");
        assert_eq!(registry.compatible("t-value", &other).await, Ok(Compatibility::Compatible));
        assert_eq!(registry.check_all(&[("t-value", &other)]).await, Ok(vec![Standing::Outdated]));
        let reasons = vec!["age has no default".to_owned()];
        assert_eq!(registry.check_all(&[("t-value", WIDER)]).await, Ok(vec![Standing::Incompatible(reasons)]));
        let refused = registry.register_all(&[("x-value", EVENT), ("t-value", WIDER)]).await.unwrap_err();
        assert!(refused.to_string().contains("t-value") && refused.to_string().contains("age has no default"));
        assert_eq!(registry.latest("x-value").await, Ok(None), "nothing is registered when one is refused");
        let refused = registry.register("t-value", WIDER).await.unwrap_err();
        assert!(matches!(refused, Error::Incompatible { .. }), "{refused}");
    });
}
