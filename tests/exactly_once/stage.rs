//! One test's topics, folders and configurations, and the binary's commands in them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::broker::{Broker, script, tools};
use crate::instance::Instance;
use crate::servers::free_port;
pub use crate::until::until;

/// Partitions of every topic.
pub const PARTITIONS: i32 = 4;
/// Shortest that a group allows: a process that is silent for longer loses its partitions.
pub const SESSION: Duration = Duration::from_secs(6);

/// What a test works on. The tests take turns, since each loads the whole machine.
pub struct Stage {
    pub broker: Arc<Broker>,
    /// Begins the names of topics and groups.
    pub name: &'static str,
    /// The registry's address; rows are Avro then.
    pub registry: Option<String>,
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// What differs between configurations of a test.
#[derive(Clone, Copy, Debug)]
pub struct Variant<'v> {
    pub instance: &'v str,
    pub group: &'v str,
    pub attributions: &'v str,
    pub lookback: &'v str,
}

impl Stage {
    /// Waits for its turn. The broker is held before, so that one serves all tests.
    pub fn new(name: &'static str, registry: Option<String>) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let broker = Broker::shared();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::Builder::new().prefix(name).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { broker, name, registry, dir, _turn: turn }
    }

    /// A file or folder of this test's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A topic's full name.
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// What every instance of a test has in common.
    pub fn usual<'v>(&self, instance: &'v str) -> Variant<'v> {
        Variant { instance, group: "group", attributions: "attributions", lookback: "7d" }
    }

    /// Writes the configuration of an instance with a data folder of its own; the file and the port it listens on.
    pub fn configure(&self, variant: Variant<'_>) -> (PathBuf, u16) {
        let Variant { instance, group, attributions, lookback } = variant;
        let port = free_port();
        let (broker, name) = (self.broker.address(), self.name);
        let (format, url) = match &self.registry {
            Some(url) => ("avro", url.as_str()),
            None => ("json", ""),
        };
        let text = format!(
            r#"
[kafka]
brokers = "{broker}"
group_id = "{name}.{group}"
instance_id = "{instance}"
transactional_id_prefix = "{name}.{group}"
session_timeout = "{session}s"
transaction_timeout = "10s"
[topics]
touchpoints = "{name}.touchpoints"
conversions = "{name}.conversions"
attributions = "{name}.{attributions}"
dead_letter = "{name}.dead-letter"
control = "{name}.control"
audit = "{name}.audit"
partitions = {PARTITIONS}
[registry]
url = "{url}"
[rules]
lookback = "{lookback}"
[output]
format = "{format}"
[engine]
data_dir = "{data}"
workers = 2
memory = "256MiB"
flush_interval = "2s"
[sidecar]
listen = "127.0.0.1:{port}"
[telemetry]
log_format = "text"
"#,
            session = SESSION.as_secs(),
            data = self.path(&format!("data-{instance}")).display(),
        );
        let file = self.path(&format!("{instance}.toml"));
        std::fs::write(&file, text).unwrap();
        (file, port)
    }

    /// An instance, running.
    pub fn run(&self, variant: Variant<'_>) -> Instance {
        let (config, port) = self.configure(variant);
        Instance::start(variant.instance, config, port, self.path(&format!("{}.log", variant.instance)))
    }

    /// Makes the topics, and runs the first instance: its configuration, and itself.
    pub fn begin(&self) -> (PathBuf, Instance) {
        let usual = self.usual("a");
        let (config, _) = self.configure(usual);
        self.done(&["topics", "create"], &config);
        (config, self.run(usual))
    }

    /// Runs a command of the binary to its end.
    pub fn tributary(&self, arguments: &[&str], config: &Path) -> Output {
        self.command(arguments, config).output().unwrap()
    }

    /// The command line of a configuration, not run yet.
    pub fn command(&self, arguments: &[&str], config: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.args(arguments).arg("--config").arg(config);
        command
    }

    /// As [`Self::tributary`], and it must succeed: what it printed.
    pub fn done(&self, arguments: &[&str], config: &Path) -> String {
        succeeded(arguments, &self.tributary(arguments, config))
    }

    /// The rows of the batch pass over these files, by the rules of a configuration.
    pub fn replay(&self, files: &[PathBuf; 2], config: &Path) -> Vec<u8> {
        let output = self.path("replayed.ndjson");
        let [touchpoints, conversions] = files.each_ref().map(|file| file.to_str().unwrap());
        let output_text = output.to_str().unwrap();
        let arguments = ["replay", "--touchpoints", touchpoints, "--conversions", conversions, "--output", output_text];
        self.done(&arguments, config);
        std::fs::read(output).unwrap()
    }

    /// What the reader, which shares no code with Tributary, finds in an output topic: the rows, and how many records.
    pub fn read_rows(&self, topic: &str) -> (Vec<u8>, u64) {
        script("fetch.sh", &["reader"]);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(tools().join("venv/bin/python"));
        command.arg(root.join("tests/reader/read_rows.py"));
        command.args(["--brokers", self.broker.address(), "--topic", &self.topic(topic)]);
        match &self.registry {
            Some(url) => command.args(["--registry", url]),
            None => command.args(["--format", "json"]),
        };
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        succeeded(&["read_rows.py"], &output);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let records = words.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{words}"));
        (output.stdout, records)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("configurations, logs and events are kept in {}", self.dir.path().display());
        }
    }
}

/// What a command printed to standard output; it must have succeeded.
fn succeeded(what: &[&str], output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}: {words}", what.join(" "), output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The streamed rows must be the batch's, byte for byte.
pub fn same_rows(streamed: &[u8], replayed: &[u8]) {
    let [streamed_rows, replayed_rows] = [streamed, replayed].map(|rows| rows.split(|byte| *byte == b'\n'));
    for (number, (row, expected)) in streamed_rows.zip(replayed_rows).enumerate() {
        let [row, expected] = [row, expected].map(String::from_utf8_lossy);
        assert_eq!(row, expected, "row {} of the stream is not the batch's", number + 1);
    }
    assert_eq!(streamed.len(), replayed.len(), "one has more rows than the other");
    assert!(!replayed.is_empty(), "no rows at all prove nothing");
}

#[test]
#[should_panic(expected = "row 2 of the stream is not the batch's")]
fn another_row_is_found() {
    same_rows(b"one\ntwo\n", b"one\n2\n");
}

#[test]
#[should_panic(expected = "row 2 of the stream is not the batch's")]
fn a_missing_row_is_found() {
    same_rows(b"one\n", b"one\ntwo\n");
}
