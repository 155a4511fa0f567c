//! The listeners.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, Server};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::connections::{Door, TooMany};
use super::handshake;
use super::state::State;
use super::tls::Tls;
use super::{Face, router, starting};
use crate::telemetry::Metrics;

/// Why the sidecar cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be bound.
    #[error("{setting}: cannot listen on {address}: {source}; choose another address, or stop what listens there")]
    Bind {
        /// Where the address was asked for.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server ended by itself.
    #[error("the sidecar's server ended: {0}")]
    Ended(String),
}

/// Where and how the sidecar listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Where metrics and administration answer, if that is elsewhere.
    pub admin: Option<SocketAddr>,
    /// Certificates; without them it speaks plain HTTP.
    pub tls: Option<Tls>,
    /// Connections at one time, on each address; one more is closed.
    pub connections: usize,
    /// How many of them one client's address may have, where there is no proxy between.
    pub connections_per_address: usize,
    /// How long the head of a request, and a handshake before it, may take to arrive.
    pub header: Duration,
    /// How long a connection may take nothing of its answer.
    pub write: Duration,
    /// How long requests under way may go on after a stop was asked for.
    pub drain: Duration,
}

impl Listen {
    /// Plain HTTP there, for everything.
    pub fn on(address: SocketAddr) -> Self {
        Self {
            address,
            admin: None,
            tls: None,
            connections: 2_000,
            connections_per_address: 200,
            header: Duration::from_secs(5),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// A running sidecar.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    listeners: Vec<Listener>,
}

/// An address that it listens on.
#[derive(Debug)]
struct Listener {
    face: Face,
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
    /// Every route, once the process has started. All requests share it: making one costs more than most answers do.
    whole: Arc<OnceLock<Router>>,
}

impl Serving {
    /// Where it listens: the port that the system chose where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and administration answer.
    pub fn admin_address(&self) -> SocketAddr {
        self.listeners.last().map_or(self.address, |listener| listener.address)
    }

    /// Everything is there: from now on all routes answer.
    pub fn open(&self, state: &State) {
        for Listener { face, whole, .. } in &self.listeners {
            whole.get_or_init(|| router(*face, state.clone()));
        }
    }

    /// Waits until it has ended: after `shutdown` was cancelled and the requests under way were answered.
    pub async fn ended(self) -> Result<(), Error> {
        for listener in self.listeners {
            match listener.task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(Error::Ended(error.to_string())),
                Err(error) => return Err(Error::Ended(error.to_string())),
            }
        }
        Ok(())
    }
}

/// Serves the sidecar until `shutdown` is cancelled, then answers what is under way and ends. Until it is
/// [opened](Serving::open) only the routes that need no key answer.
pub fn serve(listen: &Listen, state: &State, shutdown: &CancellationToken) -> Result<Serving, Error> {
    let faces = match listen.admin {
        None => vec![(Face::Whole, "sidecar.listen", listen.address)],
        Some(admin) => {
            vec![(Face::Public, "sidecar.listen", listen.address), (Face::Admin, "sidecar.admin_listen", admin)]
        }
    };
    let mut listeners = Vec::with_capacity(faces.len());
    for (face, setting, address) in faces {
        let whole = Arc::new(OnceLock::new());
        let service = service(starting(face, state.clone()), Arc::clone(&whole));
        // Behind a proxy all connections are the proxy's: there is nobody to tell apart.
        let proxied = face.proxies(state) > 0;
        let of_one_address = if proxied { listen.connections } else { listen.connections_per_address };
        let door = Door::new(listen.connections, of_one_address, listen.write, Arc::clone(&state.metrics));
        let started = start(listen, address, (door, service), shutdown.clone());
        let (address, task) = started.map_err(|source| Error::Bind { setting, address, source })?;
        listeners.push(Listener { face, address, task, whole });
    }
    let address = listeners.first().map_or(listen.address, |listener| listener.address);
    Ok(Serving { address, listeners })
}

fn start(
    listen: &Listen,
    address: SocketAddr,
    (door, service): (Door, Router),
    shutdown: CancellationToken,
) -> std::io::Result<(SocketAddr, JoinHandle<std::io::Result<()>>)> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    let handle = Handle::new();
    let server = server(listen, listener, handle.clone(), door.metrics())?;
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    let task = match &listen.tls {
        None => tokio::spawn(server.acceptor(door).serve(service)),
        Some(tls) => {
            let acceptor = RustlsAcceptor::new(tls.config()).handshake_timeout(listen.header).acceptor(door);
            tokio::spawn(server.acceptor(acceptor).serve(service))
        }
    };
    tokio::spawn(stop(handle, shutdown, listen.drain));
    Ok((address, task))
}

fn server(
    listen: &Listen,
    listener: TcpListener,
    handle: Handle<SocketAddr>,
    metrics: Arc<Metrics>,
) -> std::io::Result<Server<SocketAddr>> {
    let tls = listen.tls.is_some();
    let mut server = axum_server::from_tcp(listener)?
        .http1_only()
        .handle(handle)
        .first_request_timeout(listen.header)
        .accept_error_handler(move |peer, error| match peer {
            Some(peer) if tls && !is_one_too_many(error) => handshake::failed(peer.ip(), error, &metrics),
            _ => tracing::debug!(?peer, %error, "connection refused"),
        });
    // Without a limit a caller that sends one byte of its head now and then holds a connection for ever.
    server.http_builder().http1().header_read_timeout(listen.header).max_headers(128).max_buf_size(64 << 10);
    Ok(server)
}

fn is_one_too_many(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<TooMany>())
}

/// Hands each request to the whole service, or to what there is while there is no whole one.
fn service(starting: Router, whole: Arc<OnceLock<Router>>) -> Router {
    Router::new().fallback(move |request: Request| whole.get().unwrap_or(&starting).clone().oneshot(request))
}

async fn stop(handle: Handle<SocketAddr>, shutdown: CancellationToken, drain: Duration) {
    shutdown.cancelled().await;
    handle.graceful_shutdown(Some(drain));
}
