//! What the audit log is told of requests: what was decided, and what is written through the API.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::http::request::Parts;
use axum::http::{Extensions, Method};

use super::problem::{Code, Problem};
use super::state::{Appended, Ingest, IngestError, NewEvent, State};
use crate::access::{Denied, Identity, Scope};
use crate::audit::{Action, Actor, Audit, Caller, Draft, Outcome, Unavailable};
use crate::topics::Input;

/// The request's id, in its extensions.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::new(Code::AuditUnavailable, error.to_string())
    }
}

/// Who sent this request, as the audit log names them.
pub(super) fn caller(extensions: &Extensions, actor: Actor) -> Caller {
    let client = extensions.get::<Client>().map(|client| client.0);
    Caller { actor, client, request_id: request_id(extensions).to_owned() }
}

/// Where the request comes from, in its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) IpAddr);

/// What is asked for: the method and the template of the route, never the path, which may name a user.
fn object(method: &Method, extensions: &Extensions) -> String {
    format!("{method} {}", extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str))
}

/// The request's id.
pub(super) fn request_id(extensions: &Extensions) -> &str {
    extensions.get::<RequestId>().map_or("", |id| &id.0)
}

/// Nobody: there is no key, or a bad one. Only this log is told what it was, and whose id a whole key bears; where its secret
/// is right, that is who asks.
pub(super) fn unauthenticated(
    audit: &Audit,
    parts: &Parts,
    id: Option<&str>,
    denied: Denied,
) -> Result<(), Unavailable> {
    let object = object(&parts.method, &parts.extensions);
    let draft = |actor, reason| {
        let caller = caller(&parts.extensions, actor);
        Draft::new(caller, Action::Authenticate, object, Outcome::Denied).because(reason)
    };
    match id {
        Some(id) if denied.is_proven() => {
            audit.decision_of_shut_key(draft(Actor::Key(id.to_owned()), denied.to_string()))
        }
        Some(id) => audit.decision_of_stranger(draft(Actor::Anonymous, format!("{denied}: key {id}"))),
        None => audit.decision_of_stranger(draft(Actor::Anonymous, denied.to_string())),
    }
}

/// Somebody, and whether the route's scope is open to them. Reads that name what is the key's own business are sampled;
/// of a write there are entries of its own.
pub(super) async fn authorized(
    audit: &Audit,
    parts: &Parts,
    who: &Identity,
    scope: Scope,
    allowed: bool,
) -> Result<(), Unavailable> {
    let draft = || {
        let caller = caller(&parts.extensions, Actor::Key(who.key_id.clone()));
        let outcome = if allowed { Outcome::Allowed } else { Outcome::Denied };
        let draft = Draft::new(caller, Action::Authorize, object(&parts.method, &parts.extensions), outcome);
        draft.because(format!("role {}, scope {}", who.role, scope.name()))
    };
    match scope {
        Scope::WriteEvents if allowed => Ok(()),
        Scope::Reports | Scope::Journeys if allowed => audit.allowed_read(draft).await,
        _ => audit.decision(draft()).await,
    }
}

/// The log as a request writes it: told before, and after.
pub(super) struct Audited {
    ingest: Arc<dyn Ingest>,
    audit: Audit,
    caller: Caller,
}

impl Audited {
    /// Writes for the caller of this request.
    pub(super) fn new(ingest: Arc<dyn Ingest>, state: &State, extensions: &Extensions) -> Self {
        let actor = extensions.get::<Identity>().map_or(Actor::Anonymous, |who| Actor::Key(who.key_id.clone()));
        Self { ingest, audit: state.audit.clone(), caller: caller(extensions, actor) }
    }
}

impl Ingest for Audited {
    fn append(&self, input: Input, events: &[NewEvent<'_>], logged_at: i64) -> Result<Vec<Appended>, IngestError> {
        let draft = Draft::new(self.caller.clone(), Action::Ingest, input.name(), Outcome::Allowed);
        let draft = Draft { count: Some(events.len() as u64), ..draft };
        let refused = |error: Unavailable| IngestError::Unaudited(error.to_string());
        self.audit.change(draft, refused, || self.ingest.append(input, events, logged_at))
    }
}
