//! `tributary check`, `topics` and `schemas`: looks at what a run needs, each line ok or what to do.

use std::fmt;

use tokio::runtime::Runtime;

use super::{Error, registry, settings};
use crate::access;
use crate::config::{Config, LogKind};
use crate::registry::{Registry, Standing};
use crate::topics::kafka::topics::{self, Finding, Verdict};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    subject: String,
    what: String,
    /// What to do, where it is not as it should be.
    remedy: Option<String>,
}

impl Line {
    fn ok(subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self { subject: subject.into(), what: what.into(), remedy: None }
    }

    fn problem(subject: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject: subject.into(), what: what.into(), remedy: Some(remedy.into()) }
    }

    /// Whether it is as it should be.
    pub fn is_ok(&self) -> bool {
        self.remedy.is_none()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, what, remedy } = self;
        match remedy {
            None => write!(f, "ok       {subject}: {what}"),
            Some(remedy) => write!(f, "problem  {subject}: {what}; {remedy}"),
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

/// Looks at everything that a run with this configuration needs. Who does not answer keeps nobody else from being looked at;
/// the first such error comes beside the lines.
pub fn everything(config: &Config) -> (Vec<Line>, Option<Error>) {
    let mut lines = vec![data_dir(config), pepper(config), seal(config), tls(config)];
    let log = match config.log.kind {
        LogKind::Kafka => topics(config),
        LogKind::Embedded => Ok(vec![Line::ok("log", "embedded, in the data folder")]),
    };
    let mut silent = None;
    for looked in [log, schemas(config)] {
        match looked {
            Ok(found) => lines.extend(found),
            Err(error) => drop(silent.get_or_insert(error)),
        }
    }
    (lines, silent)
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

/// Whether the data folder can be made and written.
fn data_dir(config: &Config) -> Line {
    let dir = &config.engine.data_dir;
    let tried = settings::make_data_dir(config).map_err(|error| error.to_string()).and_then(|()| {
        let probe = dir.join(".check");
        std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).map_err(|error| error.to_string())
    });
    match tried {
        Ok(()) => Line::ok("data folder", dir.display().to_string()),
        Err(why) => Line::problem("data folder", why, "set engine.data_dir to a folder that this user may write"),
    }
}

fn seal(config: &Config) -> Line {
    match settings::keks(config) {
        Ok(None) => Line::ok("seal", "nothing on disk is encrypted"),
        Ok(Some(keks)) => Line::ok(
            "seal",
            format!(
                "the key file can be read, its key is {}; whether the data folder is sealed under it, `run` tells",
                keks.current()
            ),
        ),
        Err(error) => Line::problem("seal", error.to_string(), "correct [seal]"),
    }
}

fn tls(config: &Config) -> Line {
    match settings::tls(config) {
        Ok(None) => Line::ok("tls", "the sidecar speaks plain HTTP"),
        Ok(Some(_)) => Line::ok("tls", "certificate and key of the sidecar fit"),
        Err(error) => Line::problem("tls", error.to_string(), "correct [tls]"),
    }
}

fn pepper(config: &Config) -> Line {
    match &config.access.pepper_file {
        None => Line::ok("pepper", "the data folder's own, which serves one instance"),
        Some(path) => match access::Pepper::from_file(path) {
            Ok(pepper) => Line::ok("pepper", format!("{} ({})", path.display(), pepper.id())),
            Err(error) => Line::problem("pepper", error.to_string(), "correct access.pepper_file"),
        },
    }
}
