//! Bugs that tests plant, to show that the simulation catches them. A build without the feature `planted` has none.

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
    /// The conversions' offset is left out of the transaction.
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
