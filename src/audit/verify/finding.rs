//! What a reading can find.

use std::fmt;

use super::super::shown::Escaped;

/// Numbers of entries, both ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        if from == to { write!(f, "{from}") } else { write!(f, "{from}..{to}") }
    }
}

/// Something that is not as an untouched log would be, or is and wants to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // `chain` is the chain that it is about, `seq` and `span` the entries, `what` action and object
pub enum Finding {
    /// A record that is no entry.
    Foreign { partition: u32, offset: i64 },
    /// The entry does not have the hash that it says it has, or not the key.
    Altered { chain: String, seq: u64 },
    /// The entry before it is not the one that stood there when this was written.
    Unlinked { chain: String, seq: u64 },
    /// Entries are not there.
    Missing { chain: String, span: Span },
    /// The entry stands where it was not written.
    Moved { chain: String, seq: u64 },
    /// There is another entry of this number.
    Forked { chain: String, seq: u64 },
    /// Entries stand behind the end that the next chain tells of.
    Beyond { chain: String, span: Span },
    /// The chain does not begin with a start.
    NoStart { chain: String },
    /// The chain does not go on from the instance's chain before it.
    Unconnected { chain: String, before: String },
    /// Two chains say that they go on from this one.
    Claimed { chain: String, by: String },
    /// The data folder remembers an entry that is not there.
    Forgotten { chain: String, seq: u64 },
    /// Entries stand twice, the same: they were written again after a crash or for want of an answer.
    Repeated { chain: String, span: Span },
    /// The chain ends with this entry, which tells of no stop: its process was killed, or died.
    Cut { chain: String, seq: u64 },
    /// A change was allowed here, and neither done nor failed.
    Unfinished { chain: String, seq: u64, what: String },
    /// The chain, or these entries of it, are older than the topic's oldest record.
    Older { chain: String, span: Option<Span> },
}

impl Finding {
    /// Whether an untouched log cannot show this.
    pub fn is_difference(&self) -> bool {
        !matches!(self, Self::Repeated { .. } | Self::Cut { .. } | Self::Unfinished { .. } | Self::Older { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Escaped::word;
        match self {
            Self::Foreign { partition, offset } => {
                write!(f, "partition {partition} offset {offset}: foreign, no entry of the audit log")
            }
            Self::Altered { chain, seq } => write!(f, "{} {seq}: altered", word(chain)),
            Self::Unlinked { chain, seq } => {
                write!(f, "{} {seq}: the entry before it is another than when it was written", word(chain))
            }
            Self::Missing { chain, span } => write!(f, "{} {span}: missing", word(chain)),
            Self::Moved { chain, seq } => write!(f, "{} {seq}: not where it was written", word(chain)),
            Self::Forked { chain, seq } => write!(f, "{} {seq}: another entry of the same number", word(chain)),
            Self::Beyond { chain, span } => {
                write!(f, "{} {span}: behind the end that the next chain tells of", word(chain))
            }
            Self::NoStart { chain } => write!(f, "{} 0: the chain does not begin with a start", word(chain)),
            Self::Unconnected { chain, before } => write!(
                f,
                "{} 0: does not go on from {}; was the data folder emptied or exchanged?",
                word(chain),
                word(before)
            ),
            Self::Claimed { chain, by } => {
                write!(f, "{}: both {} and another chain go on from it", word(chain), word(by))
            }
            Self::Forgotten { chain, seq } => {
                write!(f, "{} {seq}: missing or altered; the data folder remembers it", word(chain))
            }
            Self::Repeated { chain, span } => write!(f, "{} {span}: stands twice, the same (note)", word(chain)),
            Self::Cut { chain, seq } => {
                write!(f, "{} {seq}: the last entry is no stop: the process was killed, or died (note)", word(chain))
            }
            Self::Unfinished { chain, seq, what } => {
                let what = Escaped::text(what);
                write!(f, "{} {seq}: {what} was allowed, and neither done nor failed (note)", word(chain))
            }
            Self::Older { chain, span: Some(span) } => {
                write!(f, "{} {span}: older than the topic's beginning (note)", word(chain))
            }
            Self::Older { chain, span: None } => {
                write!(f, "{}: older than the topic's beginning (note)", word(chain))
            }
        }
    }
}
