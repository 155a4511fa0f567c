//! Who asks, and whether the route's scope is open to them. [`identify`] stands before every route that needs a key; a
//! handler's first argument is an [`Allowed`], so that nothing of a request is read before both.

use std::marker::PhantomData;
use std::net::IpAddr;

use axum::extract::{FromRequestParts, Request, State as Extract};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::limits::{self, Throttle};
use super::problem::{Code, Problem};
use super::state::State;
use crate::access::{Denied, Identity, Scope};

/// What a route asks for, as a type.
pub(super) trait Need: Send + Sync + 'static {
    /// The scope.
    const SCOPE: Scope;
}

/// Reading reports.
pub(super) struct Reports;
/// Reading journeys and conversions.
pub(super) struct Journeys;
/// Writing events.
pub(super) struct WriteEvents;

impl Need for Reports {
    const SCOPE: Scope = Scope::Reports;
}

impl Need for Journeys {
    const SCOPE: Scope = Scope::Journeys;
}

impl Need for WriteEvents {
    const SCOPE: Scope = Scope::WriteEvents;
}

/// Proof that the bearer of a key may do this.
pub(super) struct Allowed<N: Need>(PhantomData<N>);

impl<N: Need> FromRequestParts<State> for Allowed<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &State) -> Result<Self, Problem> {
        let Some(who) = parts.extensions.get::<Identity>() else {
            return Err(Problem::of(Code::Internal)); // a route without `identify` before it
        };
        if who.role.opens(N::SCOPE) {
            return Ok(Self(PhantomData));
        }
        Err(forbidden(who, N::SCOPE))
    }
}

/// Finds out who asks, and takes one from the bucket of the key; of bad keys, from the bucket of the address.
pub(super) async fn identify(Extract(state): Extract<State>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let client = limits::client(&parts, state.trusted_proxies);
    let throttle = &state.bounds().throttle;
    let who = match bearer(&parts).and_then(|token| state.keys.authenticate(token)) {
        Ok(who) => who,
        Err(denied) => return refuse(throttle, client, denied).into_response(),
    };
    match throttle.key(&who.key_id, None) {
        Ok(allowance) => {
            parts.extensions.insert(who);
            let mut response = next.run(Request::from_parts(parts, body)).await;
            allowance.tell(response.headers_mut());
            response
        }
        Err((allowance, too_many)) => {
            tracing::debug!(key = who.key_id, "too many requests of a key");
            let mut response = too_many.problem("too many requests of this key").into_response();
            allowance.tell(response.headers_mut());
            response
        }
    }
}

fn refuse(throttle: &Throttle, client: Option<IpAddr>, denied: Denied) -> Problem {
    match client.map(|client| throttle.bad_key(client)) {
        Some(Err(too_many)) => too_many.problem("too many bad keys from this address"),
        _ => unauthenticated(denied),
    }
}

/// The token of `Authorization: Bearer …`; the scheme in any case (RFC 9110).
fn bearer(parts: &Parts) -> Result<&str, Denied> {
    let value = parts.headers.get(AUTHORIZATION).ok_or(Denied::Missing)?;
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Denied::Missing),
    }
}

/// One answer for all that is wrong with a key: only our log is told what it was.
fn unauthenticated(denied: Denied) -> Problem {
    tracing::debug!(%denied, "request without a valid key");
    Problem::new(Code::Unauthenticated, "send a valid key as `Authorization: Bearer trb_live_…`")
}

fn forbidden(who: &Identity, scope: Scope) -> Problem {
    tracing::debug!(key = who.key_id, role = %who.role, scope = scope.name(), "request beyond the key's role");
    let detail = format!("the role {} does not open the scope {}", who.role, scope.name());
    Problem::new(Code::Forbidden, detail)
}
