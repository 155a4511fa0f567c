//! The pure core: what a journey is, who earned a conversion, and what changed.
//!
//! **Architecture invariant:** nothing here knows a clock, randomness, I/O, async, logging or a configuration file, and
//! nothing here imports another module of the crate. The stream, the batch replay and the fuzzers share it, which is what
//! makes "stream equals batch" a statement about one function rather than about two programs.
//!
//! | file | holds |
//! | --- | --- |
//! | `event` | touchpoint, conversion, adjustment: the checked events, and what makes two of them the same |
//! | `journey` | a user's touchpoints and a conversion's adjustments as *sets* |
//! | `path` | the touchpoints of one conversion inside its lookback window |
//! | `models/` | a path -> integer weights, one file a model |
//! | `credit` | weights -> shares that add up exactly |
//! | `row` | attribution rows of one conversion |
//! | `delta` | what differs between the rows before and after |
//! | `rules` | every setting that bears on results, and its digest |

pub mod credit;
pub mod delta;
pub mod event;
pub mod journey;
pub mod models;
pub mod path;
pub mod row;
pub mod rules;

pub use event::{Adjustment, Conversion, ConversionEvent, Fault, Touchpoint};
pub use models::Model;
pub use row::Row;
pub use rules::Rules;

/// A moment of event time: milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// The version of the rules of credit as code. It is part of the rules digest: a change here that changes any row must
/// raise it, so that state and offsets written by the old code are never mixed with the new.
pub const CORE_VERSION: u32 = 1;
