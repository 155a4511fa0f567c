//! The listener.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum_server::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::state::State;

/// Why the sidecar cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be bound.
    #[error("sidecar.listen: cannot listen on {address}: {source}; choose another address, or stop what listens there")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server ended by itself.
    #[error("the sidecar's server ended: {0}")]
    Ended(String),
}

/// A running sidecar.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
    whole: Arc<OnceLock<Router>>,
}

impl Serving {
    /// Where it listens: the port that the system chose where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything is there: from now on all routes answer.
    pub fn open(&self, state: State) {
        self.whole.get_or_init(|| super::router(state));
    }

    /// Waits until it has ended: after `shutdown` was cancelled and the requests under way were answered.
    pub async fn ended(self) -> Result<(), Error> {
        match self.task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::Ended(error.to_string())),
            Err(error) => Err(Error::Ended(error.to_string())),
        }
    }
}

/// Serves the sidecar on `listen` until `shutdown` is cancelled, then answers what is under way and ends. Until it is
/// [opened](Serving::open) only the routes that need no key answer. Plain HTTP: bind it to loopback, or put something that
/// speaks TLS before it.
pub fn serve(listen: SocketAddr, state: State, shutdown: CancellationToken) -> Result<Serving, Error> {
    let failed = |source| Error::Bind { address: listen, source };
    let listener = TcpListener::bind(listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let limits = state.limits;
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(listener)
        .map_err(failed)?
        .http1_only()
        .handle(handle.clone())
        .first_request_timeout(limits.header + limits.request);
    // Without a limit a caller that sends one byte of its head now and then holds a connection for ever.
    server.http_builder().http1().header_read_timeout(limits.header).max_headers(64).max_buf_size(64 << 10);
    let whole = Arc::new(OnceLock::new());
    let service =
        service(super::starting(state), Arc::clone(&whole)).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(stop(handle, shutdown, limits.drain));
    let task = tokio::spawn(server.serve(service));
    Ok(Serving { address, task, whole })
}

/// Hands each request to the whole service, or to `starting` as long as there is no whole one.
fn service(starting: Router, whole: Arc<OnceLock<Router>>) -> Router {
    Router::new().fallback(move |request: Request| {
        let router = whole.get().unwrap_or(&starting).clone();
        async move { router.oneshot(request).await }
    })
}

async fn stop(handle: Handle<SocketAddr>, shutdown: CancellationToken, drain: Duration) {
    shutdown.cancelled().await;
    handle.graceful_shutdown(Some(drain));
}
