//! What can be wrong with a configuration, said so that it can be put right.

use std::fmt;
use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there or cannot be read.
    #[error("cannot read the configuration file {}: {reason}; name another with --config", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        reason: String,
    },
    /// A value has the wrong type or form.
    #[error("{0}; docs/configuration.md lists every setting with its type")]
    Value(String),
    /// Settings that cannot be used, all of them at once.
    #[error("{}", Problem::list(.0))]
    Invalid(Vec<Problem>),
}

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting's path, `kafka.brokers`.
    pub setting: String,
    /// Why it cannot be used.
    pub reason: String,
    /// What to do about it.
    pub advice: String,
}

impl Problem {
    /// A problem of a setting.
    pub fn new(setting: impl Into<String>, reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { setting: setting.into(), reason: reason.into(), advice: advice.into() }
    }

    fn list(problems: &[Self]) -> String {
        problems.iter().map(Self::to_string).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.setting, self.reason, self.advice)
    }
}
