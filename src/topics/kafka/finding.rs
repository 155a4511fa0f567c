//! What a look at topics and brokers gave.

use std::fmt;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `topic NAME` or `brokers`.
    pub subject: String,
    /// What about it.
    pub verdict: Verdict,
}

/// What a look at something gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be; says how it is.
    Ok(String),
    /// Not as it should be.
    Problem {
        /// What is wrong.
        what: String,
        /// What to do about it.
        remedy: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Ok(what) => write!(f, "ok       {}: {what}", self.subject),
            Verdict::Problem { what, remedy } => write!(f, "problem  {}: {what}; {remedy}", self.subject),
        }
    }
}

impl Finding {
    /// Whether this is as it should be.
    pub fn is_ok(&self) -> bool {
        matches!(self.verdict, Verdict::Ok(_))
    }

    pub(super) fn ok(subject: &str, what: impl Into<String>) -> Self {
        Self { subject: subject.into(), verdict: Verdict::Ok(what.into()) }
    }

    pub(super) fn problem(subject: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject: subject.into(), verdict: Verdict::Problem { what: what.into(), remedy: remedy.into() } }
    }
}
