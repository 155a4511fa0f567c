//! The tree of settings. What each means stands in [`super::settings`], from which the documentation is generated.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::sidecar::{Limits, Sidecar, Tls};
use super::units::{Size, Span};
use crate::core::Model;

/// Every setting of the process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // the sections, in the order of the documentation
pub struct Config {
    pub log: Log,
    pub kafka: Kafka,
    pub topics: Topics,
    pub registry: Registry,
    pub rules: Rules,
    pub output: Output,
    pub engine: Engine,
    pub seal: Seal,
    pub sidecar: Sidecar,
    pub tls: Tls,
    pub limits: Limits,
    pub access: Access,
    pub audit: Audit,
    pub telemetry: Telemetry,
}

/// `[log]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Log {
    pub kind: LogKind,
}

/// Which log the engine reads and writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// Apache Kafka.
    #[default]
    Kafka,
    /// The log inside this process, in the data folder.
    Embedded,
}

/// `[kafka]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Kafka {
    pub brokers: String,
    pub group_id: String,
    pub instance_id: String,
    pub transactional_id_prefix: String,
    pub session_timeout: Span,
    pub transaction_timeout: Span,
    pub leave_on_stop: bool,
    pub largest_record: Size,
    pub properties: Properties,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            group_id: "tributary".into(),
            instance_id: String::new(),
            transactional_id_prefix: "tributary".into(),
            session_timeout: Span::from_secs(45),
            transaction_timeout: Span::from_secs(60),
            leave_on_stop: false,
            largest_record: Size::from_kib(1_089),
            properties: Properties::default(),
        }
    }
}

/// Settings handed to librdkafka as they are. Any of them may be a password, so none is ever printed.
#[derive(Clone, Debug, Default)]
pub struct Properties(pub BTreeMap<String, SecretString>);

impl Properties {
    /// Name and value, for the client alone.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret()))
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.keys().map(|name| (name, "(hidden)")))
    }
}

impl<'de> Deserialize<'de> for Properties {
    /// Names with underscores (as environment variables write them) become dotted, so `SASL_PASSWORD` is `sasl.password`.
    /// Tables become dotted names too, so TOML's `ssl.ca.location = …` needs no quotes.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tree = serde_json::Value::deserialize(deserializer)?;
        let mut flat = BTreeMap::new();
        flatten("", &tree, &mut flat);
        Ok(Self(flat))
    }
}

fn flatten(path: &str, value: &serde_json::Value, flat: &mut BTreeMap<String, SecretString>) {
    match value {
        serde_json::Value::Object(map) => {
            for (name, value) in map {
                let name = name.to_lowercase().replace('_', ".");
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(&path, value, flat);
            }
        }
        serde_json::Value::String(text) => drop(flat.insert(path.into(), text.clone().into())),
        other => drop(flat.insert(path.into(), other.to_string().into())),
    }
}

/// `[topics]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Topics {
    pub touchpoints: String,
    pub conversions: String,
    pub attributions: String,
    pub dead_letter: String,
    pub control: String,
    pub audit: String,
    pub partitions: u32,
    pub replication: u16,
    pub retention: Span,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            touchpoints: "touchpoints".into(),
            conversions: "conversions".into(),
            attributions: "attributions".into(),
            dead_letter: "attributions.dead-letter".into(),
            control: "tributary.control".into(),
            audit: "tributary.audit".into(),
            partitions: 4,
            replication: 1,
            retention: Span::from_days(90),
        }
    }
}

impl Topics {
    /// The name of each, with the setting it comes from.
    pub fn named(&self) -> [(&'static str, &str); 6] {
        [
            ("topics.touchpoints", &self.touchpoints),
            ("topics.conversions", &self.conversions),
            ("topics.attributions", &self.attributions),
            ("topics.dead_letter", &self.dead_letter),
            ("topics.control", &self.control),
            ("topics.audit", &self.audit),
        ]
    }
}

/// `[registry]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Registry {
    pub url: String,
    pub username: String,
    #[serde(serialize_with = "hidden", deserialize_with = "secret")]
    pub password: Option<SecretString>,
    pub password_file: Option<PathBuf>,
    #[serde(serialize_with = "hidden", deserialize_with = "secret")]
    pub token: Option<SecretString>,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub timeout: Span,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            url: String::new(),
            username: String::new(),
            password: None,
            password_file: None,
            token: None,
            token_file: None,
            ca_file: None,
            timeout: Span::from_secs(5),
        }
    }
}

impl Registry {
    /// Password and token, where they are, each with the setting that it comes from.
    pub(super) fn secrets(&self) -> [Option<(&'static str, &SecretString)>; 2] {
        let password = if self.password_file.is_some() { "registry.password_file" } else { "registry.password" };
        let token = if self.token_file.is_some() { "registry.token_file" } else { "registry.token" };
        [self.password.as_ref().map(|secret| (password, secret)), self.token.as_ref().map(|secret| (token, secret))]
    }
}

fn hidden<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| "(hidden)").serialize(serializer)
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Into::into))
}

/// `[rules]`: what bears on results.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Rules {
    pub lookback: Span,
    pub half_life: Span,
    pub max_path: usize,
    #[serde(deserialize_with = "comma_separated")]
    pub models: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        let models = Model::ALL.iter().map(|model| model.name().into()).collect();
        Self { lookback: Span::from_days(30), half_life: Span::from_days(7), max_path: 256, models }
    }
}

/// A list, or, as an environment variable writes it, one string with commas.
pub(super) fn comma_separated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Names::deserialize(deserializer)? {
        Names::List(names) => names,
        Names::Text(text) => text.split(',').map(|name| name.trim().into()).collect(),
    })
}

/// `[output]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Output {
    pub format: Format,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Avro in Confluent framing.
    Avro,
    /// JSON.
    #[default]
    Json,
}

/// `[engine]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Engine {
    pub data_dir: PathBuf,
    pub workers: usize,
    pub memory: Size,
    pub open_files: usize,
    pub batch_latency: Span,
    pub batch_records: usize,
    pub batch_bytes: Size,
    pub flush_interval: Span,
    pub offsets_keepalive: Span,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            workers: 2,
            memory: Size::from_mib(512),
            open_files: 2_000,
            batch_latency: Span::from_millis(10),
            batch_records: 40_000,
            batch_bytes: Size::from_mib(8),
            flush_interval: Span::from_secs(300),
            offsets_keepalive: Span::from_secs(12 * 3_600),
        }
    }
}

/// How the one memory bound is shared out, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// RocksDB: block cache and, inside the same bound, write buffers.
    pub store: usize,
    /// Pending batches and what is being built from them, of all workers.
    pub batches: usize,
    /// The log's side: librdkafka's queues, of all clients; or the embedded log's own write buffers and block cache.
    pub log: usize,
}

impl Engine {
    /// Half to the store, a quarter each to batches and to the log's side.
    pub fn memory_split(&self) -> Memory {
        let total = self.memory.as_usize();
        Memory { store: total / 2, batches: total / 4, log: total / 4 }
    }
}

/// `[seal]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Seal {
    pub key_file: Option<PathBuf>,
    #[serde(deserialize_with = "comma_separated")]
    pub older_key_files: Vec<String>,
}

/// `[access]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Access {
    pub pepper_file: Option<PathBuf>,
    #[serde(deserialize_with = "comma_separated")]
    pub older_pepper_files: Vec<String>,
}

/// `[audit]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Audit {
    pub read_sample: f64,
    pub retention: Span,
}

impl Default for Audit {
    fn default() -> Self {
        Self { read_sample: 0.01, retention: Span::from_days(365) }
    }
}

/// `[telemetry]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Telemetry {
    pub log_format: LogFormat,
    pub log_filter: String,
    pub otlp_endpoint: String,
    pub otlp_ratio: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_format: LogFormat::default(),
            log_filter: "info".into(),
            otlp_endpoint: String::new(),
            otlp_ratio: 1.0,
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    #[default]
    Json,
}
