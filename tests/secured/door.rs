//! The door before the schema registry: TLS, and only who brings the right password or token comes through. The registry
//! behind it is the real one, which by itself asks nobody.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::runtime::Runtime;

use crate::certificates::Authority;
use crate::secrets::random;
use crate::servers::Registry;

/// The user of basic authentication.
pub const USER: &str = "registry-user";

/// A registry behind a door.
pub struct Door {
    pub url: String,
    pub password: String,
    pub token: String,
    _runtime: Runtime,
    _registry: Registry,
}

struct Keeper {
    /// Where the registry listens, without a path.
    registry: String,
    /// Values of the header that open.
    opens: [String; 2],
    http: reqwest::Client,
}

impl Door {
    pub fn open(authority: &Authority) -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let registry = Registry::start();
        let (password, token) = (random(), random());
        let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{password}")));
        let (scheme, rest) = registry.url.split_once("://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let keeper = Keeper {
            registry: format!("{scheme}://{host}"),
            opens: [basic, format!("Bearer {token}")],
            http: reqwest::Client::new(),
        };
        let router = Router::new().fallback(pass).with_state(Arc::new(keeper));
        let identity = authority.issue("registry");
        let runtime = Runtime::new().unwrap();
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://{}/{path}", listener.local_addr().unwrap());
        runtime.spawn(async move {
            let tls = RustlsConfig::from_pem(identity.certificate.into(), identity.key.into()).await.unwrap();
            let server = axum_server::from_tcp_rustls(listener, tls).unwrap();
            server.serve(router.into_make_service()).await.unwrap();
        });
        Self { url, password, token, _runtime: runtime, _registry: registry }
    }
}

async fn pass(
    State(keeper): State<Arc<Keeper>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !keeper.opens.iter().any(|opens| opens == shown) {
        return (StatusCode::UNAUTHORIZED, r#"{"error_code":401,"message":"Unauthorized"}"#).into_response();
    }
    let mut request = keeper.http.request(method, format!("{}{uri}", keeper.registry)).body(body);
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    let answer = request.send().await.unwrap();
    let (status, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
    let mut response = (status, Body::from(answer.bytes().await.unwrap())).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}
