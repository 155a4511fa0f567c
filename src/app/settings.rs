//! The configuration, cut into what each part needs.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};

use super::Error;
use crate::audit::{Action, Caller, Draft, Outcome};
use crate::config::{Config, LogFormat, LogKind};
use crate::core::Millis;
use crate::seal::{self, Kek, Keks};
use crate::topics::{Limit, PerInput, embedded, kafka};
use crate::{api, audit, store, stream, telemetry};

/// Where the embedded log lies.
pub fn log_dir(config: &Config) -> PathBuf {
    config.engine.data_dir.join("log")
}

/// Where the state of the partitions lies.
pub fn state_dir(config: &Config) -> PathBuf {
    config.engine.data_dir.join("state")
}

/// What the state may take, with so many partitions in the log: one process may come to hold them all.
pub fn budget(config: &Config, partitions: u32) -> store::Budget {
    store::Budget {
        memory_bytes: config.engine.memory_split().store,
        open_files: config.engine.open_files,
        partitions: partitions as usize,
        ..store::Budget::default()
    }
}

/// How long queries and compactions may go on reading a partition that was given up: twice the most that
/// `limits.request_timeout` can be, whatever a reload makes of it. A query may outlast its request, and a compaction after a
/// rotation of keys rewrites one file.
const READ_FOR: Millis = 600_000;

/// What each worker is set to; batches of all workers together keep inside their part of the memory.
pub fn worker(config: &Config) -> stream::Options {
    let engine = &config.engine;
    let share = engine.memory_split().batches / engine.workers.max(1);
    stream::Options {
        dir: state_dir(config),
        // A batch is there as bytes, as changes and as rows.
        batch: Limit {
            records: engine.batch_records,
            bytes: engine.batch_bytes.as_usize().min(share / 4).max(1 << 10),
        },
        batch_latency: millis(engine.batch_latency),
        flush_interval: millis(engine.flush_interval),
        offsets_keepalive: millis(engine.offsets_keepalive),
        dead_letter_bytes: config.kafka.largest_record.as_usize(),
        transaction_timeout: match config.log.kind {
            LogKind::Kafka => millis(config.kafka.transaction_timeout),
            LogKind::Embedded => Millis::MAX, // a transaction is one write
        },
        read_for: READ_FOR,
    }
}

/// The most bytes of rows that a batch may answer with.
pub fn rows_bytes(config: &Config) -> usize {
    (config.engine.memory_split().batches / config.engine.workers.max(1) / 2).max(1 << 20)
}

/// The keys that everything on disk is sealed under, if it is.
pub fn keks(config: &Config) -> Result<Option<Arc<Keks>>, Error> {
    let Some(file) = &config.seal.key_file else { return Ok(None) };
    let named = |setting: &str, error: seal::Error| Error::Configuration(format!("{setting}: {error}"));
    let current = Kek::from_file(file).map_err(|error| named("seal.key_file", error))?;
    let older = config.seal.older_key_files.iter().map(|file| Kek::from_file(Path::new(file)));
    let older = older.collect::<Result<Vec<_>, _>>().map_err(|error| named("seal.older_key_files", error))?;
    Ok(Some(Arc::new(Keks::new(current, older))))
}

/// What the states of all partitions share.
pub fn shared(config: &Config, partitions: u32) -> Result<store::Shared, Error> {
    let shared = store::Shared::open(&budget(config, partitions))?;
    Ok(match keks(config)? {
        Some(keks) => shared.sealed(keks),
        None => shared,
    })
}

/// How the embedded log is opened.
pub fn embedded(config: &Config) -> Result<embedded::Settings, Error> {
    let partitions = NonZeroU32::new(config.topics.partitions).unwrap_or(NonZeroU32::MIN);
    let topics =
        PerInput { touchpoints: config.topics.touchpoints.clone(), conversions: config.topics.conversions.clone() };
    let memory_bytes = config.engine.memory_split().log;
    let seal = keks(config)?;
    Ok(embedded::Settings { topics, memory_bytes, seal, ..embedded::Settings::new(partitions) })
}

/// Logs and traces.
pub fn telemetry(config: &Config) -> telemetry::Settings {
    let telemetry = &config.telemetry;
    telemetry::Settings {
        format: match telemetry.log_format {
            LogFormat::Text => telemetry::Format::Text,
            LogFormat::Json => telemetry::Format::Json,
        },
        filter: telemetry.log_filter.clone(),
        otlp_endpoint: (!telemetry.otlp_endpoint.is_empty()).then(|| telemetry.otlp_endpoint.clone()),
        otlp_ratio: telemetry.otlp_ratio,
        instance: instance(config),
    }
}

/// The instance's name: as configured, else the host's.
pub fn instance(config: &Config) -> String {
    if !config.kafka.instance_id.is_empty() {
        return config.kafka.instance_id.clone();
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "tributary".into() } else { name.into() }
}

/// Makes the data folder, for its owner alone: it holds events, and the socket through which keys are made.
pub fn make_data_dir(config: &Config) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = &config.engine.data_dir;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        Error::Configuration(format!(
            "engine.data_dir: {} cannot be made: {error}; name a folder that this user may write",
            dir.display()
        ))
    })
}

fn millis(span: crate::config::units::Span) -> Millis {
    Millis::try_from(span.millis()).unwrap_or(Millis::MAX)
}

/// How to reach Kafka.
pub fn kafka(config: &Config) -> kafka::Settings {
    let (of, topics) = (&config.kafka, &config.topics);
    let queues = config.engine.memory_split().log / config.engine.workers.max(1);
    kafka::Settings {
        brokers: of.brokers.clone(),
        properties: of.properties.expose().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        group: of.group_id.clone(),
        instance: instance(config),
        leave: of.leave_on_stop,
        transactional_prefix: of.transactional_id_prefix.clone(),
        topics: kafka::Names {
            touchpoints: topics.touchpoints.clone(),
            conversions: topics.conversions.clone(),
            attributions: topics.attributions.clone(),
            dead_letter: topics.dead_letter.clone(),
            control: topics.control.clone(),
            audit: topics.audit.clone(),
        },
        timeouts: kafka::Timeouts {
            session: of.session_timeout.duration(),
            transaction: of.transaction_timeout.duration(),
            ..kafka::Timeouts::default()
        },
        // Two producers in turn, each with a quarter; the rest is for what is fetched ahead.
        queues: kafka::QueueMemory { fetched: queues / 2, produced: queues / 4 },
        largest_record: of.largest_record.as_usize(),
    }
}

/// How `topics create` makes topics.
pub fn creation(config: &Config) -> kafka::topics::Creation {
    kafka::topics::Creation {
        partitions: config.topics.partitions,
        replicas: config.topics.replication.into(),
        retention: Some(config.topics.retention.duration()),
        audit_retention: config.audit.retention.duration(),
    }
}

/// The audit: decisions wait for room, and changes for their first entry, for half the time that a request has.
pub fn audit(config: &Config) -> audit::Settings {
    audit::Settings {
        queue: 8_192,
        strangers: 2_048,
        shut_keys: 256,
        patience: config.limits.request_timeout.duration() / 2,
        read_sample: config.audit.read_sample,
        clock: super::clock::now,
    }
}

/// How the process tells of its start. The digest is of what the configuration says, secrets hidden.
pub fn started(config: &Config) -> audit::Started {
    audit::Started { instance: instance(config), version: env!("CARGO_PKG_VERSION").into(), config: digest(config) }
}

/// A digest of what the configuration says, secrets hidden.
pub fn digest(config: &Config) -> String {
    audit::entry::hex(&Sha256::digest(serde_json::to_vec(config).unwrap_or_default()))
}

/// How the process tells of its stop: what it failed of, unless it was told to.
pub fn stopped(error: Option<&Error>) -> Draft {
    let error = error.filter(|error| !matches!(error, Error::Stopped));
    let ended = if error.is_none() { Outcome::Done } else { Outcome::Failed };
    let draft = Draft::new(Caller::system(), Action::Stop, "process", ended);
    draft.because(error.map(ToString::to_string).unwrap_or_default())
}

/// What callers may ask of the sidecar.
pub fn limits(config: &Config) -> api::Limits {
    let limits = &config.limits;
    api::Limits {
        request: limits.request_timeout.duration(),
        body_bytes: limits.body_size.as_usize(),
        concurrency: limits.concurrency,
        report_range: limits.report_range.duration(),
        rates: api::Rates {
            all: api::Rate::per_second(limits.rate, limits.burst),
            key: api::Rate::per_second(limits.key_rate, limits.key_burst),
            bad_keys: api::Rate::per_minute(limits.bad_keys),
            strangers: api::Rate::per_second(limits.stranger_rate, limits.stranger_rate),
        },
    }
}

/// Where the sidecar's certificates lie, if it has any.
pub fn tls_files(config: &Config) -> Option<api::tls::Files> {
    let tls = &config.tls;
    let (certificate, key) = tls.certificate_file.clone().zip(tls.key_file.clone())?;
    Some(api::tls::Files { certificate, key, client_ca: tls.client_ca_file.clone() })
}

/// Whether the sidecar speaks TLS, for the log.
pub fn tls_in_words(config: &Config) -> &'static str {
    match tls_files(config) {
        None => "off",
        Some(files) if files.client_ca.is_some() => "on, clients need certificates",
        Some(_) => "on",
    }
}

/// A digest of the sidecar's certificates and key as they lie in their files, which tells when one was replaced.
pub fn tls_digest(config: &Config) -> Option<[u8; 32]> {
    let files = tls_files(config)?;
    let mut digest = Sha256::new();
    for file in [Some(files.certificate), Some(files.key), files.client_ca].into_iter().flatten() {
        let bytes = Zeroizing::new(std::fs::read(file).unwrap_or_default()); // that it can be read, others find out
        digest.update(Sha256::digest(&*bytes));
    }
    Some(digest.finalize().into())
}

/// What the data folder remembers of the audit log.
pub fn audit_memory(config: &Config) -> audit::Memory {
    match config.log.kind {
        LogKind::Kafka => audit::Memory::of_kafka(&config.engine.data_dir),
        LogKind::Embedded => audit::Memory::of(&config.engine.data_dir),
    }
}

/// The sidecar's certificates, read.
pub fn tls(config: &Config) -> Result<Option<api::tls::Tls>, Error> {
    let read = tls_files(config).map(|files| api::tls::Tls::load(&files)).transpose();
    read.map_err(|error| Error::Configuration(error.to_string()))
}

/// Where and how the sidecar listens.
pub fn listen(config: &Config, tls: Option<api::tls::Tls>) -> api::Listen {
    let sidecar = &config.sidecar;
    api::Listen {
        address: sidecar.listen,
        admin: sidecar.admin_listen,
        tls,
        connections: sidecar.connections,
        connections_per_address: sidecar.connections_per_address,
        header: sidecar.header_timeout.duration(),
        write: sidecar.write_timeout.duration(),
        drain: sidecar.drain.duration(),
    }
}
