//! Sums by channel, campaign, day or kind.

use axum::extract::State as Extract;
use axum::http::Uri;
use axum::response::Response;

use super::auth::Allowed;
use super::fresh;
use super::parameters::{Parameters, bound};
use super::problem::Problem;
use super::shapes::{Bound, ModelName};
use super::state::State;
use crate::core::Model;
use crate::query::{GroupBy, Report, ReportQuery};

/// Credited conversions and value, by channel, campaign, day or kind, always split by currency; what nobody earned is a
/// line of its own. Sums are over the partitions that this instance holds.
#[utoipa::path(get, path = "/v1/reports/channels", operation_id = "getChannelReport", tag = "reports",
    params(
        ("model" = ModelName, Query, description = "Whose credit"),
        ("from" = Bound, Query, description = "Conversions from here on"),
        ("to" = Bound, Query, description = "And before this, which is after `from`, and not further behind it than `limits.report_range`"),
        ("group_by" = Option<GroupBy>, Query, description = "What lines are by; `channel` where not given"),
    ),
    responses((status = 200, description = "The sums", body = Report)))]
pub(super) async fn channels(asks: Allowed, Extract(state): Extract<State>, uri: Uri) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&uri);
    let model =
        parameters.required("model", |name| name.parse::<Model>().map_err(|_| one_of(&Model::ALL.map(Model::name))));
    let from = parameters.required("from", bound);
    let to = parameters.required("to", bound);
    let grouping = |name: &str| name.parse::<GroupBy>().map_err(|()| one_of(&GroupBy::ALL.map(GroupBy::name)));
    let group_by = parameters.optional("group_by", grouping).unwrap_or(GroupBy::Channel);
    if let (Some(from), Some(to)) = (from, to) {
        let longest = state.bounds().limits.report_range;
        if from >= to {
            parameters.fault("to", "not after from");
        } else if u128::from(from.abs_diff(to)) > longest.as_millis() {
            let hours = longest.as_secs() / 3_600;
            let most = if hours % 24 == 0 { format!("{} days", hours / 24) } else { format!("{hours} hours") };
            parameters.fault("to", format!("more than {most} after from, which is the most of a report"));
        }
    }
    parameters.finish()?;
    let (Some(model), Some(from), Some(to)) = (model, from, to) else {
        return Err(Problem::of(super::Code::InvalidParameters)); // `finish` has refused it already
    };
    let query = ReportQuery { model, from, to, group_by };
    fresh::answer(&state, &asks, move |reader| reader.report(&query)).await
}

fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}
