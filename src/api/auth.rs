//! Who asks, and whether the route's scope is open to them. [`identify`] stands before every route that needs a key; a
//! handler's first argument is an [`Allowed`], so that nothing of a request is read before both.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, MatchedPath, Request, State as Extract};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::audited::{self, Client};
use super::layers;
use super::limits::{self, Rate};
use super::problem::{Code, Problem};
use super::state::State;
use super::table;
use crate::access::{Denied, Identity, Scope, now_ms};

/// Proof that the bearer of a key may do this, and who that is.
pub(super) struct Allowed(pub(super) Identity);

impl FromRequestParts<State> for Allowed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let (Some(&scope), Some(who)) = (parts.extensions.get::<Scope>(), parts.extensions.get::<Identity>()) else {
            tracing::error!("the route is not in the table of routes: it is open to nobody");
            return Err(Problem::of(Code::Forbidden));
        };
        let allowed = who.role.opens(scope);
        audited::authorized(&state.audit, parts, who, scope, allowed).await?;
        if allowed { Ok(Self(who.clone())) } else { Err(forbidden(who, scope)) }
    }
}

/// What the table of routes asks for.
fn scope_of(parts: &Parts) -> Option<Scope> {
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    table::scope_of(parts.method.as_str(), path)
}

/// Finds out who asks, before anything that they share: a stranger is turned away at once, and takes neither a place nor a
/// turn from those with a key. They take one from the bucket of their key, then go on to what bounds them all.
///
/// `hops` proxies of one's own stand before this listener.
pub(super) async fn identify(
    Extract((state, hops)): Extract<(State, usize)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(scope) = scope_of(&parts) else {
        return next.run(Request::from_parts(parts, body)).await; // no such method, which needs no key to be told
    };
    parts.extensions.insert(scope); // for `Allowed`
    let origin = limits::origin(&parts, hops);
    let counted = origin.map(|origin| origin.counted);
    if let Some(from) = counted {
        parts.extensions.insert(Client(from));
    }
    let token = bearer(&parts);
    let proven = origin.and_then(|origin| origin.proven);
    let who = match token.and_then(|token| state.keys.authenticate(token, proven, now_ms())) {
        Ok(who) => who,
        Err(denied) => return refuse(&state, &parts, (token.ok(), counted), denied).into_response(),
    };
    let own = who.rate.map(|rate| Rate::per_second(rate.per_second.get(), rate.burst.get()));
    let bounds = state.bounds();
    // No key takes more than half of the places, however slowly it asks.
    match bounds.throttle.key(&who.key_id, own, bounds.limits.concurrency.div_ceil(2).max(1)) {
        Ok((allowance, _seat)) => {
            parts.extensions.insert(who);
            let mut response = layers::bound(&state, Request::from_parts(parts, body), next).await;
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

/// Turns a stranger away, without waiting for anything. Beyond the limits of strangers it is not worth an entry of the audit
/// log each, which they could fill: the first ones say enough.
fn refuse(state: &State, parts: &Parts, (token, from): (Option<&str>, Option<IpAddr>), denied: Denied) -> Problem {
    if let Err(too_many) = state.bounds().throttle.stranger(from) {
        return too_many.problem("too many requests without a valid key");
    }
    match audited::unauthenticated(&state.audit, parts, token, denied) {
        Ok(()) => unauthenticated(denied),
        Err(unaudited) => unaudited.into(),
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
