//! Batch replay: event files in, attribution rows out, in one pass over the core.
//!
//! It shares only `core` and `codec` (and `seal`, for temporary files) with the stream, so that it is a true oracle of it: what the stream has settled on
//! after any order of arrival must equal, byte for byte, what this pass makes of the same events.
//!
//! ```text
//! files ─ blocks of lines ─> parse ─> records in buckets by user ─> settle and credit ─> sorted runs ─> merge ─> rows
//!             input           parse              bucket                    user              runs        output
//! ```
//!
//! **Memory** is bounded by [`Request::memory_bytes`] whatever the size of the files: buckets and runs that outgrow it go
//! to temporary files, which have no name and are gone however the process ends (what stays of them on the disk can be
//! sealed: [`Request::sealed`]). What must fit beside it is one line of
//! the input a thread (1 MiB), the journey of one user with the bucket that holds it, and the rows of one conversion.
//!
//! **Architecture invariant:** nothing here knows a broker, a store, the configuration file or the wall clock; a record's
//! log timestamp is taken to be its `occurred_at`, so no event is refused for lying in the future.

mod bad;
mod bucket;
mod input;
mod order;
mod output;
mod parse;
mod pass;
mod progress;
mod runs;
mod user;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::codec;
use crate::core::event::ConversionEvent;
use crate::core::{Rules, Touchpoint};

pub use input::{Input, MAX_LINE};
pub use pass::run;
pub use progress::Progress;

/// How much memory a replay works in unless told: 512 MiB.
pub const DEFAULT_MEMORY_BYTES: usize = 512 << 20;

/// What to replay, by which rules, and where to.
#[derive(Clone, Debug)]
pub struct Request {
    /// NDJSON of touchpoints, plain, gzip or zstd.
    pub touchpoints: Vec<Input>,
    /// NDJSON of conversions and adjustments, plain, gzip or zstd.
    pub conversions: Vec<Input>,
    /// The rules of credit.
    pub rules: Rules,
    /// Where the rows go; standard output if nowhere.
    pub output: Option<PathBuf>,
    /// Where lines that cannot be used go, as NDJSON; standard error, as text, if nowhere.
    pub dead_letters: Option<PathBuf>,
    /// Memory to work in, in bytes.
    pub memory_bytes: usize,
    /// Whether temporary files are sealed, under keys that nobody keeps.
    pub sealed: bool,
}

/// What a replay met and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Touchpoints read, duplicates among them.
    pub touchpoints: u64,
    /// Conversions read, duplicates among them.
    pub conversions: u64,
    /// Of the conversions read, those without a value: right for a signup, and what a misspelt `value_micros` looks like.
    pub valueless: u64,
    /// Adjustments read, duplicates among them.
    pub adjustments: u64,
    /// Lines that could not be used.
    pub bad: u64,
    /// Events that fell away for a greater one of the same identity and other content.
    pub conflicting_duplicates: u64,
    /// Conversions, retracted ones among them, each counted once.
    pub distinct_conversions: u64,
    /// Conversions that were taken back.
    pub retracted: u64,
    /// Adjustments, each counted once, whose conversion did not come.
    pub waiting_adjustments: u64,
    /// Conversions left out because their id stands under another user too; of several users the least stands.
    pub shared_ids: u64,
    /// Rows written.
    pub rows: u64,
}

impl Summary {
    fn add(&mut self, other: &Self) {
        self.touchpoints += other.touchpoints;
        self.conversions += other.conversions;
        self.valueless += other.valueless;
        self.adjustments += other.adjustments;
        self.bad += other.bad;
        self.conflicting_duplicates += other.conflicting_duplicates;
        self.distinct_conversions += other.distinct_conversions;
        self.retracted += other.retracted;
        self.waiting_adjustments += other.waiting_adjustments;
        self.shared_ids += other.shared_ids;
        self.rows += other.rows;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { touchpoints, conversions, adjustments, rows, .. } = self;
        write!(f, "{touchpoints} touchpoints, {conversions} conversions, {adjustments} adjustments: {rows} rows")?;
        for (count, what) in [
            (self.valueless, "conversions without value_micros"),
            (self.conflicting_duplicates, "conflicting duplicates"),
            (self.waiting_adjustments, "adjustments without their conversion"),
            (self.shared_ids, "conversions left out for an id under two users"),
            (self.bad, "bad lines"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// Why a replay failed. Bad lines are no failure; they are counted in the [`Summary`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input cannot be opened or read (not there, or a damaged gzip or zstd stream).
    #[error("{input}: cannot be read: {source}")]
    Input {
        /// Which.
        input: Input,
        /// Why.
        source: io::Error,
    },
    /// Standard input can be read once only.
    #[error("- (standard input) is named more than once; give it once, and files for the rest")]
    StdinTwice,
    /// The rows would replace what they are made of.
    #[error("{0}: is an input and cannot be written to as well; choose another file")]
    Overwrites(Input),
    /// Rows and dead letters cannot share a file.
    #[error("rows and dead letters are to go to the same file; choose two")]
    OneTarget,
    /// The rows or the dead letters cannot be written.
    #[error("{target}: cannot be written: {source}")]
    Output {
        /// The file, or the standard stream.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// Temporary files cannot be written or read back.
    #[error("temporary files in {folder}: {source}; free some space there, or allow more memory")]
    Temporary {
        /// The folder they are in.
        folder: String,
        /// Why.
        source: io::Error,
    },
    /// A record of ours did not come back as it was written.
    #[error("temporary files: {0}")]
    Corrupt(#[from] codec::record::Corrupt),
}

/// One row as it is written: its `row_id` and its JSON.
pub type TextRow = (Vec<u8>, Vec<u8>);

/// The rows of any events, held in memory, sorted by the bytes of their id: what [`run`] writes, for tests and
/// simulations. The events may come in any order, with any duplicates.
pub fn rows_of<'a>(
    touchpoints: impl IntoIterator<Item = Touchpoint<'a>>,
    conversions: impl IntoIterator<Item = ConversionEvent<'a>>,
    rules: &Rules,
) -> Vec<TextRow> {
    let mut users: BTreeMap<&str, user::Events<'a>> = BTreeMap::new();
    for touchpoint in touchpoints {
        users.entry(touchpoint.user_id).or_default().touchpoints.push(touchpoint);
    }
    for event in conversions {
        match event {
            ConversionEvent::Conversion(c) => users.entry(c.user_id).or_default().conversions.push(c),
            ConversionEvent::Adjustment(a) => users.entry(a.user_id).or_default().adjustments.push(a),
        }
    }
    let mut rows: BTreeMap<Vec<u8>, Vec<TextRow>> = BTreeMap::new();
    let mut creditor = user::Creditor::new(rules);
    for events in users.values_mut() {
        creditor.credit(events, &mut |_, of_one| {
            let Some(first) = of_one.first() else { return };
            let mut key = Vec::new();
            order::write_key(first, &mut key);
            // Users come in order, so of an id under two of them the least user's rows stand, as in the merge.
            rows.entry(key).or_insert_with(|| of_one.iter().map(text_row).collect());
        });
    }
    rows.into_values().flatten().collect()
}

fn text_row(row: &crate::core::Row<'_>) -> TextRow {
    let (mut id, mut json) = (Vec::new(), Vec::new());
    row.write_id(&mut id);
    codec::json::write_row(row, &mut json);
    (id, json)
}
