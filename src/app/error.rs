//! Why the process could not start, or ended by itself.

use crate::{config, store, stream, topics};

/// What ends the process, by what the caller is to be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// The broker or the registry refused, or its topics are not as they must be.
    #[error("{0}")]
    Refused(String),
    /// The log or the registry does not answer; asked again later it may.
    #[error("{0}")]
    Unreachable(String),
    /// The state cannot be continued, or somebody else has it open.
    #[error("{0}")]
    State(String),
    /// The process was told to stop before it had started.
    #[error("told to stop")]
    Stopped,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<config::Problem> for Error {
    fn from(problem: config::Problem) -> Self {
        Self::Configuration(problem.to_string())
    }
}

impl From<stream::Error> for Error {
    fn from(error: stream::Error) -> Self {
        match error {
            stream::Error::Refused(reason) => Self::State(reason),
            stream::Error::Store(error) => error.into(),
            stream::Error::Log(error) => error.into(),
            stream::Error::Fatal(reason) => Self::Failed(reason),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Locked { .. }
            | store::Error::Format { .. }
            | store::Error::Sealed { .. }
            | store::Error::Corrupt { .. } => Self::State(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<topics::Error> for Error {
    fn from(error: topics::Error) -> Self {
        match error {
            topics::Error::Unreachable(_) => Self::Unreachable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<topics::embedded::Error> for Error {
    fn from(error: topics::embedded::Error) -> Self {
        match error {
            topics::embedded::Error::InUse(_)
            | topics::embedded::Error::Differs { .. }
            | topics::embedded::Error::Sealed { .. } => Self::State(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}
