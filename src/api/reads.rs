//! Journeys and conversions.

use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::response::Response;

use super::auth::Allowed;
use super::fresh;
use super::parameters::Parameters;
use super::problem::Problem;
use super::shapes::{Id, PageCursor};
use super::state::State;
use crate::query::{Attributions, Cursor, Journey, MAX_PAGE, Page};

/// Entries on a page where none are asked for.
pub(super) const DEFAULT_PAGE: usize = 100;

/// The touchpoints and conversions of a user, oldest first, page by page.
#[utoipa::path(get, path = "/v1/users/{user_id}/journey", operation_id = "getJourney", tag = "journeys",
    params(
        ("user_id" = Id, Path, description = "Whose journey"),
        ("limit" = Option<u32>, Query, description = "Entries on the page; 100 where not given", minimum = 1, maximum = 1000),
        ("cursor" = Option<PageCursor>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, description = "A page of the journey", body = Journey)))]
pub(super) async fn journey(
    asks: Allowed,
    Extract(state): Extract<State>,
    Path(user_id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri);
    parameters.path_id("user_id", &user_id);
    let limit = parameters.optional("limit", limit).unwrap_or(DEFAULT_PAGE);
    let cursor = parameters.optional("cursor", |text| text.parse::<Cursor>().map_err(|e| e.to_string()));
    parameters.finish()?;
    fresh::answer(&state, &asks, move |reader| reader.journey(&user_id, Page { cursor, limit })).await
}

/// The attribution rows of a conversion, under every model.
#[utoipa::path(get, path = "/v1/conversions/{conversion_id}/attributions", operation_id = "getAttributions",
    tag = "journeys",
    params(("conversion_id" = Id, Path, description = "Which conversion")),
    responses((status = 200, description = "Its rows, as they stand on the output topic", body = Attributions)))]
pub(super) async fn attributions(
    asks: Allowed,
    Extract(state): Extract<State>,
    Path(conversion_id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri);
    parameters.path_id("conversion_id", &conversion_id);
    parameters.finish()?;
    fresh::answer(&state, &asks, move |reader| reader.attributions(&conversion_id)).await
}

/// How many entries are asked for.
pub(super) fn limit(text: &str) -> Result<usize, String> {
    let refuse = || format!("a whole number from 1 to {MAX_PAGE}");
    text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit)).ok_or_else(refuse)
}
