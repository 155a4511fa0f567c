//! Answers that say how fresh they are.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::auth::Allowed;
use super::problem::{Code, Problem};
use super::state::State;
use crate::core::Millis;
use crate::query::{self, Answer, Reader};

/// Up to which log timestamp everything had been applied.
pub(super) const AS_OF: HeaderName = HeaderName::from_static("tributary-as-of");
/// Which offsets had been applied, `partition:touchpoints:conversions`.
pub(super) const POSITION: HeaderName = HeaderName::from_static("tributary-position");

/// Reads the state and answers with what was found, as JSON, and how fresh it is; also when nothing was found.
pub(super) async fn answer<T: Serialize + Send + 'static>(
    state: &State,
    asks: &Allowed,
    read: impl FnOnce(&Reader) -> Result<Answer<T>, query::Error> + Send + 'static,
) -> Result<Response, Problem> {
    let read = |reader: &Reader| match read(reader) {
        Ok(Answer { value, freshness }) => Ok((Ok(value), freshness)),
        Err(query::Error::NotFound(freshness)) => Ok((Err(Problem::of(Code::NotFound)), freshness)),
        Err(error) => Err(error),
    };
    let (found, freshness) = state.read(&asks.who, asks.until, read).await?;
    let headers = headers(freshness.as_of(), &freshness.position());
    Ok(match found {
        Ok(value) => (headers, Json(value)).into_response(),
        Err(problem) => (headers, problem).into_response(),
    })
}

/// The two headers. A state that has applied nothing is as of 1970.
pub(super) fn headers(as_of: Option<Millis>, position: &str) -> HeaderMap {
    let moment = DateTime::from_timestamp_millis(as_of.unwrap_or(0)).unwrap_or_default();
    let texts = [(AS_OF, moment.to_rfc3339_opts(SecondsFormat::Millis, true)), (POSITION, position.to_owned())];
    texts.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::from_str(&text).ok()?))).collect()
}
