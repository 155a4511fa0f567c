//! The whole service, asked through its router (and, where it is about sockets, through one).

mod access;
mod audited;
mod keys;
mod limits;
mod open;
mod reads;
mod sockets;
mod status;
mod strangers;
mod tls;
mod writes;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::{Appended, Face, Ingest, IngestError, Limits, NewEvent, Parts, Rendered, State};
use crate::access::control::memory::MemoryControl;
use crate::access::{Admin, ControlLog, Keys, NewKey, Pepper, Peppers, Role};
use crate::audit::log::memory::Audited;
use crate::query::samples::Shop;
use crate::telemetry::{Health, Metrics, PartitionState, WorkerHealth};
use crate::topics::Input;

/// The service over a small state.
pub(super) struct Bench {
    pub(super) shop: Shop,
    pub(super) health: Arc<Health>,
    pub(super) worker: Arc<WorkerHealth>,
    pub(super) log: Arc<Log>,
    pub(super) admin: Admin,
    pub(super) audited: Audited,
    pub(super) state: State,
}

/// An embedded log that keeps what it gets.
#[derive(Default)]
pub(super) struct Log {
    pub(super) events: Mutex<Vec<(Input, String, Vec<u8>)>>,
    pub(super) broken: Mutex<Option<IngestError>>,
    pub(super) delay: Mutex<Duration>,
}

impl Ingest for Log {
    fn append(&self, input: Input, events: &[NewEvent<'_>], _logged_at: i64) -> Result<Vec<Appended>, IngestError> {
        let delay = *self.delay.lock().unwrap();
        std::thread::sleep(delay);
        if let Some(error) = self.broken.lock().unwrap().clone() {
            return Err(error);
        }
        let mut kept = self.events.lock().unwrap();
        let mut places = Vec::new();
        for event in events {
            places.push(Appended { partition: 1, offset: i64::try_from(kept.len()).unwrap() });
            kept.push((input, event.user_id.to_owned(), event.value.to_vec()));
        }
        Ok(places)
    }
}

/// An answer, its body read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub(super) fn problem(&self) -> Rendered {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Bench {
    pub(super) fn open() -> Self {
        Self::with(Limits::default(), true)
    }

    pub(super) fn with(limits: Limits, embedded: bool) -> Self {
        Self::over(limits, embedded, Arc::new(MemoryControl::default()))
    }

    pub(super) fn over(limits: Limits, embedded: bool, control: Arc<dyn ControlLog>) -> Self {
        Self::built(limits, embedded, control, &[], 0)
    }

    /// With pages of these origins let in.
    pub(super) fn for_pages_of(origins: &[&str]) -> Self {
        Self::built(Limits::default(), true, Arc::new(MemoryControl::default()), origins, 0)
    }

    /// Behind so many proxies of one's own.
    pub(super) fn behind(proxies: usize) -> Self {
        Self::built(Limits::default(), true, Arc::new(MemoryControl::default()), &[], proxies)
    }

    fn built(
        limits: Limits,
        embedded: bool,
        control: Arc<dyn ControlLog>,
        origins: &[&str],
        trusted_proxies: usize,
    ) -> Self {
        let shop = Shop::open();
        let keys = Arc::new(Keys::new(Peppers::new(Pepper::new(&[1; 32]), Vec::new())));
        let admin = Admin::new(Arc::clone(&keys), control);
        let health = Arc::new(Health::default());
        let worker = health.worker("worker-0");
        worker.member(true);
        worker.partition(0, PartitionState::Live);
        health.running();
        let log = Arc::new(Log::default());
        let ingest = embedded.then(|| Arc::clone(&log) as Arc<dyn Ingest>);
        let metrics = Arc::new(Metrics::new().unwrap());
        let reader = shop.reader.clone();
        let audited = Audited::start();
        let state = State::new(Parts {
            keys,
            admin: Some(admin.clone()),
            instance: "test-1".into(),
            reader,
            health: Arc::clone(&health),
            metrics,
            ingest,
            audit: audited.audit.clone(),
            limits,
            trusted_proxies,
            cors_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        });
        Self { shop, health, worker, log, admin, audited, state }
    }

    pub(super) fn router(&self) -> Router {
        super::router(Face::Whole, self.state.clone())
    }

    pub(super) fn key(&self, role: Role) -> String {
        self.admin.create(NewKey::of(role), 0).unwrap().key
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        answer(self.router(), request).await
    }

    /// The status alone: HEAD has no body to look at.
    pub(super) async fn router_answers(&self, request: Request<Body>) -> StatusCode {
        self.router().oneshot(request).await.unwrap().status()
    }

    /// GET with a key of this role.
    pub(super) async fn get(&self, role: Role, path: &str) -> Answer {
        self.send(request("GET", path, Some(&self.key(role))).body(Body::empty()).unwrap()).await
    }

    /// POST with a key of an ingestor.
    pub(super) async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = request("POST", path, Some(&self.key(Role::Ingestor))).header("content-type", content_type);
        self.send(request.body(body.into()).unwrap()).await
    }
}

/// Asks a router, and holds what every answer must hold.
pub(super) async fn answer(router: Router, request: Request<Body>) -> Answer {
    let asked = format!("{} {}", request.method(), request.uri());
    let response = router.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let answer = Answer { status: head.status, headers: head.headers, body };
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{asked}");
    assert_eq!(answer.header("cache-control"), "private, no-store", "{asked}");
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{asked}");
    assert!(!answer.headers.contains_key("server"), "{asked}");
    assert!(!answer.header("x-request-id").is_empty(), "{asked}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(answer.headers.values().all(|value| !value.to_str().unwrap_or_default().contains(version)), "{asked}");
    if !answer.status.is_success() {
        assert_eq!(answer.header("content-type"), "application/problem+json", "{asked}: {}", answer.status);
        let problem = answer.problem();
        assert_eq!((problem.status, problem.code.status()), (answer.status.as_u16(), answer.status), "{asked}");
        assert_eq!(problem.kind, format!("urn:tributary:problem:{}", problem.code.name()), "{asked}");
        assert!(problem.instance.ends_with(answer.header("x-request-id")), "{asked}");
        assert!(!problem.detail.is_empty() && !problem.title.is_empty(), "{asked}");
    }
    answer
}

pub(super) fn request(method: &str, path: &str, key: Option<&str>) -> axum::http::request::Builder {
    let builder = Request::builder().method(method).uri(path);
    match key {
        None => builder,
        Some(key) => builder.header("authorization", format!("Bearer {key}")),
    }
}

/// What this thread logs while it lives.
pub(super) struct Lines {
    sink: Sink,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Hears lines of this level and above it.
    pub(super) fn hear(level: tracing::Level) -> Self {
        let sink = Sink::default();
        let copy = sink.clone();
        let lines = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(move || copy.clone());
        Self { sink, _guard: tracing::subscriber::set_default(lines.finish()) }
    }

    /// All of it so far.
    pub(super) fn heard(&self) -> String {
        String::from_utf8(self.sink.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
