//! How fresh the directory of API keys is.

use std::time::{Duration, Instant};

use super::{Reason, now_ms};
use crate::core::Millis;

/// Keys that were last known so long ago count as stale: a key revoked since then would be let in here. A broker that restarts
/// or hands a partition to another is back sooner.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// When the keys were last known as they stand.
#[derive(Debug)]
pub(super) struct KeysHealth {
    patience: Duration,
    /// None before they are loaded.
    known: Option<(Instant, Millis)>,
    /// Why they have not been since.
    trouble: Option<String>,
}

impl KeysHealth {
    /// Of keys that are stale after so long.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, known: None, trouble: None }
    }

    /// They are known as they stand.
    pub(super) fn known(&mut self) {
        self.known = Some((Instant::now(), now_ms()));
        self.trouble = None;
    }

    /// They cannot be.
    pub(super) fn unknown(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// When they were last known, in milliseconds since 1970.
    pub(super) fn known_at(&self) -> Option<Millis> {
        self.known.map(|(_, at)| at)
    }

    pub(super) fn not_ready(&self) -> Option<Reason> {
        let ago = self.known?.0.elapsed();
        let why = self.trouble.as_deref().unwrap_or("no answer yet");
        let detail =
            format!("API keys are known as they stood {} s ago, revocations since then are not: {why}", ago.as_secs());
        (ago > self.patience).then(|| Reason::new("keys_stale", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_stale_after_a_patience_and_no_longer_once_they_are_known() {
        let mut keys = KeysHealth::new(Duration::from_millis(300));
        assert_eq!((keys.not_ready(), keys.known_at()), (None, None), "not loaded: the start tells");
        keys.known();
        keys.unknown("no broker".into());
        assert_eq!(keys.not_ready(), None, "a blink");
        std::thread::sleep(Duration::from_millis(400));
        let reason = keys.not_ready().unwrap();
        assert!(reason.code == "keys_stale" && reason.detail.contains("no broker"), "{reason:?}");
        keys.known();
        assert_eq!(keys.not_ready(), None);
        std::thread::sleep(Duration::from_millis(400));
        assert!(keys.not_ready().is_some(), "silence is no better than an error");
    }
}
