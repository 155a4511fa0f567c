//! Who asks, and whether the route's scope is open to them. A handler's first argument is an [`Allowed`], so that nothing
//! of a request is read before this.

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::problem::{Code, Problem};
use super::state::State;
use super::{client, table};
use crate::access::{Denied, Identity, Scope, now_ms};

/// Proof that the bearer of a key may do this, and who that is.
pub(super) struct Allowed(pub(super) Identity);

impl FromRequestParts<State> for Allowed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let from = client::address(&parts.extensions);
        let known = |token| state.keys.authenticate(token, from, now_ms());
        let who = bearer(parts).and_then(known).map_err(unauthenticated)?;
        let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        match table::scope_of(parts.method.as_str(), path) {
            Some(scope) if who.role.opens(scope) => Ok(Self(who)),
            Some(scope) => Err(forbidden(&who, scope)),
            None => {
                tracing::error!(path, "the route is not in the table of routes: it is open to nobody");
                Err(Problem::of(Code::Forbidden))
            }
        }
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
