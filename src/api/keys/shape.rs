//! What `/v1/keys` takes and gives.

use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{KeyState, Listed, Role};
use crate::api::shapes::{Moment, Network, Note};

/// A key to be made.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // documentation: bodies are read field by field, so that every mistake is named
pub(in crate::api) struct NewApiKey {
    /// What it is for.
    role: Role,
    /// What to write down beside it.
    #[schema(value_type = Option<Note>)]
    note: Option<String>,
    /// From when on it opens nothing: after now. Never where not given.
    #[schema(value_type = Option<Moment>)]
    expires_at: Option<i64>,
    /// The most requests per second of its bearer.
    #[schema(minimum = 1, maximum = 1_000_000)]
    requests_per_second: Option<u32>,
    /// The most requests at once, with `requests_per_second` alone; as many where not given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    burst: Option<u32>,
    /// Where its bearer may ask from. Anywhere where not given.
    #[schema(max_items = 32, value_type = Option<Vec<Network>>)]
    networks: Option<Vec<String>>,
}

/// How a key is rotated.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // documentation
pub(in crate::api) struct KeyRotation {
    /// How long the old key stays good; a day where not given. At least a minute where a key rotates itself.
    #[schema(minimum = 0, maximum = 2_592_000)]
    grace_seconds: Option<u64>,
    /// From when on the successor opens nothing: after now. Where not given, it lives as long as the old key was made for.
    #[schema(value_type = Option<Moment>)]
    expires_at: Option<i64>,
}

/// How a key is revoked: there is nothing to say.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // documentation
pub(in crate::api) struct KeyRevocation {}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct ApiKey {
    /// The public id.
    id: String,
    /// What it is for.
    role: Role,
    /// Whether it opens anything.
    state: KeyState,
    /// What its maker wrote down.
    note: String,
    /// When it was made, in milliseconds since 1970.
    created_at: i64,
    /// From when on it opens nothing: its own expiry, or the end of the grace after its rotation.
    expires_at: Option<i64>,
    /// When it was last used, to the hour.
    last_used_at: Option<i64>,
    /// The most requests per second of its bearer; null: what everybody may.
    requests_per_second: Option<u32>,
    /// The most requests at once.
    burst: Option<u32>,
    /// Where its bearer may ask from; empty: anywhere.
    networks: Vec<String>,
    /// The id of the key that it takes the place of.
    replaces: Option<String>,
    /// The id of the key that takes its place.
    replaced_by: Option<String>,
    /// Whether it was made under a pepper that this instance does not have: then it opens nothing here, whatever its state.
    other_pepper: bool,
}

/// A key just made.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct CreatedApiKey {
    /// The key itself, shown this once.
    #[schema(pattern = "^trb_live_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$")]
    pub(super) key: String,
    #[serde(flatten)]
    pub(super) details: ApiKey,
}

/// A page of keys, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct ApiKeys {
    /// The keys.
    pub(super) keys: Vec<ApiKey>,
    /// Where the next page begins; null on the last one.
    pub(super) next: Option<String>,
}

impl From<Listed> for ApiKey {
    fn from(key: Listed) -> Self {
        Self {
            id: key.id,
            role: key.role,
            state: key.state,
            note: key.note,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            requests_per_second: key.rate.map(|rate| rate.per_second.get()),
            burst: key.rate.map(|rate| rate.burst.get()),
            networks: key.networks.iter().map(ToString::to_string).collect(),
            replaces: key.replaces.map(|old| old.id),
            replaced_by: key.replaced_by,
            other_pepper: key.other_pepper,
        }
    }
}
