//! Who asks, and whether the route's scope is open to them. A handler's first argument is an [`Allowed`], so that nothing
//! of a request is read before this.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::audited;
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

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let token = bearer(parts);
        let who = match token.and_then(|token| state.keys.authenticate(token)) {
            Ok(who) => who,
            Err(denied) => {
                audited::unauthenticated(&state.audit, parts, token.ok(), denied).await?;
                return Err(unauthenticated(denied));
            }
        };
        let allowed = who.role.opens(N::SCOPE);
        audited::authorized(&state.audit, parts, &who, N::SCOPE, allowed).await?;
        if !allowed {
            return Err(forbidden(&who, N::SCOPE));
        }
        parts.extensions.insert(who);
        Ok(Self(PhantomData))
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
