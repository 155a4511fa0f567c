//! File, then environment, then one validation.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Environment, File, FileFormat, Map, Value, ValueKind};
use serde::Deserialize;

use super::error::{Error, Problem};
use super::settings::Setting;
use super::{Config, check, settings};

/// Environment variables of the configuration begin with this: `TRIBUTARY__KAFKA__BROKERS`.
const PREFIX: &str = "TRIBUTARY";
const SEPARATOR: &str = "__";
/// What values of the environment say of where they come from.
const ENVIRONMENT: &str = "the environment";

impl Config {
    /// Reads a TOML file, if one is named, and the environment over it; refuses unknown keys and unusable values, all at once.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        Self::read(file)?.finish()
    }

    /// As [`Config::load`], for who asks for the rules alone: nothing else of the file has to hold.
    pub fn load_unchecked(file: &Path) -> Result<Self, Error> {
        let Merged { config, problems, .. } = Self::read(Some(file))?;
        if problems.is_empty() { Ok(config) } else { Err(Error::Invalid(problems)) }
    }

    fn read(file: Option<&Path>) -> Result<Merged, Error> {
        let text = file.map(|path| std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))).transpose()?;
        Merged::of(text.as_deref(), None).map_err(|error| match (error, file) {
            (Error::File { reason, .. }, Some(path)) => Error::File { path: path.into(), reason },
            (error, _) => error,
        })
    }

    /// As [`Config::load`], from the text of a file and, instead of the process's environment, these variables.
    pub fn parse(file: Option<&str>, variables: Option<&[(&str, &str)]>) -> Result<Self, Error> {
        Merged::of(file, variables)?.finish()
    }
}

/// What file and environment say, and what of it cannot be used, which is left out of the configuration.
struct Merged {
    config: Config,
    problems: Vec<Problem>,
    /// Settings that are wrong, or that a wrong key may have meant.
    faulty: Vec<String>,
    /// The environment variables that settings come from.
    variables: BTreeMap<String, String>,
}

impl Merged {
    fn of(file: Option<&str>, variables: Option<&[(&str, &str)]>) -> Result<Self, Error> {
        let mut builder = config::Config::builder();
        if let Some(text) = file {
            builder = builder.add_source(File::from_str(text, FileFormat::Toml));
        }
        let variables = variables.map(|v| v.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect());
        let environment =
            Environment::with_prefix(PREFIX).prefix_separator(SEPARATOR).separator(SEPARATOR).source(variables);
        let unmerged = |error| unmerged(&error, file.unwrap_or_default());
        let merged = builder.add_source(environment).build().map_err(unmerged)?;
        let mut sorted = Sorted::default();
        sorted.visit("", &merged.cache);
        let Sorted { good, problems, mut faulty, meant, variables } = sorted;
        // What is given by its right name as well is held against the rules all the same.
        faulty.extend(meant.into_iter().filter(|setting| !is_given(&good, setting)).map(str::to_owned));
        // Each of its values has been read alone already.
        let config = Config::deserialize(Value::new(None, good)).map_err(|error| Error::Value(error.to_string()))?;
        Ok(Self { config, problems, faulty, variables })
    }

    /// Reads the files that it names, and holds it against every rule. What only follows from something that is wrong itself
    /// is left out: it may be gone when that is right.
    fn finish(self) -> Result<Config, Error> {
        let Self { mut config, mut problems, mut faulty, variables } = self;
        let unread = check::resolve_files(&mut config);
        faulty.extend(unread.iter().map(|problem| problem.setting.clone()));
        problems.extend(unread);
        let follows = |problem: &Problem| {
            let about = |setting: &String| problem.setting == *setting || problem.reason.contains(setting);
            faulty.iter().any(about)
        };
        problems.extend(config.problems().into_iter().filter(|problem| !follows(problem)));
        for problem in &mut problems {
            if let Some(variable) = variables.get(&problem.setting) {
                problem.setting.push_str(&format!(" ({variable})"));
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(Error::Invalid(problems)) }
    }
}

/// The merged tree, value by value.
#[derive(Default)]
struct Sorted {
    good: Map<String, Value>,
    problems: Vec<Problem>,
    faulty: Vec<String>,
    /// What was meant by names that are no setting's.
    meant: Vec<&'static str>,
    variables: BTreeMap<String, String>,
}

impl Sorted {
    fn visit(&mut self, path: &str, value: &Value) {
        let setting = settings::all().find(|setting| setting.path == path);
        match (&value.kind, setting) {
            (_, Some(setting)) => self.setting(setting, value),
            (ValueKind::Table(table), None) if is_section(path) || !table.is_empty() => {
                let mut entries: Vec<_> = table.iter().collect();
                entries.sort_by_key(|(name, _)| *name);
                for (name, value) in entries {
                    self.visit(&below(path, name), value);
                }
            }
            (_, None) => {
                let near = near(path);
                self.problems.push(unknown_key(path, value, near));
                self.meant.extend(near);
            }
        }
    }

    fn setting(&mut self, setting: &Setting, value: &Value) {
        self.name_variables(setting.path, value);
        let alone = nested(Map::default(), setting.path, value);
        match Config::deserialize(Value::new(None, alone)) {
            Ok(_) => self.good = nested(std::mem::take(&mut self.good), setting.path, value),
            Err(error) => {
                let advice = format!("it takes: {}", setting.takes);
                self.problems.push(Problem::new(setting.path, unfit(&error), advice));
                self.faulty.push(setting.path.into());
            }
        }
    }

    /// The variables that a setting comes from: one, or several where its names are the user's own.
    fn name_variables(&mut self, path: &str, value: &Value) {
        match &value.kind {
            ValueKind::Table(table) => {
                table.iter().for_each(|(name, value)| self.name_variables(&below(path, name), value));
            }
            _ if value.origin() == Some(ENVIRONMENT) => {
                let variable = path.to_uppercase().replace('.', SEPARATOR);
                let properties = path.strip_prefix("kafka.properties.").map(check::property);
                let setting = properties.map_or_else(|| path.to_owned(), |name| format!("kafka.properties.{name}"));
                self.variables.insert(setting, [PREFIX, SEPARATOR, &variable].concat());
            }
            _ => {}
        }
    }
}

/// Whether a setting, `section.name`, stands in the tree.
fn is_given(tree: &Map<String, Value>, setting: &str) -> bool {
    setting.split_once('.').is_some_and(|(section, name)| match tree.get(section).map(|section| &section.kind) {
        Some(ValueKind::Table(settings)) => settings.contains_key(name),
        _ => false,
    })
}

/// Whether settings stand below this.
fn is_section(path: &str) -> bool {
    path.is_empty() || settings::SECTIONS.iter().any(|section| section.name == path)
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

/// The tree with this value in it, `section.name`.
fn nested(mut tree: Map<String, Value>, path: &str, value: &Value) -> Map<String, Value> {
    let (section, name) = path.split_once('.').unwrap_or(("", path));
    let entry = tree.entry(section.into()).or_insert_with(|| Value::new(None, Map::<String, Value>::default()));
    if let ValueKind::Table(settings) = &mut entry.kind {
        settings.insert(name.into(), value.clone());
    }
    tree
}

/// Why a value does not fit its setting.
fn unfit(error: &config::ConfigError) -> String {
    match error {
        config::ConfigError::Type { unexpected, expected, .. } => format!("{unexpected} where {expected} belongs"),
        config::ConfigError::At { error, .. } => unfit(error),
        other => {
            let text = other.to_string();
            let variant = text.split_once(" does not have variant constructor ").map(|(_, found)| found.to_owned());
            variant.map_or(text, |found| format!("{found:?} is not known"))
        }
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

fn unknown_key(path: &str, value: &Value, near: Option<&str>) -> Problem {
    let origin = value.origin().unwrap_or("the configuration file");
    let advice = match near {
        Some(near) => format!("did you mean {near}?"),
        None => "remove it, or see docs/configuration.md for every setting".into(),
    };
    Problem::new(path, format!("no such setting (in {origin})"), advice)
}

/// The setting that may have been meant.
fn near(path: &str) -> Option<&'static str> {
    let near = settings::all().map(|setting| setting.path).min_by_key(|known| distance(path, known));
    near.filter(|near| distance(path, near) <= 4)
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
