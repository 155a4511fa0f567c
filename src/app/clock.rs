//! The wall clock, in one place. No result depends on it: it stamps records, paces batches and dates keys.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::core::Millis;

/// Milliseconds since 1970.
#[allow(clippy::disallowed_methods)] // here the time of day is meant
pub fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX))
}
