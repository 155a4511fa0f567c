//! Bugs that tests plant, to show that the simulation catches them. A build without the feature `planted` has none.

#[cfg(feature = "planted")]
use super::overlay::Overlay;

/// One engine bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Live records are processed before the replay has reached the committed offsets of every input.
    NoReplayBarrier,
    /// The state is written before the transaction commits.
    WriteBeforeCommit,
    /// Replayed records are answered again.
    SuppressionOff,
    /// Of two conflicting duplicates the later stands, not the greater.
    LastWriteWins,
    /// The conversions' offset that a transaction commits is the one of before it.
    OffsetsLeftOut,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 5] = [
        Self::NoReplayBarrier,
        Self::WriteBeforeCommit,
        Self::SuppressionOff,
        Self::LastWriteWins,
        Self::OffsetsLeftOut,
    ];
}

/// The bug that was planted, if any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Planted {
    #[cfg(feature = "planted")]
    bug: Option<Bug>,
}

impl Planted {
    /// Plants a bug.
    #[cfg(feature = "planted")]
    pub fn with(bug: Bug) -> Self {
        Self { bug: Some(bug) }
    }

    /// Whether this bug is planted; never without the feature.
    #[inline]
    pub fn is(self, bug: Bug) -> bool {
        #[cfg(feature = "planted")]
        return self.bug == Some(bug);
        #[cfg(not(feature = "planted"))]
        {
            let _ = bug;
            false
        }
    }
}

/// Panics over a record whose event_id asks for it at this step; only in builds with the feature.
#[cfg(feature = "planted")]
#[allow(clippy::panic)] // that is what it is for
pub fn trip(event_id: &str, step: &str) {
    if event_id.strip_prefix("panic: ") == Some(step) {
        std::panic::panic_any("planted panic");
    }
}

/// Panics over a batch with a record whose event_id asks for it at this step.
#[cfg(feature = "planted")]
pub fn trip_over(overlay: &Overlay, step: &str) {
    for staged in overlay.touchpoints() {
        overlay.read_touchpoint(staged).into_iter().for_each(|touchpoint| trip(touchpoint.event_id, step));
    }
    for staged in overlay.conversions().iter().filter(|staged| !staged.adjusts) {
        overlay.read_conversion(staged).into_iter().for_each(|conversion| trip(conversion.event_id, step));
    }
}
