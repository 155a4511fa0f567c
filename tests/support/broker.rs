//! A real Apache Kafka broker for tests, run by `deploy/local/kafka.sh`: on a free port, in a folder of its own, and gone when
//! this process is gone.

use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::{Arc, Mutex, PoisonError, Weak};

#[path = "scripts.rs"]
mod scripts;

use scripts::root;
pub use scripts::script;
#[allow(unused_imports, reason = "some tests need scripts alone")]
pub use scripts::tools;

/// A running broker. Stopped and removed on drop.
pub struct Broker {
    dir: PathBuf,
    addresses: Vec<String>,
}

impl Broker {
    /// The broker that the tests of this process share; whoever holds it last stops it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(broker) = shared.upgrade() {
            return broker;
        }
        let broker = Arc::new(Self::start("shared"));
        *shared = Arc::downgrade(&broker);
        broker
    }

    /// A broker of one test's own, to pause and to kill.
    pub fn start(name: &str) -> Self {
        Self::start_with(name, &[])
    }

    /// As [`Self::start`], with broker settings `KEY=VALUE` over the script's own.
    pub fn start_with(name: &str, settings: &[&str]) -> Self {
        let options: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        Self::launch(name, &options)
    }

    /// A broker with TLS, users and an authorizer, by the certificates and users of a folder; see `kafka-secure.sh`.
    #[allow(dead_code, reason = "most tests are not about security")]
    pub fn start_secured(name: &str, folder: &Path) -> Self {
        Self::launch(name, &["--secure", folder.to_str().unwrap()])
    }

    fn launch(name: &str, options: &[&str]) -> Self {
        script("fetch.sh", &["kafka"]);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broker-{name}-{}", id()));
        drop(std::fs::remove_dir_all(&dir)); // of an earlier process with the same number
        let owner = id().to_string();
        let mut arguments = vec!["start", "--dir", dir.to_str().unwrap(), "--port", "0", "--owner", &owner];
        arguments.extend_from_slice(options);
        let addresses = lines(&script("kafka.sh", &arguments));
        Self { dir, addresses }
    }

    /// `host:port`; of a secured one, where users log in.
    pub fn address(&self) -> &str {
        &self.addresses[0]
    }

    /// `host:port` where clients with certificates connect, of a secured one.
    #[allow(dead_code, reason = "most tests are not about security")]
    pub fn certificates_address(&self) -> &str {
        &self.addresses[1]
    }

    /// The broker's process.
    #[allow(dead_code, reason = "only the benchmark asks what it spends")]
    pub fn pid(&self) -> u32 {
        std::fs::read_to_string(self.dir.join("pid")).unwrap().trim().parse().unwrap()
    }

    /// The address it listens on itself, whatever it tells clients.
    pub fn listener(&self) -> String {
        let settings = std::fs::read_to_string(self.dir.join("server.properties")).unwrap();
        let listeners = settings.lines().find_map(|line| line.strip_prefix("listeners=PLAINTEXT://")).unwrap();
        listeners.split(',').next().unwrap().to_owned()
    }

    /// Does something to the process: `pause`, `resume`, `kill9`, `stop`.
    pub fn act(&self, action: &str) {
        script("kafka.sh", &[action, "--dir", self.dir.to_str().unwrap()]);
    }

    /// Starts it again after it was killed or stopped, on the same port and data.
    pub fn start_again(&self) {
        let owner = id().to_string();
        let addresses = script("kafka.sh", &["start", "--dir", self.dir.to_str().unwrap(), "--owner", &owner]);
        assert_eq!(lines(&addresses), self.addresses);
    }
}

/// What a failed test leaves to look at is the broker's folder, with its log.
impl Drop for Broker {
    fn drop(&mut self) {
        let script = root().join("deploy/local/kafka.sh");
        drop(Command::new(script).args(["kill9", "--dir"]).arg(&self.dir).output());
        if std::thread::panicking() {
            eprintln!("the broker's folder is left as it was: {}", self.dir.display());
        } else {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
