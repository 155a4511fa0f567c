//! What a run works on: a broker and a registry of its own, the topics, and a configuration for each instance.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use tributary::topics::Input;

use crate::broker::Broker;
use crate::load::{Event, Load};
use crate::servers::{Registry, free_port, get};

/// Partitions of every topic.
pub const PARTITIONS: u32 = 4;

/// The ids of the events' schemas in the registry.
#[derive(Clone, Copy)]
pub struct Schemas {
    pub touchpoint: u32,
    pub conversion: u32,
}

/// How many events of each kind were produced.
#[derive(Default)]
pub struct Counts {
    pub touchpoints: u64,
    pub conversions: u64,
}

/// Everything a run works on.
pub struct Stage {
    pub broker: Broker,
    pub schemas: Schemas,
    registry: Registry,
    pub workers: usize,
    dir: tempfile::TempDir,
}

/// The output topic of a round: rows of two rounds must not meet.
pub fn attributions(round: usize) -> String {
    format!("attributions-{round}")
}

/// The topic of an input.
pub fn topic(input: Input) -> &'static str {
    input.name()
}

impl Stage {
    /// Where the second ceiling writes.
    pub const CEILING: &'static str = "ceiling";

    /// Starts the servers and makes the topics.
    pub fn new(workers: usize) -> Self {
        let broker = Broker::start("bench");
        let registry = Registry::start();
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let schemas = Schemas { touchpoint: 0, conversion: 0 };
        let mut stage = Self { broker, schemas, registry, workers, dir };
        stage.make_ceiling();
        stage.schemas = Schemas { touchpoint: stage.schema("touchpoints"), conversion: stage.schema("conversions") };
        stage
    }

    /// The ceiling's output, with the settings of the job's own: made by the same command.
    fn make_ceiling(&self) {
        let (config, _) = self.configure(0);
        let text = std::fs::read_to_string(&config).unwrap();
        let file = self.path("ceiling.toml");
        std::fs::write(&file, text.replace(&attributions(0), Self::CEILING)).unwrap();
        self.tributary(&["topics", "create"], &file);
    }

    fn schema(&self, topic: &str) -> u32 {
        let (host, path) = self.registry.url.trim_start_matches("http://").split_once('/').unwrap();
        let port = host.rsplit(':').next().unwrap().parse().unwrap();
        let answer = get(port, &format!("/{path}/subjects/{topic}-value/versions/latest")).unwrap();
        let body = &answer[answer.find('{').unwrap()..=answer.rfind('}').unwrap()];
        let answer: serde_json::Value = serde_json::from_str(body).unwrap();
        answer["id"].as_u64().unwrap() as u32
    }

    /// A file or folder of this run's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A configuration for a round, with its topics made and its schemas registered, and the sidecar's port.
    pub fn configure(&self, round: usize) -> (PathBuf, u16) {
        let port = free_port();
        let text = format!(
            r#"[log]
kind = "kafka"
[kafka]
brokers = "{brokers}"
group_id = "bench-{round}"
instance_id = "bench-{round}"
[topics]
attributions = "{attributions}"
partitions = {PARTITIONS}
[registry]
url = "{registry}"
[output]
format = "avro"
[engine]
data_dir = "{data}"
workers = {workers}
{extra}
[sidecar]
listen = "127.0.0.1:{port}"
[limits]
rate = 1000000
burst = 1000000
{seal}"#,
            brokers = self.broker.address(),
            attributions = attributions(round),
            registry = self.registry.url,
            data = self.data(round).display(),
            workers = self.workers,
            extra = std::env::var("ENGINE").unwrap_or_default(),
            seal = self.seal(),
        );
        let file = self.path(&format!("{round}.toml"));
        std::fs::write(&file, text).unwrap();
        self.tributary(&["topics", "create"], &file);
        self.tributary(&["schemas", "register"], &file);
        (file, port)
    }

    /// With `SEAL=1` everything on disk is sealed.
    fn seal(&self) -> String {
        if std::env::var_os("SEAL").is_none() {
            return String::new();
        }
        let file = self.path("seal.key");
        std::fs::write(&file, "5a".repeat(32)).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        format!("[seal]\nkey_file = {file:?}\n")
    }

    /// The data folder of a round.
    pub fn data(&self, round: usize) -> PathBuf {
        self.path(&format!("data-{round}"))
    }

    /// Runs a command of the binary, which must succeed; what it prints.
    pub fn tributary(&self, arguments: &[&str], config: &Path) -> String {
        let output = binary().args(arguments).arg("--config").arg(config).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tributary {}: {words}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A new key that may read everything, as often as it likes.
    pub fn key(&self, config: &Path) -> String {
        let made = self.tributary(&["keys", "create", "--role", "analyst", "--rate", "1000000"], config);
        made.trim().to_owned()
    }

    /// Produces so many events of the load, as fast as the broker takes them.
    pub fn produce(&self, load: &mut Load, events: u64) -> Counts {
        let sender = Sender::new(self, 50);
        let mut counts = Counts::default();
        for _ in 0..events {
            let event = load.next();
            match event.input {
                Input::Touchpoints => counts.touchpoints += 1,
                Input::Conversions => counts.conversions += 1,
            }
            sender.send(&event);
        }
        sender.finish();
        counts
    }
}

/// The binary that was built with this benchmark.
pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tributary"))
}

/// A producer of events.
pub struct Sender(ThreadedProducer<DefaultProducerContext>);

impl Sender {
    /// One that waits so long for a batch to grow, in milliseconds.
    pub fn new(stage: &Stage, linger: u32) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", stage.broker.address())
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("delivery.report.only.error", "true")
            .set("linger.ms", linger.to_string())
            .create()
            .unwrap();
        Self(producer)
    }

    /// Sends an event to its partition; waits where the queue is full.
    pub fn send(&self, event: &Event) {
        let mut record = BaseRecord::to(topic(event.input))
            .partition(event.partition as i32)
            .key(&event.key)
            .payload(&event.value)
            .timestamp(event.logged_at);
        while let Err((error, again)) = self.0.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            std::thread::sleep(Duration::from_millis(1));
            record = again;
        }
    }

    /// Waits until the broker has all.
    pub fn finish(&self) {
        self.0.flush(Duration::from_secs(120)).unwrap();
    }
}
