//! The sidecar: axum in the same process as the engine, on its own port.
//!
//! | file | holds |
//! | --- | --- |
//! | `problem` | every error as RFC 9457 problem+json with a stable code |
//! | `layers` | what wraps every route: request ids, metrics, headers, panics, time and room |
//! | `table` | the one table of who may do what |
//! | `auth` | who asks, and whether the route's scope is open to them |
//! | `audited` | what the audit log is told of both, and of writes |
//! | `parameters`, `body` | queries and bodies, read strictly: all mistakes in one answer |
//! | `fresh` | answers that say how fresh they are |
//! | `probes` | `/livez`, `/readyz`, `/startupz`, `/metrics` |
//! | `reads` | journeys and conversions |
//! | `reports` | sums by channel, campaign, day or kind |
//! | `events`, `packing`, `writes` | events in, on the embedded log |
//! | `status` | how the instance is, for whoever looks after it |
//! | `keys` | administration of keys |
//! | `openapi`, `shapes` | the document, generated from all of these; what texts can be, in it |
//! | `serve`, `connections`, `tls`, `handshake` | the listeners, what they let in, their certificates, and who fails at them |
//! | `limits` | how often may be asked |
//!
//! A request goes through `layers` (security headers; id, metrics and problems; cross-origin rules; the size of its head), a
//! panic guard, then for `/v1` `auth::identify`, which turns strangers away at once, the limits of its key, those of
//! everybody, then its handler, whose first argument is always who asks. What is not there takes a turn, too.
//!
//! **Architecture invariant:** nothing here imports the engine (`stream`). What a handler needs is in [`State`].

mod audited;
mod auth;
mod body;
mod connections;
mod events;
mod fresh;
mod handshake;
mod keys;
mod layers;
mod limits;
mod openapi;
mod packing;
mod parameters;
mod probes;
mod problem;
mod reads;
mod reports;
mod serve;
mod shapes;
mod state;
mod status;
mod table;
#[cfg(test)]
mod tests;
pub mod tls;
mod writes;

use axum::Router;
use axum::extract::State as Extract;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use limits::{Rate, Rates};
pub use openapi::document;
pub use problem::{Code, FieldError, Problem, Rendered};
pub use serve::{Error, Listen, Serving, serve};
pub use state::{Appended, Ingest, IngestError, Limits, NewEvent, Parts, State};

/// What answers on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Everything.
    Whole,
    /// Everything but metrics and administration.
    Public,
    /// Metrics and administration alone, and the probes.
    Admin,
}

impl Face {
    /// How many proxies of one's own stand before it. An address of its own for administration is reached directly.
    fn proxies(self, state: &State) -> usize {
        if self == Self::Admin { 0 } else { state.trusted_proxies }
    }
}

/// Routes that need a key.
fn versioned(face: Face) -> OpenApiRouter<State> {
    let mut routes = OpenApiRouter::new();
    if face != Face::Admin {
        routes = routes
            .routes(routes!(reads::journey))
            .routes(routes!(reads::attributions))
            .routes(routes!(reports::channels))
            .routes(routes!(writes::touchpoints))
            .routes(routes!(writes::conversions));
    }
    if face != Face::Public {
        routes = routes
            .routes(routes!(status::status))
            .routes(routes!(keys::list, keys::create))
            .routes(routes!(keys::show))
            .routes(routes!(keys::rotate))
            .routes(routes!(keys::revoke));
    }
    routes
}

/// Routes for probes and scrapers, open to whoever reaches the port.
fn open(face: Face) -> OpenApiRouter<State> {
    let routes = OpenApiRouter::new()
        .routes(routes!(probes::livez))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::startupz));
    if face == Face::Public { routes } else { routes.routes(routes!(probes::metrics)) }
}

/// The service of a listener.
pub fn router(face: Face, state: State) -> Router {
    let (versioned, _) = versioned(face).split_for_parts();
    let identified = from_fn_with_state((state.clone(), face.proxies(&state)), auth::identify);
    watched(face, versioned.route_layer(identified), state)
}

/// The service while the process starts: whoever needs a key is told so.
fn starting(face: Face, state: State) -> Router {
    watched(face, Router::new().route("/v1/{*rest}", any(problem::starting)), state)
}

/// These routes and those open to everybody, with what wraps them all.
fn watched(face: Face, routes: Router<State>, state: State) -> Router {
    let (open, _) = open(face).split_for_parts();
    let hops = face.proxies(&state);
    open.method_not_allowed_fallback(move |Extract(state), request| auth::no_method(state, hops, request))
        .merge(routes)
        .fallback(move |Extract(state), request| auth::no_route(state, hops, request))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn(layers::head))
        .layer(option_layer(layers::cross_origin(&state.cors_origins)))
        .layer(from_fn_with_state(state.clone(), layers::watch))
        .layer(from_fn(layers::harden))
        .with_state(state)
}
