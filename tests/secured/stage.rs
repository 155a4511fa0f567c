//! One test's folder and configurations, the binary's commands in them, and all that these said.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use crate::cluster::{Cluster, Properties};
use crate::instance::Instance;
use crate::servers::free_port;
pub use crate::until::until;

/// Partitions of every topic.
pub const PARTITIONS: i32 = 2;

/// What a test works on.
pub struct Stage {
    pub cluster: Arc<Cluster>,
    dir: tempfile::TempDir,
    said: Mutex<Vec<u8>>,
}

/// What differs between configurations.
pub struct Variant {
    pub instance: &'static str,
    pub brokers: String,
    pub properties: Properties,
    /// Lines of `[registry]`; none where all is JSON.
    pub registry: String,
}

/// How a command ended: its exit code, and all that it said.
pub struct Ended {
    pub code: Option<i32>,
    pub said: String,
}

impl Stage {
    pub fn new(name: &str) -> Self {
        let cluster = Cluster::shared();
        let dir = tempfile::Builder::new().prefix(name).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { cluster, dir, said: Mutex::default() }
    }

    /// A file or folder of this test's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An instance that logs in as this user, without a registry.
    pub fn logged_in(&self, instance: &'static str, user: &str) -> Variant {
        let brokers = self.cluster.broker.address().to_owned();
        Variant { instance, brokers, properties: self.cluster.user(user), registry: String::new() }
    }

    /// An instance that comes with this certificate, without a registry.
    pub fn certified(&self, instance: &'static str, certificate: &str) -> Variant {
        let brokers = self.cluster.broker.certificates_address().to_owned();
        Variant { instance, brokers, properties: self.cluster.certificate(certificate), registry: String::new() }
    }

    /// The data folder of every instance of this test, one at a time.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a configuration; the file and the port that it listens on. Names are the defaults, as on the page.
    pub fn configure(&self, variant: &Variant) -> (PathBuf, u16) {
        let Variant { instance, brokers, properties, registry } = variant;
        let port = free_port();
        let properties: String = properties.iter().map(|(name, value)| format!("{name:?} = {value:?}\n")).collect();
        let format = if registry.is_empty() { "json" } else { "avro" };
        let text = format!(
            r#"
[kafka]
brokers = "{brokers}"
instance_id = "{instance}"
session_timeout = "6s"
transaction_timeout = "10s"
[kafka.properties]
{properties}
[topics]
partitions = {PARTITIONS}
[registry]
{registry}
[output]
format = "{format}"
[engine]
data_dir = "{data}"
workers = 1
memory = "256MiB"
[sidecar]
listen = "127.0.0.1:{port}"
[telemetry]
log_format = "text"
log_filter = "trace"
"#,
            data = self.data().display(),
        );
        let file = self.path(&format!("{instance}.toml"));
        std::fs::write(&file, text).unwrap();
        (file, port)
    }

    /// An instance, running; the port that it listens on.
    pub fn run(&self, variant: &Variant) -> (Instance, u16) {
        let (config, port) = self.configure(variant);
        (Instance::start(variant.instance, config, port, self.log(variant.instance)), port)
    }

    /// The log of an instance.
    pub fn log(&self, instance: &str) -> PathBuf {
        self.path(&format!("{instance}.log"))
    }

    /// Runs a command of the binary to its end.
    pub fn tributary(&self, arguments: &[&str], config: &Path) -> Ended {
        self.tributary_with(arguments, config, &[])
    }

    /// As [`Self::tributary`], with environment variables.
    pub fn tributary_with(&self, arguments: &[&str], config: &Path, variables: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.args(arguments).arg("--config").arg(config).envs(variables.iter().copied());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = [stdout, stderr].concat();
        self.said.lock().unwrap().extend_from_slice(&said);
        Ended { code: status.code(), said: String::from_utf8_lossy(&said).into_owned() }
    }

    /// As [`Self::tributary`], and it must succeed.
    pub fn done(&self, arguments: &[&str], config: &Path) -> String {
        self.tributary(arguments, config).done()
    }

    /// All that the commands said.
    pub fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }
}

impl Ended {
    /// What it said; it must have succeeded.
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.said);
        self.said
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("configurations and logs are kept in {}", self.dir.path().display());
        }
    }
}
