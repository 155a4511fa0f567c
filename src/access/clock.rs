//! The wall clock: when keys are made, used and expire.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::core::Millis;

/// Milliseconds since 1970.
#[allow(clippy::disallowed_methods)] // nothing that is computed from events depends on it
pub fn now_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| Millis::try_from(d.as_millis()).unwrap_or(Millis::MAX))
}
