//! Whether a partition may be taken, and from where: the decision alone, of what state, group and log say.

use std::fmt;

use super::meta::{Meta, Stamp, fingerprint};
use crate::core::Rules;
use crate::topics::{Bounds, Committed, Input, LogIdentity, Offset, PerInput};

/// What is known of a partition before it is taken.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// What the state says of itself; none where the folder is empty.
    pub meta: Option<&'a Meta>,
    /// What the group has committed.
    pub committed: &'a PerInput<Option<Committed>>,
    /// Where the log begins and ends.
    pub bounds: &'a PerInput<Bounds>,
    /// Which log it is.
    pub log: &'a LogIdentity,
    /// The rules that this process credits by.
    pub rules: &'a Rules,
}

/// How to take a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The state's account, new where there was none.
    pub meta: Meta,
    /// Replay, suppressed, up to here; live from here on.
    pub target: PerInput<Offset>,
}

/// Why a state must not go on. Each says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// State or offsets were made from another log.
    OtherLog {
        /// What was found.
        found: String,
        /// What the log says of itself.
        here: String,
    },
    /// State or offsets were made by other rules.
    OtherRules {
        /// The rules that made them.
        found: String,
        /// The rules of this process.
        here: String,
    },
    /// The group's offsets carry no account of ours.
    ForeignOffsets {
        /// What they carry.
        metadata: String,
    },
    /// The group has no committed offset of an input although the state has applied some.
    OffsetsMissing {
        /// The input.
        input: Input,
        /// What the state has applied.
        applied: Offset,
    },
    /// The state is ahead of the committed offset, or of the log.
    Ahead {
        /// The input.
        input: Input,
        /// What the state has applied.
        applied: Offset,
        /// What it must not exceed.
        limit: Offset,
        /// What that is.
        of: &'static str,
    },
    /// The log begins after what is to be read next.
    Behind {
        /// The input.
        input: Input,
        /// What would be read next.
        next: Offset,
        /// Where the log begins.
        start: Offset,
    },
    /// The last applied record is another one in this log.
    RecordDiffers {
        /// The input.
        input: Input,
        /// The record's offset.
        offset: Offset,
    },
}

const ANEW: &str = "to begin anew, choose a new kafka.group_id, engine.data_dir and topics.attributions: all three";

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherLog { found, here } => {
                write!(
                    f,
                    "the state belongs to another log ({found}, here {here}); point it to its own cluster and topics, or {ANEW}"
                )
            }
            Self::OtherRules { found, here } => {
                write!(f, "the rows were made by other rules ({found}; now {here}); restore those rules, or {ANEW}")
            }
            Self::ForeignOffsets { metadata } => {
                write!(f, "the group's offsets were not committed by tributary (metadata {metadata:?}); {ANEW}")
            }
            Self::OffsetsMissing { input, applied } => write!(
                f,
                "the state has applied {} up to offset {applied}, but the group has no committed offset there (wrong group_id, or the broker let it expire); {ANEW}",
                input.name()
            ),
            Self::Ahead { input, applied, limit, of } => write!(
                f,
                "the state has applied {} up to offset {applied}, which is beyond {of} ({limit}): it is of another group, or the topic was made anew; restore the right state, or {ANEW}",
                input.name()
            ),
            Self::Behind { input, next, start } => write!(
                f,
                "{} must be read from offset {next}, but the log begins at {start}: {} records are gone (retention); restore newer state, or {ANEW}",
                input.name(),
                start - next
            ),
            Self::RecordDiffers { input, offset } => write!(
                f,
                "{} has another record at offset {offset} than the one that the state applied: the topic was made anew; {ANEW}",
                input.name()
            ),
        }
    }
}

/// Decides how to take a partition.
pub fn judge(evidence: &Evidence<'_>) -> Result<Plan, Refusal> {
    let plan = match (evidence.meta, both(evidence.committed)) {
        (None, None) => fresh(evidence)?,
        (None, Some(target)) => rebuild(evidence, target)?,
        (Some(meta), target) => go_on(evidence, meta, target)?,
    };
    for input in Input::ALL {
        let (next, bounds) = (*plan.meta.applied.get(input), evidence.bounds.get(input));
        if next < bounds.start {
            return Err(Refusal::Behind { input, next, start: bounds.start });
        }
        let target = *plan.target.get(input);
        if next.max(target) > bounds.end {
            let applied = next.max(target);
            return Err(Refusal::Ahead { input, applied, limit: bounds.end, of: "the end of the log" });
        }
    }
    Ok(plan)
}

fn both(committed: &PerInput<Option<Committed>>) -> Option<PerInput<Offset>> {
    let touchpoints = committed.touchpoints.as_ref()?.next;
    let conversions = committed.conversions.as_ref()?.next;
    Some(PerInput { touchpoints, conversions })
}

/// Nothing here and nothing committed: the group's first life begins at the start of the log.
fn fresh(evidence: &Evidence<'_>) -> Result<Plan, Refusal> {
    for input in Input::ALL {
        if evidence.committed.get(input).is_some() {
            let other = if input == Input::Touchpoints { Input::Conversions } else { Input::Touchpoints };
            return Err(Refusal::OffsetsMissing { input: other, applied: 0 });
        }
    }
    let start = PerInput::from_fn(|input| evidence.bounds.get(input).start);
    Ok(Plan { meta: Meta::new(start, evidence.log.clone(), evidence.rules), target: start })
}

/// The state is gone: everything since the group began is read again, if the log still has it.
fn rebuild(evidence: &Evidence<'_>, target: PerInput<Offset>) -> Result<Plan, Refusal> {
    let stamp = check_stamps(evidence)?;
    Ok(Plan { meta: Meta::new(stamp.began, evidence.log.clone(), evidence.rules), target })
}

fn go_on(evidence: &Evidence<'_>, meta: &Meta, target: Option<PerInput<Offset>>) -> Result<Plan, Refusal> {
    if meta.log != *evidence.log {
        let (found, here) = (fingerprint(&meta.log), fingerprint(evidence.log));
        return Err(Refusal::OtherLog {
            found: format!("{found}, cluster {}, {} partitions", meta.log.cluster, meta.log.partitions),
            here: format!("{here}, cluster {}, {} partitions", evidence.log.cluster, evidence.log.partitions),
        });
    }
    if meta.rules != evidence.rules.digest() {
        return Err(Refusal::OtherRules { found: meta.rules_text.clone(), here: evidence.rules.canonical() });
    }
    let Some(target) = target else {
        let input = if evidence.committed.touchpoints.is_none() { Input::Touchpoints } else { Input::Conversions };
        return Err(Refusal::OffsetsMissing { input, applied: *meta.applied.get(input) });
    };
    check_stamps(evidence)?;
    for input in Input::ALL {
        let (applied, limit) = (*meta.applied.get(input), *target.get(input));
        if applied > limit {
            return Err(Refusal::Ahead { input, applied, limit, of: "the committed offset" });
        }
    }
    Ok(Plan { meta: meta.clone(), target })
}

/// The account that the committed offsets carry: ours, of this log, by these rules.
fn check_stamps(evidence: &Evidence<'_>) -> Result<Stamp, Refusal> {
    let mut found = None;
    for committed in [&evidence.committed.touchpoints, &evidence.committed.conversions].into_iter().flatten() {
        let Some(stamp) = Stamp::decode(&committed.metadata) else {
            return Err(Refusal::ForeignOffsets { metadata: committed.metadata.clone() });
        };
        if stamp.rules != evidence.rules.digest() {
            let found = format!("digest {}, core {}", stamp.rules, stamp.core);
            return Err(Refusal::OtherRules {
                found,
                here: format!("digest {}, {}", evidence.rules.digest(), evidence.rules.canonical()),
            });
        }
        if stamp.log != fingerprint(evidence.log) {
            return Err(Refusal::OtherLog { found: stamp.log, here: fingerprint(evidence.log) });
        }
        found = Some(stamp);
    }
    found.ok_or(Refusal::ForeignOffsets { metadata: String::new() })
}

#[cfg(test)]
mod tests;
