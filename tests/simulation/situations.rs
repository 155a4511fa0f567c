//! The situations that a run must have met to have tested anything: counted over all seeds, and one that never came about
//! fails the suite.

macro_rules! situations {
    ($($name:ident: $text:literal,)*) => {
        /// A situation worth meeting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Situation { $($name,)* }

        impl Situation {
            /// Every situation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it is, in words.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

situations! {
    ReplayOfBoth: "a replay over two topics at once",
    ReplayInSteps: "a replay of several batches",
    ReplaySkips: "a replay that skips what was set aside",
    MovedInReplay: "a partition that moves while it is replayed",
    CrashInReplay: "a crash in a replay",
    ZombieFenced: "a zombie's late commit, fenced",
    StolenFenced: "a partition taken away in the middle of a transaction",
    UnknownApplied: "a commit whose answer is lost, applied",
    UnknownNotApplied: "a commit whose answer is lost, not applied",
    UndecidedApplied: "a commit that is undecided until it is settled, then applied",
    UndecidedAborted: "a commit that is undecided until it is settled, then not applied",
    UndecidedAsked: "a successor that waits for an undecided transaction",
    Aborted: "a transaction that aborts",
    CrashBeforeCommit: "a crash before a commit",
    CrashInTransaction: "a crash in the middle of a transaction",
    CrashAfterCommit: "a crash between commit and write",
    CrashBetweenWrites: "a crash between the writes of two partitions",
    CrashAfterWrite: "a crash right after a write",
    MemoryLost: "memory that was never flushed, lost",
    MemoryKept: "a crash after a flush of everything",
    DiskLost: "a disk lost and rebuilt from the log",
    OlderFolder: "a partition taken with an older folder",
    EmptyFolder: "a partition of another taken with an empty folder",
    HandedOver: "a partition handed over as planned",
    FolderBusy: "a worker that waits for another of its process to close a folder",
    StoppedInOrder: "a process that stops in order",
    Giant: "one record with a giant set of rows",
    GiantAborted: "a giant whose transaction fails",
    Halved: "a batch halved because of its rows",
    TwoPartitions: "a transaction over several partitions",
    AdjustedBefore: "an adjustment before its conversion",
    ConflictingTouchpoint: "a conflicting touchpoint",
    ConflictingConversion: "a conflicting conversion",
    ConflictingAdjustment: "a conflicting adjustment",
    Duplicate: "a duplicate conversion or adjustment",
    Late: "a late touchpoint that credits again",
    TakenBack: "a retraction that removes rows",
    Truncated: "a path longer than what is credited",
    Unattributed: "a conversion that nobody earned",
    SetAside: "a record set aside",
    SetAsideByPointer: "a dead letter too large to go whole",
    Misplaced: "a record on another partition than its key's",
    Keepalive: "offsets of an idle partition, committed again",
    OffsetsMissing: "offsets that are missing for a moment",
    RegistryUnreachable: "a schema registry that does not answer",
    LogUnreachable: "a log that cannot be reached",
    AbortUnreachable: "a log that cannot be reached for an abort",
    FlushedByAge: "memory flushed because of its age",
    Trimmed: "input trimmed to what is durable",
    ReadAfterTrim: "a state that reads on in a trimmed log",
    HeldBack: "an input held back while the other is far behind",
    Compacted: "an output compacted on the way",
    Resealed: "a state sealed anew under a new key",
    Panicked: "a record that panics, found among others",
    GiantPanicked: "a giant set aside because its rows panic",
    PanicReplayed: "a replay that skips a record that panicked",
}

/// Which situations a run has met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met(u64);

impl Met {
    /// It has come about.
    pub fn meet(&mut self, situation: Situation) {
        self.0 |= 1 << situation as u8;
    }

    /// Whether it has.
    pub fn has(self, situation: Situation) -> bool {
        self.0 & 1 << situation as u8 != 0
    }
}

/// Whether this build can meet a situation at all.
pub fn possible(situation: Situation) -> bool {
    use Situation::{GiantPanicked, PanicReplayed, Panicked};
    cfg!(feature = "planted") || !matches!(situation, Panicked | GiantPanicked | PanicReplayed)
}
