//! Administration of keys.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Bench, answer, request};
use crate::access::control::memory::MemoryControl;
use crate::access::{ControlLog, ControlRecords, Created, Error, NewKey, Role, now_ms};
use crate::api::{Code, Limits};

struct Admin {
    bench: Bench,
    key: Created,
}

impl Admin {
    fn open() -> Self {
        Self::of(Bench::open())
    }

    fn of(bench: Bench) -> Self {
        let key = bench.admin.create(NewKey::of(Role::Admin), now_ms()).unwrap();
        Self { bench, key }
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.raw(path, "application/json", body.to_string()).await
    }

    async fn raw(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = request("POST", path, Some(&self.key.key)).header("content-type", content_type);
        self.bench.send(request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.bench.send(request("GET", path, Some(&self.key.key)).body(Body::empty()).unwrap()).await
    }

    /// What a key finds at a route of its own role.
    async fn opens(&self, key: &str, path: &str) -> StatusCode {
        self.bench.send(request("GET", path, Some(key)).body(Body::empty()).unwrap()).await.status
    }
}

fn named(answer: &Answer) -> Vec<String> {
    answer.problem().errors.iter().map(|e| format!("{}{}", e.place, e.pointer)).collect()
}

#[tokio::test]
async fn the_life_of_a_key() {
    let admin = Admin::open();
    let body = json!({"role": "operator", "note": "pager", "requests_per_second": 5, "networks": null,
        "expires_at": now_ms() + 60_000});
    let made = admin.post("/v1/keys", &body).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let made = (made.header("location").to_owned(), made.json());
    let (id, key) = (made.1["id"].as_str().unwrap(), made.1["key"].as_str().unwrap());
    assert_eq!(made.0, format!("/v1/keys/{id}"));
    assert_eq!(admin.opens(key, "/v1/status").await, StatusCode::OK);

    let shown = admin.get(&made.0).await.json();
    let mut expected = made.1.clone();
    expected.as_object_mut().unwrap().remove("key");
    expected["last_used_at"] = shown["last_used_at"].clone();
    assert_eq!(shown, expected);
    assert!(shown["last_used_at"].as_i64().unwrap() > now_ms() - 60_000);
    let told = ("operator", "open", "pager", 5, 5);
    let got = (&shown["role"], &shown["state"], &shown["note"], &shown["requests_per_second"], &shown["burst"]);
    assert_eq!(got, (&json!(told.0), &json!(told.1), &json!(told.2), &json!(told.3), &json!(told.4)));

    let next = admin.post(&format!("{}/rotate", made.0), &json!({"grace_seconds": 3600})).await;
    assert_eq!(next.status, StatusCode::CREATED);
    let next = next.json();
    assert_eq!((&next["replaces"], &next["note"]), (&json!(id), &json!("pager")));
    for key in [key, next["key"].as_str().unwrap()] {
        assert_eq!(admin.opens(key, "/v1/status").await, StatusCode::OK, "both are good for the time of grace");
    }
    let revoked = admin.post(&format!("{}/revoke", made.0), &json!({})).await;
    assert_eq!((revoked.status, &revoked.json()["state"]), (StatusCode::OK, &json!("revoked")));
    assert_eq!(admin.opens(key, "/v1/status").await, StatusCode::UNAUTHORIZED);
    assert_eq!(admin.opens(next["key"].as_str().unwrap(), "/v1/status").await, StatusCode::OK);
    assert_eq!(admin.post(&format!("{}/revoke", made.0), &json!({})).await.status, StatusCode::OK, "twice is once");

    let listed = admin.get("/v1/keys").await;
    let states: Vec<_> = listed.json()["keys"].as_array().unwrap().iter().map(|key| key["state"].clone()).collect();
    assert_eq!(states.len(), 3);
    for answer in [listed, revoked, admin.get(&made.0).await] {
        let text = String::from_utf8(answer.body).unwrap();
        assert!(!text.contains("trb_live_") && !text.contains(key.rsplit('_').next().unwrap()), "{text}");
        assert!(!text.contains("hash") && !text.contains("pepper_id"), "{text}");
    }
}

#[tokio::test]
async fn a_rotation_without_a_body_gives_a_day() {
    let admin = Admin::open();
    let old = admin.bench.admin.create(NewKey::of(Role::Viewer), now_ms()).unwrap();
    let empty =
        request("POST", &format!("/v1/keys/{}/rotate", old.id), Some(&admin.key.key)).body(Body::empty()).unwrap();
    assert_eq!(admin.bench.send(empty).await.status, StatusCode::CREATED);
    let until = admin.get(&format!("/v1/keys/{}", old.id)).await.json()["expires_at"].as_i64().unwrap();
    assert!((until - now_ms() - 86_400_000).abs() < 60_000);
    let again = admin.post(&format!("/v1/keys/{}/rotate", old.id), &json!({})).await;
    assert_eq!((again.status, again.problem().code), (StatusCode::CONFLICT, Code::Conflict));
}

#[tokio::test]
async fn all_mistakes_come_in_one_answer_and_nothing_is_made() {
    let admin = Admin::open();
    let wrong = json!({"role": "root", "note": "a\u{7}b", "expires_at": 1, "requests_per_second": 0, "burst": 1.5,
        "networks": ["10.0.0.0/8", "10.0.0.1/8", 7], "colour": "red", "revoked": false});
    let got = admin.post("/v1/keys?x=1", &wrong).await;
    assert_eq!((got.status, got.problem().code), (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidBody));
    let expected = [
        "query/x",
        "body/role",
        "body/note",
        "body/expires_at",
        "body/requests_per_second",
        "body/burst",
        "body/networks/1",
        "body/networks/2",
        "body/colour",
        "body/revoked",
    ];
    assert_eq!(named(&got), expected);
    assert_eq!(named(&admin.post("/v1/keys", &json!({"burst": 1})).await), ["body/role", "body/burst"]);
    let networks = vec!["10.0.0.0/8"; 33];
    let got = admin.post("/v1/keys", &json!({"role": "viewer", "networks": networks})).await;
    assert_eq!(named(&got), ["body/networks"]);
    let got = admin.raw("/v1/keys", "application/json", r#"{"role":"viewer","role":"admin"}"#).await;
    assert_eq!(named(&got), ["body/role"]);
    assert_eq!(named(&admin.raw("/v1/keys", "application/json", "[]").await), ["body"]);
    let rotate = format!("/v1/keys/{}/rotate", "a%00b");
    let got = admin.post(&rotate, &json!({"grace_seconds": 2_592_001, "grace": 1})).await;
    assert_eq!(named(&got), ["path/key_id", "body/grace_seconds", "body/grace"]);
    let got = admin.post("/v1/keys/x/revoke?now=1", &json!({})).await;
    assert_eq!((got.problem().code, named(&got)), (Code::InvalidParameters, vec!["query/now".to_owned()]));
    assert_eq!(admin.get("/v1/keys").await.json()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn other_bodies_are_refused() {
    let admin = Admin::open();
    let body = r#"{"role":"viewer"}"#;
    assert_eq!(admin.raw("/v1/keys", "text/plain", body).await.problem().code, Code::UnsupportedMediaType);
    assert_eq!(admin.raw("/v1/keys", "", body).await.problem().code, Code::UnsupportedMediaType);
    let large = json!({"role": "viewer", "note": "x".repeat(20_000)}).to_string();
    assert_eq!(admin.raw("/v1/keys", "application/json", large).await.problem().code, Code::BodyTooLarge);
    assert_eq!(admin.raw("/v1/keys", "application/json; charset=utf-8", body).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_admin_cannot_lock_itself_out() {
    let admin = Admin::open();
    let own = format!("/v1/keys/{}", admin.key.id);
    let got = admin.post(&format!("{own}/revoke"), &json!({})).await;
    assert_eq!((got.status, got.problem().code), (StatusCode::CONFLICT, Code::Conflict));
    assert!(got.problem().detail.contains("tributary keys revoke"));
    assert_eq!(
        named(&admin.post(&format!("{own}/rotate"), &json!({"grace_seconds": 59})).await),
        ["body/grace_seconds"]
    );
    let next = admin.post(&format!("{own}/rotate"), &json!({"grace_seconds": 60})).await;
    assert_eq!(next.status, StatusCode::CREATED);
    assert_eq!(admin.get(&own).await.status, StatusCode::OK, "the key that asked is good for the time of grace");
    let next = next.json()["key"].as_str().unwrap().to_owned();
    let end = request("POST", &format!("{own}/revoke"), Some(&next)).body(Body::empty()).unwrap();
    assert_eq!(admin.bench.send(end).await.status, StatusCode::OK, "its successor ends it");
    assert_eq!(admin.get(&own).await.status, StatusCode::UNAUTHORIZED);
    let other = admin.bench.admin.create(NewKey::of(Role::Viewer), now_ms()).unwrap();
    let end = request("POST", &format!("/v1/keys/{}/rotate", other.id), Some(&next))
        .header("content-type", "application/json");
    let end = end.body(Body::from(r#"{"grace_seconds":0}"#)).unwrap();
    assert_eq!(admin.bench.send(end).await.status, StatusCode::CREATED);
    assert_eq!(admin.opens(&other.key, "/v1/reports/channels").await, StatusCode::UNAUTHORIZED, "no grace, at once");
}

#[tokio::test]
async fn keys_come_in_pages() {
    let admin = Admin::open();
    for _ in 0..4 {
        admin.bench.key(Role::Viewer);
    }
    let (mut path, mut seen) = ("/v1/keys?limit=2".to_owned(), Vec::new());
    loop {
        let page = admin.get(&path).await.json();
        seen.extend(page["keys"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/keys?limit=2&cursor={next}");
        assert!(seen.len() <= 4);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    assert_eq!(named(&admin.get("/v1/keys?limit=1001&cursor=x&y=1").await), ["query/limit", "query/cursor", "query/y"]);
}

/// A control topic that takes a record only when it is told to, or not at all.
struct Slow {
    kept: MemoryControl,
    begun: Sender<()>,
    go: Mutex<Receiver<bool>>,
}

impl ControlLog for Slow {
    fn put(&self, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
        self.begun.send(()).unwrap();
        match self.go.lock().unwrap().recv_timeout(Duration::from_secs(5)) {
            Ok(true) => self.kept.put(key, value),
            Ok(false) => Err(Error::Control("broker-7.internal: not acknowledged in time".into())),
            Err(_) => panic!("nobody said go: the thread that answers requests was held up"),
        }
    }

    fn read(&self, from: i64, wait: Duration) -> Result<ControlRecords, Error> {
        self.kept.read(from, wait)
    }
}

#[tokio::test]
async fn a_change_is_answered_when_it_is_durable_and_holds_up_nobody() {
    let ((begun, begins), (go, gone)) = (channel(), channel());
    let control = Slow { kept: MemoryControl::default(), begun, go: Mutex::new(gone) };
    go.send(true).unwrap();
    let admin = Admin::of(Bench::over(Limits::default(), true, Arc::new(control)));
    begins.recv().unwrap();
    for (before, durable) in [(1, true), (2, false)] {
        let ask = request("POST", "/v1/keys", Some(&admin.key.key)).header("content-type", "application/json");
        let ask = ask.body(Body::from(r#"{"role":"viewer"}"#)).unwrap();
        let create = tokio::spawn(answer(admin.bench.router(), ask));
        while begins.try_recv().is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let listed = admin.get("/v1/keys").await.json()["keys"].as_array().unwrap().len();
        assert!(listed == before && !create.is_finished(), "not before it is durable");
        go.send(durable).unwrap();
        let got = create.await.unwrap();
        if durable {
            assert_eq!(got.status, StatusCode::CREATED);
        } else {
            assert_eq!((got.status, got.problem().code), (StatusCode::SERVICE_UNAVAILABLE, Code::LogUnavailable));
            assert!(!String::from_utf8(got.body).unwrap().contains("broker-7"), "no name of ours leaks");
        }
    }
    assert_eq!(admin.bench.admin.list(0).len(), 2);
}
