//! The sidecar: axum in the same process as the engine, on its own port.
//!
//! | file | holds |
//! | --- | --- |
//! | `problem` | every error as RFC 9457 problem+json with a stable code |
//! | `layers` | what wraps every route: request ids, metrics, headers, panics, time and room |
//! | `auth` | who asks, and whether the route's scope is open to them |
//! | `audited` | what the audit log is told of both, and of writes |
//! | `parameters` | queries, read strictly: all mistakes in one answer |
//! | `fresh` | answers that say how fresh they are |
//! | `probes` | `/livez`, `/readyz`, `/startupz`, `/metrics` |
//! | `reads` | journeys and conversions |
//! | `reports` | sums by channel, campaign, day or kind |
//! | `events`, `writes` | events in, on the embedded log |
//! | `openapi` | the document, generated from all of these |
//! | `serve` | the listener |
//!
//! A request goes through `layers::watch` (id, metrics, security headers, problems), a panic guard, then for `/v1` the
//! room and time limits, then its handler, whose first argument is always who asks.
//!
//! **Architecture invariant:** nothing here imports the engine (`stream`). What a handler needs is in [`State`].

mod audited;
mod auth;
mod events;
mod fresh;
mod layers;
mod openapi;
mod parameters;
mod probes;
mod problem;
mod reads;
mod reports;
mod serve;
mod state;
#[cfg(test)]
mod tests;
mod writes;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::any;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use openapi::document;
pub use problem::{Code, FieldError, Problem, Rendered};
pub use serve::{Error, Serving, serve};
pub use state::{Appended, Ingest, IngestError, Limits, NewEvent, Parts, State};

/// Routes that need a key.
fn versioned() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(reads::journey))
        .routes(routes!(reads::attributions))
        .routes(routes!(reports::channels))
        .routes(routes!(writes::touchpoints))
        .routes(routes!(writes::conversions))
}

/// Routes for probes and scrapers, open to whoever reaches the port.
fn open() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(probes::livez))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::startupz))
        .routes(routes!(probes::metrics))
}

/// The whole service.
pub fn router(state: State) -> Router {
    let (versioned, _) = versioned().split_for_parts();
    watched(versioned.route_layer(from_fn_with_state(state.clone(), layers::bound)), state)
}

/// The service while the process starts: whoever needs a key is told so.
fn starting(state: State) -> Router {
    watched(Router::new().route("/v1/{*rest}", any(problem::starting)), state)
}

/// These routes and those open to everybody, with what wraps them all.
fn watched(routes: Router<State>, state: State) -> Router {
    let (open, _) = open().split_for_parts();
    open.merge(routes)
        .fallback(problem::no_route)
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn_with_state(state.clone(), layers::watch))
        .layer(from_fn(layers::harden))
        .with_state(state)
}
