//! The one validation: every rule that a type cannot hold, each with the way out.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;

use super::error::Problem;
use super::tree::{Config, Format, LogKind, Properties, Rules};
use super::units::{Size, Span};
use crate::core::{self, Model};

/// librdkafka's settings that may be passed through, by the beginning of their names.
const PASSED: [&str; 10] = [
    "security.",
    "sasl.",
    "ssl.",
    "enable.ssl.",
    "https.",
    "socket.",
    "broker.address.",
    "reconnect.",
    "client.dns.",
    "statistics.",
];
/// What some of them must be: with any other value the other side would go unchecked. (librdkafka takes "0", "f" and "False" for
/// "false", so it is the good value that is named.)
const REQUIRED: [(&str, &str); 2] =
    [("enable.ssl.certificate.verification", "true"), ("ssl.endpoint.identification.algorithm", "https")];

impl Config {
    /// Every problem that these settings have.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_kafka(&mut problems);
        self.check_topics(&mut problems);
        self.check_registry(&mut problems);
        self.check_engine(&mut problems);
        self.check_seal(&mut problems);
        self.sidecar.check(&self.tls, &mut problems);
        self.tls.check(&mut problems);
        self.limits.check(&mut problems);
        self.check_audit(&mut problems);
        self.check_telemetry(&mut problems);
        self.check_rules(&mut problems);
        problems
    }

    /// The rules of credit that `[rules]` says.
    pub fn core_rules(&self) -> Result<core::Rules, Problem> {
        core_rules(&self.rules)
    }

    /// The core names the first thing that it cannot use, so it is asked about each setting alone.
    fn check_rules(&self, problems: &mut Vec<Problem>) {
        let Rules { lookback, half_life, max_path, models } = self.rules.clone();
        let one = |name: String| Rules { models: vec![name], ..Rules::default() };
        let wrong: Vec<_> = models.iter().filter_map(|name| core_rules(&one(name.clone())).err()).collect();
        let models = if wrong.is_empty() { models } else { Rules::default().models };
        problems.extend(wrong);
        let alone = [
            Rules { lookback, ..Rules::default() },
            Rules { half_life, ..Rules::default() },
            Rules { max_path, ..Rules::default() },
            Rules { models, ..Rules::default() },
        ];
        problems.extend(alone.iter().filter_map(|rules| core_rules(rules).err()));
    }

    fn check_kafka(&self, problems: &mut Vec<Problem>) {
        let kafka = &self.kafka;
        if self.log.kind == LogKind::Kafka && kafka.brokers.trim().is_empty() {
            problems.push(Problem::new(
                "kafka.brokers",
                "empty, but log.kind is \"kafka\"",
                "name one or more brokers (\"host:9092,host:9092\"), or set log.kind = \"embedded\"",
            ));
        }
        for (setting, value) in
            [("kafka.group_id", &kafka.group_id), ("kafka.transactional_id_prefix", &kafka.transactional_id_prefix)]
        {
            if value.is_empty() {
                problems.push(Problem::new(setting, "empty", "give it a name, or leave it out for \"tributary\""));
            }
        }
        between("kafka.session_timeout", kafka.session_timeout, Span::from_secs(6), Span::from_secs(1_800), problems);
        between(
            "kafka.transaction_timeout",
            kafka.transaction_timeout,
            Span::from_secs(5),
            Span::from_secs(900),
            problems,
        );
        within("kafka.largest_record", kafka.largest_record.bytes(), 64 << 10, 64 << 20, problems);
        check_properties(&kafka.properties, problems);
    }

    fn check_topics(&self, problems: &mut Vec<Problem>) {
        let named = self.topics.named();
        for (index, (setting, name)) in named.iter().enumerate() {
            let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            if name.is_empty() || name.len() > 249 || !name.bytes().all(legal) || matches!(*name, "." | "..") {
                problems.push(Problem::new(
                    *setting,
                    format!("{name:?} is no topic name"),
                    "use 1 to 249 of letters, digits, '.', '_' and '-'",
                ));
            }
            if let Some((other, _)) = named.iter().take(index).find(|(_, earlier)| earlier == name) {
                problems.push(Problem::new(*setting, format!("the same topic as {other}"), "give each its own name"));
            }
        }
        within("topics.partitions", self.topics.partitions.into(), 1, 1_024, problems);
        within("topics.replication", self.topics.replication.into(), 1, 9, problems);
        between("topics.retention", self.topics.retention, Span::from_secs(3_600), Span::from_days(3_650), problems);
    }

    fn check_registry(&self, problems: &mut Vec<Problem>) {
        let registry = &self.registry;
        let web = registry.url.starts_with("http://") || registry.url.starts_with("https://");
        if !registry.url.is_empty() && !web {
            problems.push(Problem::new("registry.url", "no http or https address", "write it as https://host:port"));
        }
        if self.output.format == Format::Avro && registry.url.is_empty() {
            problems.push(Problem::new(
                "output.format",
                "\"avro\" needs a schema registry, and registry.url is empty",
                "set registry.url, or output.format = \"json\"",
            ));
        }
        let [password, token] = registry.secrets();
        if let (Some((password, _)), Some((token, _))) = (password, token) {
            problems.push(Problem::new(token, format!("given beside {password}"), "give only one of the two"));
        }
        if let Some((password, _)) = password.filter(|_| registry.username.is_empty()) {
            problems.push(Problem::new("registry.username", format!("empty, but {password} is set"), "name the user"));
        }
        between("registry.timeout", registry.timeout, Span::from_millis(100), Span::from_secs(300), problems);
    }

    fn check_engine(&self, problems: &mut Vec<Problem>) {
        let engine = &self.engine;
        if engine.data_dir.as_os_str().is_empty() {
            problems.push(Problem::new("engine.data_dir", "empty", "name a folder on a durable disk"));
        }
        within("engine.workers", engine.workers as u64, 1, 256, problems);
        within("engine.open_files", engine.open_files as u64, 64, 1_000_000, problems);
        within("engine.batch_records", engine.batch_records as u64, 1, 1_000_000, problems);
        self.check_memory(problems);
        between("engine.batch_latency", engine.batch_latency, Span::from_millis(1), Span::from_secs(5), problems);
        between("engine.flush_interval", engine.flush_interval, Span::from_secs(1), Span::from_days(1), problems);
        between(
            "engine.offsets_keepalive",
            engine.offsets_keepalive,
            Span::from_secs(60),
            Span::from_days(7),
            problems,
        );
    }

    fn check_memory(&self, problems: &mut Vec<Problem>) {
        let engine = &self.engine;
        if engine.memory < Size::from_mib(64) {
            problems.push(Problem::new(
                "engine.memory",
                format!("{} is too little", engine.memory),
                "give 64MiB or more",
            ));
        }
        if engine.batch_bytes.bytes() > engine.memory.bytes() / 4 {
            problems.push(Problem::new(
                "engine.batch_bytes",
                format!("{} is more than a quarter of engine.memory ({})", engine.batch_bytes, engine.memory),
                "lower it, or raise engine.memory",
            ));
        }
        within("engine.batch_bytes", engine.batch_bytes.bytes(), 1 << 10, 1 << 30, problems);
    }

    fn check_seal(&self, problems: &mut Vec<Problem>) {
        let seal = &self.seal;
        if seal.key_file.is_none() && !seal.older_key_files.is_empty() {
            problems.push(Problem::new("seal.key_file", "none, but there are older ones", "name the key in use"));
        }
    }

    fn check_audit(&self, problems: &mut Vec<Problem>) {
        let share = self.audit.read_sample;
        if !(0.0..=1.0).contains(&share) {
            problems.push(Problem::new("audit.read_sample", format!("{share} is out of range"), "choose 0 to 1"));
        }
        between("audit.retention", self.audit.retention, Span::from_secs(3_600), Span::from_days(3_650), problems);
    }

    fn check_telemetry(&self, problems: &mut Vec<Problem>) {
        let ratio = self.telemetry.otlp_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            problems.push(Problem::new("telemetry.otlp_ratio", format!("{ratio} is out of range"), "choose 0 to 1"));
        }
        if let Err(error) = EnvFilter::try_new(&self.telemetry.log_filter) {
            let advice = "write it as info, or info,tributary::stream=debug";
            problems.push(Problem::new("telemetry.log_filter", error.to_string(), advice));
        }
        let endpoint = &self.telemetry.otlp_endpoint;
        if !endpoint.is_empty() && !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            problems.push(Problem::new(
                "telemetry.otlp_endpoint",
                "no http or https address",
                "write it as http://host:4318/v1/traces, or leave it empty",
            ));
        }
    }
}

fn check_properties(properties: &Properties, problems: &mut Vec<Problem>) {
    for (name, value) in properties.expose() {
        let setting = format!("kafka.properties.{name}");
        if !PASSED.iter().any(|start| name.starts_with(start)) {
            problems.push(Problem::new(
                setting,
                "not one that may be passed to the client, for exactly-once hangs on the others",
                format!("remove it; those that begin with {} may be passed", PASSED.join(", ")),
            ));
        } else if REQUIRED.iter().any(|(required, good)| *required == name && *good != value) {
            problems.push(Problem::new(setting, "would leave the connection unprotected", "remove it"));
        }
    }
}

pub(super) fn within(setting: &str, value: u64, low: u64, high: u64, problems: &mut Vec<Problem>) {
    if !(low..=high).contains(&value) {
        problems.push(Problem::new(setting, format!("{value} is out of range"), format!("choose {low} to {high}")));
    }
}

pub(super) fn between(setting: &str, value: Span, low: Span, high: Span, problems: &mut Vec<Problem>) {
    if !(low..=high).contains(&value) {
        problems.push(Problem::new(setting, format!("{value} is out of range"), format!("choose {low} to {high}")));
    }
}

/// Puts what `*_file` settings point at where the value itself would stand; says which cannot be read.
pub(super) fn resolve_files(config: &mut Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let registry = &mut config.registry;
    let secrets = [
        ("registry.password", &mut registry.password, &registry.password_file),
        ("registry.token", &mut registry.token, &registry.token_file),
    ];
    for (setting, value, file) in secrets {
        let Some(path) = file else { continue };
        let file_setting = format!("{setting}_file");
        match secret(&file_setting, path) {
            _ if value.is_some() => {
                let reason = format!("given beside {setting}");
                problems.push(Problem::new(file_setting, reason, "give only one of the two"));
            }
            Ok(read) => *value = Some(read),
            Err(problem) => problems.push(problem),
        }
    }
    let properties = &mut config.kafka.properties.0;
    let (files, mut direct): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(properties).into_iter().partition(|(name, _)| name.ends_with(FILE));
    for (name, path) in files {
        let target = name.strip_suffix(FILE).unwrap_or_default();
        let setting = format!("kafka.properties.{}", property(&name));
        match secret(&setting, Path::new(path.expose_secret())) {
            _ if direct.contains_key(target) => {
                let reason = format!("given beside kafka.properties.{target}");
                problems.push(Problem::new(setting, reason, "give only one of the two"));
            }
            Ok(read) => drop(direct.insert(target.to_owned(), read)),
            Err(problem) => problems.push(problem),
        }
    }
    *properties = direct;
    problems
}

/// What the name of a property ends with where its value is a file's path, once underscores are dots.
const FILE: &str = ".file";

/// The name of a property as it is told to people: with dots, but for `_file` at its end.
pub(super) fn property(name: &str) -> String {
    let name = name.replace('_', ".");
    match name.strip_suffix(FILE) {
        Some(target) => format!("{target}_file"),
        None => name,
    }
}

fn secret(setting: &str, path: &Path) -> Result<SecretString, Problem> {
    let read = std::fs::read_to_string(path).map(|text| text.trim_end_matches(['\r', '\n']).to_owned().into());
    read.map_err(|error| {
        let reason = format!("cannot read {}: {error}", path.display());
        Problem::new(setting, reason, "correct the path or the file's permissions")
    })
}

fn core_rules(rules: &Rules) -> Result<core::Rules, Problem> {
    let models = rules.models.iter().map(|name| name.parse::<Model>()).collect::<Result<Vec<_>, _>>();
    let models = models.map_err(|e| Problem::new("rules.models", e.to_string(), "correct the name"))?;
    let millis = |span: Span| i64::try_from(span.millis()).unwrap_or(i64::MAX);
    core::Rules::new(millis(rules.lookback), millis(rules.half_life), rules.max_path, models)
        .map_err(|e| Problem::new(format!("rules.{}", e.setting), e.reason, "choose a value in that range"))
}
