//! The schema registry, as the configuration names it.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::Error;
use crate::codec::schemas;
use crate::config::{Config, Format};
use crate::registry::{self, Credentials, Registry};
use crate::stream::RowFormat;

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        match error {
            registry::Error::Settings(reason) => Self::Configuration(reason),
            registry::Error::Unreachable(_) => Self::Unreachable(error.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// The registry, if there is one, and how rows are written.
pub struct Rows {
    /// The registry.
    pub registry: Option<Arc<Registry>>,
    /// How rows are written.
    pub format: RowFormat,
}

/// The registry, if one is configured.
pub fn open(config: &Config, runtime: &Handle) -> Result<Option<Arc<Registry>>, Error> {
    let of = &config.registry;
    if of.url.is_empty() {
        return Ok(None);
    }
    let credentials = match (&of.token, &of.password) {
        (Some(token), _) => Credentials::Bearer(token.clone()),
        (None, Some(password)) => Credentials::Basic { username: of.username.clone(), password: password.clone() },
        (None, None) => Credentials::None,
    };
    let urls = of.url.split(',').map(|url| url.trim().to_owned()).collect();
    let authorities = of.ca_file.as_deref().map(authorities).transpose()?;
    let settings = registry::Settings { urls, credentials, authorities, timeout: of.timeout.duration() };
    Ok(Some(Arc::new(Registry::new(&settings, runtime.clone())?)))
}

fn authorities(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        Error::Configuration(format!("registry.ca_file: cannot read {}: {error}; correct the path", path.display()))
    })
}

/// The schemas that a registry keeps for us, with their subjects.
pub fn subjects(config: &Config) -> [schemas::Subject; 3] {
    let topics = &config.topics;
    schemas::subjects(&topics.touchpoints, &topics.conversions, &topics.attributions)
}

/// How rows are written. For Avro their schema must be registered; registering is a command of its own, so that a run
/// needs no right to write there.
pub fn row_format(config: &Config, registry: Option<&Registry>, runtime: &Handle) -> Result<RowFormat, Error> {
    if config.output.format == Format::Json {
        return Ok(RowFormat::Json);
    }
    let none = || Error::Configuration("output.format: \"avro\" needs registry.url".into());
    let registry = registry.ok_or_else(none)?;
    let [.., rows] = subjects(config);
    match runtime.block_on(registry.registered(&rows.name, rows.schema))? {
        Some(registered) => Ok(RowFormat::Avro { schema_id: registered.id }),
        None => Err(Error::Refused(format!(
            "the schema of rows is not registered under {}; `tributary schemas register` does it",
            rows.name
        ))),
    }
}
