//! Administration of keys.
//!
//! An admin cannot lock itself out by a slip: a key does not revoke itself, and when it rotates itself it stays good for a
//! minute at least, so that an answer that got lost is no lost key.

mod shape;

use axum::Json;
use axum::extract::{Path, Request, State as Extract};
use axum::http::header::LOCATION;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use self::shape::{ApiKey, ApiKeys, CreatedApiKey, KeyRevocation, KeyRotation, NewApiKey};
use super::audited;
use super::auth::Allowed;
use super::body::{Fields, moment, text, whole};
use super::parameters::Parameters;
use super::problem::{Code, Problem};
use super::reads::{DEFAULT_PAGE, limit};
use super::shapes::KeyId;
use super::state::State;
use crate::access::request::{self, MAX_NETWORKS};
use crate::access::{Acting, Admin, Created, Error, Identity, Listed, NewKey, Rate, Role, Rotation, now_ms};
use crate::audit::{Actor, Audit, Caller};
use crate::core::Millis;

/// The shortest grace of a key that rotates itself, in milliseconds.
const LEAST_OWN_GRACE: Millis = 60_000;

/// Every key, oldest first, page by page; those that open nothing any longer too.
#[utoipa::path(get, path = "/v1/keys", operation_id = "listKeys", tag = "keys",
    params(
        ("limit" = Option<u32>, Query, description = "Keys on the page; 100 where not given", minimum = 1, maximum = 1000),
        ("cursor" = Option<KeyId>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page of the keys", body = ApiKeys)))]
pub(super) async fn list(_: Allowed, Extract(state): Extract<State>, uri: Uri) -> Result<Json<ApiKeys>, Problem> {
    let mut keys = admin(&state)?.list(now_ms());
    let mut parameters = Parameters::of(&uri);
    let limit = parameters.optional("limit", limit).unwrap_or(DEFAULT_PAGE);
    let place = |id: &str| keys.iter().position(|key| key.id == id).ok_or_else(|| "no cursor of ours".to_owned());
    let start = parameters.optional("cursor", place).map_or(0, |place| place + 1);
    parameters.finish()?;
    let mut page = keys.split_off(start);
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|key| key.id.clone());
    Ok(Json(ApiKeys { keys: page.into_iter().map(ApiKey::from).collect(), next }))
}

/// One key.
#[utoipa::path(get, path = "/v1/keys/{key_id}", operation_id = "getKey", tag = "keys",
    params(("key_id" = KeyId, Path, description = "Which key")),
    responses((status = 200, description = "The key, without its secret", body = ApiKey)))]
pub(super) async fn show(
    _: Allowed,
    Extract(state): Extract<State>,
    Path(key_id): Path<String>,
    uri: Uri,
) -> Result<Json<ApiKey>, Problem> {
    of_key(&key_id, &uri).finish()?;
    Ok(Json(admin(&state)?.get(&key_id, now_ms())?.into()))
}

/// Makes a key. Its secret is in the answer, this once. It is durable when this answers, and opens within a second on every
/// instance.
#[utoipa::path(post, path = "/v1/keys", operation_id = "createKey", tag = "keys",
    request_body(content = NewApiKey, content_type = "application/json"),
    responses((status = 201, description = "The key, secret included", body = CreatedApiKey,
        headers(("Location" = String, description = "Where the key is from now on")))))]
pub(super) async fn create(
    Allowed { who, .. }: Allowed,
    Extract(state): Extract<State>,
    request: Request,
) -> Result<Response, Problem> {
    let desk = Desk::of(&state, &who, &request)?;
    let parameters = Parameters::of(request.uri());
    let new = new_key(Fields::of(&state, parameters, request).await?)?;
    made(desk.change(move |acting, now| seen(acting, acting.create(new, now)?, now)).await?)
}

/// Makes a successor of a key: same role, note, limits and networks, an id and a secret of its own. The old key stays good
/// until the grace is over.
#[utoipa::path(post, path = "/v1/keys/{key_id}/rotate", operation_id = "rotateKey", tag = "keys",
    params(("key_id" = KeyId, Path, description = "Which key")),
    request_body(content = Option<KeyRotation>, content_type = "application/json"),
    responses((status = 201, description = "The successor, secret included", body = CreatedApiKey,
        headers(("Location" = String, description = "Where the successor is from now on")))))]
pub(super) async fn rotate(
    Allowed { who, .. }: Allowed,
    Extract(state): Extract<State>,
    Path(key_id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let desk = Desk::of(&state, &who, &request)?;
    let parameters = of_key(&key_id, request.uri());
    let own = who.key_id == key_id;
    let rotation = rotation(Fields::of(&state, parameters, request).await?, own)?;
    made(desk.change(move |acting, now| seen(acting, acting.rotate(&key_id, rotation, now)?, now)).await?)
}

/// Revokes a key, for ever. It opens nothing within a second on every instance. A key does not revoke itself.
#[utoipa::path(post, path = "/v1/keys/{key_id}/revoke", operation_id = "revokeKey", tag = "keys",
    params(("key_id" = KeyId, Path, description = "Which key")),
    request_body(content = Option<KeyRevocation>, content_type = "application/json"),
    responses((status = 200, description = "The key, revoked", body = ApiKey)))]
pub(super) async fn revoke(
    Allowed { who, .. }: Allowed,
    Extract(state): Extract<State>,
    Path(key_id): Path<String>,
    request: Request,
) -> Result<Json<ApiKey>, Problem> {
    let desk = Desk::of(&state, &who, &request)?;
    let parameters = of_key(&key_id, request.uri());
    Fields::of(&state, parameters, request).await?.finish()?;
    if who.key_id == key_id {
        let way_out =
            "a key does not revoke itself: revoke it with another admin key or `tributary keys revoke`, or rotate it";
        return Err(Problem::new(Code::Conflict, way_out));
    }
    let revoked = desk.change(move |acting, now| {
        acting.revoke(&key_id)?;
        acting.keys().get(&key_id, now)
    });
    Ok(Json(revoked.await?.into()))
}

/// The administration of keys: there before any of these routes answers.
fn admin(state: &State) -> Result<Admin, Problem> {
    state.admin.clone().ok_or_else(|| Problem::of(Code::Starting))
}

fn of_key(key_id: &str, uri: &Uri) -> Parameters {
    let mut parameters = Parameters::of(uri);
    parameters.path_id("key_id", key_id);
    parameters
}

/// Where keys are changed, in the name of who asks: on a thread that may block, and answered when it is durable.
struct Desk {
    state: State,
    admin: Admin,
    audit: Audit,
    caller: Caller,
}

impl Desk {
    fn of(state: &State, who: &Identity, request: &Request) -> Result<Self, Problem> {
        let caller = audited::caller(request.extensions(), Actor::Key(who.key_id.clone()));
        Ok(Self { state: state.clone(), admin: admin(state)?, audit: state.audit.clone(), caller })
    }

    async fn change<T: Send + 'static>(
        self,
        change: impl FnOnce(&Acting<'_>, Millis) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let Self { state, admin, audit, caller } = self;
        Ok(state.write(move || change(&admin.acting(&audit, caller), now_ms())).await??)
    }
}

/// What was made, and as it stands.
fn seen(acting: &Acting<'_>, created: Created, now: Millis) -> Result<(Created, Listed), Error> {
    let stands = acting.keys().get(&created.id, now)?;
    Ok((created, stands))
}

/// The answer with a secret.
fn made((created, stands): (Created, Listed)) -> Result<Response, Problem> {
    let location = [(LOCATION, format!("/v1/keys/{}", created.id))];
    let body = CreatedApiKey { key: created.key, details: stands.into() };
    Ok((StatusCode::CREATED, location, Json(body)).into_response())
}

fn new_key(mut fields: Fields) -> Result<NewKey, Problem> {
    let role = fields.required("role", |value| text(value)?.parse::<Role>().map_err(|e| e.to_string()));
    let note = fields.optional("note", |value| {
        let note = text(value)?;
        request::note(note).map(|()| note.to_owned())
    });
    let expires_at = fields.optional("expires_at", expiry);
    let requests = |value: &Value| whole(value).and_then(request::requests);
    let limited = fields.has("requests_per_second");
    let (per_second, burst) = (fields.optional("requests_per_second", requests), fields.optional("burst", requests));
    if burst.is_some() && !limited {
        fields.fault("burst", "needs requests_per_second");
    }
    let networks = fields.list("networks", MAX_NETWORKS, request::network);
    fields.finish()?;
    let role = role.ok_or_else(|| Problem::of(Code::InvalidBody))?; // `finish` has refused it already
    let rate = per_second.map(|per_second| Rate { per_second, burst: burst.unwrap_or(per_second) });
    Ok(NewKey { role, note: note.unwrap_or_default(), expires_at, rate, networks })
}

fn rotation(mut fields: Fields, own: bool) -> Result<Rotation, Problem> {
    let default = Rotation::default();
    let grace_ms = fields.optional("grace_seconds", |value| {
        let millis = whole(value)?.saturating_mul(1_000).try_into().unwrap_or(Millis::MAX);
        request::grace(millis)?;
        let short = own && millis < LEAST_OWN_GRACE;
        if short { Err("at least 60 where a key rotates itself".into()) } else { Ok(millis) }
    });
    let expires_at = fields.optional("expires_at", expiry);
    fields.finish()?;
    Ok(Rotation { grace_ms: grace_ms.unwrap_or(default.grace_ms), expires_at })
}

fn expiry(value: &Value) -> Result<Millis, String> {
    let at = moment(value)?;
    request::expires_at(at, now_ms()).map(|()| at)
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NoKey(_) => Self::of(Code::NotFound),
            Error::Conflict(why) => Self::new(Code::Conflict, why),
            Error::Asked(why) => Self::new(Code::InvalidBody, why),
            Error::Unaudited(why) => why.into(),
            Error::Control(why) => {
                tracing::warn!(why, "a key cannot be changed just now");
                Self::of(Code::LogUnavailable)
            }
            other => {
                tracing::error!(error = %other, "a key cannot be changed");
                Self::of(Code::Internal)
            }
        }
    }
}
