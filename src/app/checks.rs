//! `tributary check`, `topics` and `schemas`: looks at what a run needs, each line ok or what to do.

mod folder;

use std::fmt;

use tokio::runtime::Runtime;

use super::control::KafkaControl;
use super::{Error, registry, settings};
use crate::config::{Config, LogKind};
use crate::registry::{Registry, Standing};
use crate::topics::kafka::topics::{self, Finding, Verdict};

/// One thing that was looked at.
#[derive(Debug)]
pub struct Line {
    subject: String,
    found: Found,
}

#[derive(Debug)]
enum Found {
    /// It is as it should be.
    Ok(String),
    /// A run would start, and say this; what to do.
    Warning { what: String, remedy: String },
    /// It is not; what to do.
    Problem { what: String, remedy: String },
    /// A run would end with this, which says what to do.
    Refused(Error),
}

impl Line {
    fn ok(subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self { subject: subject.into(), found: Found::Ok(what.into()) }
    }

    fn problem(subject: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject: subject.into(), found: Found::Problem { what: what.into(), remedy: remedy.into() } }
    }

    fn warning(subject: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject: subject.into(), found: Found::Warning { what: what.into(), remedy: remedy.into() } }
    }

    fn refused(subject: impl Into<String>, error: Error) -> Self {
        Self { subject: subject.into(), found: Found::Refused(error) }
    }

    /// Whether nothing has to be done before a run.
    pub fn is_ok(&self) -> bool {
        matches!(self.found, Found::Ok(_) | Found::Warning { .. })
    }

    /// What a run would end with because of it.
    pub fn refusal(&self) -> Option<&Error> {
        match &self.found {
            Found::Refused(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match &self.found {
            Found::Ok(what) => write!(f, "ok       {subject}: {what}"),
            Found::Warning { what, remedy } => write!(f, "warning  {subject}: {what}; {remedy}"),
            Found::Problem { what, remedy } => write!(f, "problem  {subject}: {what}; {remedy}"),
            Found::Refused(error) => write!(f, "problem  {subject}: {error}"),
        }
    }
}

impl From<Finding> for Line {
    fn from(finding: Finding) -> Self {
        match finding.verdict {
            Verdict::Ok(what) => Self::ok(finding.subject, what),
            Verdict::Problem { what, remedy } => Self::problem(finding.subject, what, remedy),
        }
    }
}

/// Looks at everything that a run with this configuration needs. Who does not answer keeps nobody else from being looked at.
pub fn everything(config: &Config) -> Vec<Line> {
    let log = match config.log.kind {
        LogKind::Kafka => kafka(config),
        LogKind::Embedded => Ok(folder::log(config)),
    };
    let told =
        |subject, looked: Result<Vec<Line>, Error>| looked.unwrap_or_else(|why| vec![Line::refused(subject, why)]);
    let mut lines = vec![folder::data_dir(config), folder::pepper(config), folder::seal(config), tls(config)];
    lines.extend(told("log", log));
    lines.extend(told("registry", schemas(config)));
    lines.extend(folder::states(config));
    lines
}

/// The topics, and where they are all well, the API keys on one of them.
fn kafka(config: &Config) -> Result<Vec<Line>, Error> {
    let mut lines = topics(config)?;
    if lines.iter().all(Line::is_ok) {
        lines.extend(folder::keys(config, |keys| {
            super::keys::load(keys, &KafkaControl::open(&settings::kafka(config))?).map(drop)
        })?);
    }
    Ok(lines)
}

/// Looks at every topic and at the brokers.
pub fn topics(config: &Config) -> Result<Vec<Line>, Error> {
    if config.log.kind == LogKind::Embedded {
        return Ok(vec![Line::ok("topics", "the embedded log makes its own")]);
    }
    Ok(topics::check(&settings::kafka(config))?.into_iter().map(Line::from).collect())
}

/// Makes the topics that are missing.
pub fn create_topics(config: &Config) -> Result<Vec<Line>, Error> {
    if config.log.kind == LogKind::Embedded {
        return Ok(vec![Line::ok("topics", "the embedded log makes its own")]);
    }
    let made = topics::create(&settings::kafka(config), &settings::creation(config))?;
    Ok(made.into_iter().map(Line::from).collect())
}

/// Asks the registry whether each schema is registered, and else whether it may be.
pub fn schemas(config: &Config) -> Result<Vec<Line>, Error> {
    with_registry(config, |runtime, registry| {
        let subjects = registry::subjects(config);
        let pairs = subjects.each_ref().map(|subject| (subject.name.as_str(), subject.schema));
        let standings = runtime.block_on(registry.check_all(&pairs))?;
        Ok(subjects.iter().zip(standings).map(|(subject, standing)| standing_line(&subject.name, standing)).collect())
    })
}

/// Registers every schema, all or none.
pub fn register_schemas(config: &Config) -> Result<Vec<Line>, Error> {
    with_registry(config, |runtime, registry| {
        let subjects = registry::subjects(config);
        let pairs = subjects.each_ref().map(|subject| (subject.name.as_str(), subject.schema));
        let ids = runtime.block_on(registry.register_all(&pairs))?;
        Ok(subjects
            .iter()
            .zip(ids)
            .map(|(subject, id)| Line::ok(&subject.name, format!("registered under id {id}")))
            .collect())
    })
}

fn standing_line(subject: &str, standing: Standing) -> Line {
    let register = "`tributary schemas register` does it";
    match standing {
        Standing::Registered(registered) => Line::ok(subject, format!("registered under id {}", registered.id)),
        Standing::Missing => Line::problem(subject, "not registered", register),
        Standing::Outdated => {
            Line::problem(subject, "compatible with what is registered, but not registered itself", register)
        }
        Standing::Incompatible(reasons) => Line::problem(
            subject,
            format!("not compatible with what is registered: {}", reasons.join("; ")),
            "another program owns this subject, or it was changed by hand: use other topic names, or restore it",
        ),
    }
}

fn with_registry(
    config: &Config,
    ask: impl FnOnce(&Runtime, &Registry) -> Result<Vec<Line>, Error>,
) -> Result<Vec<Line>, Error> {
    let runtime = Runtime::new().map_err(|error| Error::Failed(format!("no threads to be had: {error}")))?;
    match registry::open(config, runtime.handle())? {
        Some(registry) => ask(&runtime, &registry),
        None => Ok(vec![Line::ok("registry", "none is configured (registry.url); events and rows are JSON")]),
    }
}

fn tls(config: &Config) -> Line {
    match settings::tls(config) {
        Ok(None) => Line::ok("tls", "the sidecar speaks plain HTTP"),
        Ok(Some(_)) => Line::ok("tls", "certificate and key of the sidecar fit"),
        Err(error) => Line::refused("tls", error),
    }
}
