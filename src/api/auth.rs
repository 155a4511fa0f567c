//! Who asks, and whether the route's scope is open to them. [`identify`] stands before every route that needs a key; a
//! handler's first argument is an [`Allowed`], so that nothing of a request is read before both.

use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request, State as Extract};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::audited::{self, Client};
use super::layers::{self, Deadline};
use super::limits::{self, Allowance, Origin, Rate, Seat, TooMany};
use super::problem::{Code, Problem};
use super::state::State;
use super::table;
use crate::access::token::Token;
use crate::access::{Denied, Identity, Scope, now_ms};

/// Proof that the bearer of a key may do this, who that is, and until when they wait.
pub(super) struct Allowed {
    pub(super) who: Identity,
    pub(super) until: Instant,
}

impl FromRequestParts<State> for Allowed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let extensions = &parts.extensions;
        let (Some(&scope), Some(who), Some(&Deadline(until))) =
            (extensions.get::<Scope>(), extensions.get::<Identity>(), extensions.get::<Deadline>())
        else {
            tracing::error!("the route is not in the table of routes: it is open to nobody");
            return Err(Problem::of(Code::Forbidden));
        };
        let allowed = who.role.opens(scope);
        audited::authorized(&state.audit, parts, who, scope, allowed).await?;
        if allowed { Ok(Self { who: who.clone(), until }) } else { Err(forbidden(parts, who, scope)) }
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
        // No such method, which needs no key to be told.
        let turn = stray(&state, &parts, hops);
        return astray(turn, next.run(Request::from_parts(parts, body))).await;
    };
    parts.extensions.insert(scope); // for `Allowed`
    let origin = limits::origin(&parts, hops);
    if let Some(origin) = origin {
        parts.extensions.insert(Client(origin.counted));
    }
    let who = match who(&state, &parts, origin) {
        Ok(who) => who,
        Err(denied) => return refuse(&state, &parts, origin, denied).into_response(),
    };
    match turn_of(&state, &who) {
        Ok((allowance, _seat)) => {
            parts.extensions.insert(who);
            let mut response = layers::bound(&state, Request::from_parts(parts, body), next).await;
            allowance.tell(response.headers_mut());
            response
        }
        Err((allowance, too_many)) => {
            tracing::debug!(key = who.key_id, request_id = id_of(&parts), "too many requests of a key");
            let mut response = too_many.problem("too many requests of this key").into_response();
            allowance.tell(response.headers_mut());
            response
        }
    }
}

/// Who asks, by the key they show.
fn who(state: &State, parts: &Parts, origin: Option<Origin>) -> Result<Identity, Denied> {
    state.keys.authenticate(bearer(parts)?, origin.and_then(|origin| origin.proven), now_ms())
}

/// A turn of a valid key, and one of its places: no key takes more than half of all, however slowly it asks.
fn turn_of(state: &State, who: &Identity) -> Result<(Allowance, Seat), (Allowance, TooMany)> {
    let own = who.rate.map(|rate| Rate::per_second(rate.per_second.get(), rate.burst.get()));
    let bounds = state.bounds();
    bounds.throttle.key(&who.key_id, own, bounds.limits.concurrency.div_ceil(2).max(1))
}

/// Turns somebody without a good key away, without waiting for anything. Beyond their limits they are not worth an entry of
/// the audit log each, which they could fill: the first ones say enough.
fn refuse(state: &State, parts: &Parts, origin: Option<Origin>, denied: Denied) -> Problem {
    let id = shown(parts);
    let (key, request_id) = (id.unwrap_or_default(), id_of(parts));
    let throttle = &state.bounds().throttle;
    let turn = match id {
        Some(id) if denied.is_proven() => throttle.shut_key(id),
        _ => throttle.stranger(origin.map(|origin| origin.counted)),
    };
    if let Err(too_many) = turn {
        tracing::debug!(%denied, key, request_id, "too many requests without a valid key");
        return too_many.problem("too many requests without a valid key");
    }
    tracing::debug!(%denied, key, request_id, "request without a valid key");
    match audited::unauthenticated(&state.audit, parts, id, denied) {
        // One answer for all that is wrong with a key: only our logs are told what it was.
        Ok(()) => Problem::new(Code::Unauthenticated, "send a valid key as `Authorization: Bearer trb_live_…`"),
        Err(unaudited) => unaudited.into(),
    }
}

/// A turn of whoever asks for what is not there, which nobody does without end; and of a good key what is left to it. A key
/// that opens nothing is a stranger here: it leaves no entry in the audit log, so it must not use up the turns that do.
fn stray(state: &State, parts: &Parts, hops: usize) -> (Option<Allowance>, Result<(), TooMany>) {
    let origin = limits::origin(parts, hops);
    match who(state, parts, origin) {
        Ok(who) => match turn_of(state, &who) {
            Ok((allowance, _seat)) => (Some(allowance), Ok(())),
            Err((allowance, too_many)) => (Some(allowance), Err(too_many)),
        },
        Err(_) => (None, state.bounds().throttle.stranger(origin.map(|origin| origin.counted))),
    }
}

/// This answer, to whoever has a turn.
async fn astray(
    (allowance, turn): (Option<Allowance>, Result<(), TooMany>),
    answer: impl Future<Output = Response>,
) -> Response {
    let mut response = match turn {
        Ok(()) => answer.await,
        Err(too_many) => too_many.problem("too many requests for what is not there").into_response(),
    };
    if let Some(allowance) = allowance {
        allowance.tell(response.headers_mut());
    }
    response
}

/// The answer where no route matches, behind so many proxies.
pub(super) async fn no_route(state: State, hops: usize, request: Request) -> Response {
    nothing_there(&state, hops, request, Code::RouteNotFound).await
}

/// The answer of an open route that knows no such method.
pub(super) async fn no_method(state: State, hops: usize, request: Request) -> Response {
    nothing_there(&state, hops, request, Code::MethodNotAllowed).await
}

async fn nothing_there(state: &State, hops: usize, request: Request, code: Code) -> Response {
    let turn = stray(state, &request.into_parts().0, hops);
    astray(turn, async { Problem::of(code).into_response() }).await
}

/// The request's id.
fn id_of(parts: &Parts) -> &str {
    audited::request_id(&parts.extensions)
}

/// The public id of the key that is shown, where it is a whole one.
fn shown(parts: &Parts) -> Option<&str> {
    Some(Token::parse(bearer(parts).ok()?).ok()?.id)
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

fn forbidden(parts: &Parts, who: &Identity, scope: Scope) -> Problem {
    let (key, request_id) = (&who.key_id, id_of(parts));
    tracing::debug!(key, role = %who.role, scope = scope.name(), request_id, "request beyond the key's role");
    let detail = format!("the role {} does not open the scope {}", who.role, scope.name());
    Problem::new(Code::Forbidden, detail)
}
