//! File, then environment, then one validation.

use std::path::Path;

use config::{Environment, File, FileFormat, Value, ValueKind};

use super::error::{Error, Problem};
use super::{Config, check, settings};

/// Environment variables of the configuration begin with this: `TRIBUTARY__KAFKA__BROKERS`.
const PREFIX: &str = "TRIBUTARY";
const SEPARATOR: &str = "__";
/// Below these, names are the user's own.
const FREE: [&str; 1] = ["kafka.properties"];

impl Config {
    /// Reads a TOML file, if one is named, and the environment over it; refuses unknown keys and unusable values.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let mut config = Self::read(file)?;
        check::resolve_files(&mut config)?;
        config.check()?;
        Ok(config)
    }

    /// As [`Config::load`], for who asks for the rules alone: nothing else of the file has to hold.
    pub fn load_unchecked(file: &Path) -> Result<Self, Error> {
        Self::read(Some(file))
    }

    fn read(file: Option<&Path>) -> Result<Self, Error> {
        let text = file.map(|path| std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))).transpose()?;
        Self::merge(text.as_deref(), None).map_err(|error| match (error, file) {
            (Error::File { reason, .. }, Some(path)) => Error::File { path: path.into(), reason },
            (error, _) => error,
        })
    }

    /// As [`Config::load`], from the text of a file and, instead of the process's environment, these variables.
    pub fn parse(file: Option<&str>, variables: Option<&[(&str, &str)]>) -> Result<Self, Error> {
        let mut config = Self::merge(file, variables)?;
        check::resolve_files(&mut config)?;
        config.check()?;
        Ok(config)
    }

    fn merge(file: Option<&str>, variables: Option<&[(&str, &str)]>) -> Result<Self, Error> {
        let mut builder = config::Config::builder();
        if let Some(text) = file {
            builder = builder.add_source(File::from_str(text, FileFormat::Toml));
        }
        let variables = variables.map(|v| v.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect());
        let environment =
            Environment::with_prefix(PREFIX).prefix_separator(SEPARATOR).separator(SEPARATOR).source(variables);
        let unmerged = |error| unmerged(&error, file.unwrap_or_default());
        let merged = builder.add_source(environment).build().map_err(unmerged)?;

        let mut unknown = Vec::new();
        find_unknown("", &merged.cache, &mut unknown);
        if !unknown.is_empty() {
            return Err(Error::Invalid(unknown));
        }
        merged.try_deserialize().map_err(|error| Error::Value(error.to_string()))
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::File { path: path.into(), reason: error.to_string() }
}

/// The parser's own text shows the line that it could not read, and with it the password that may stand there.
fn unmerged(error: &config::ConfigError, text: &str) -> Error {
    match error {
        config::ConfigError::FileParse { cause, .. } => {
            let reason = match cause.downcast_ref::<toml::de::Error>() {
                Some(error) => {
                    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                    format!("line {}: {}", before.matches('\n').count() + 1, error.message())
                }
                None => cause.to_string(),
            };
            Error::File { path: "(given)".into(), reason }
        }
        other => Error::Value(other.to_string()),
    }
}

/// Every key of the merged tree that is no setting, with where it came from and the setting it may have meant.
fn find_unknown(path: &str, value: &Value, unknown: &mut Vec<Problem>) {
    if FREE.contains(&path) {
        return;
    }
    let ValueKind::Table(table) = &value.kind else {
        if !settings::all().any(|setting| setting.path == path) {
            unknown.push(unknown_key(path, value));
        }
        return;
    };
    for (name, value) in table {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        find_unknown(&path, value, unknown);
    }
}

fn unknown_key(path: &str, value: &Value) -> Problem {
    let origin = value.origin().unwrap_or("the configuration file");
    let near = settings::all().map(|s| s.path).min_by_key(|known| distance(path, known));
    let advice = match near {
        Some(near) if distance(path, near) <= 4 => format!("did you mean {near}?"),
        _ => "remove it, or see docs/configuration.md for every setting".into(),
    };
    Problem::new(path, format!("no such setting (in {origin})"), advice)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.bytes().zip(row.iter().skip(1)) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(x != y));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
