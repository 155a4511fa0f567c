//! A process of `tributary run`: started, killed, paused, stopped. Never left behind.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::servers::{get, readyz};
use crate::stage::{PARTITIONS, until};

/// One instance, over all its lives.
pub struct Instance {
    name: String,
    config: PathBuf,
    port: u16,
    log: PathBuf,
    child: Child,
    started: Instant,
}

impl Instance {
    /// Starts it.
    pub fn start(name: &str, config: PathBuf, port: u16, log: PathBuf) -> Self {
        let child = spawn(&config, &log);
        Self { name: name.into(), config, port, log, child, started: Instant::now() }
    }

    /// Starts it again, after its death.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.config, &self.log);
        self.started = Instant::now();
    }

    /// What a power cut does to the process.
    pub fn kill9(&mut self) {
        self.still_alive();
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{}: ended before it was killed\n{}", self.name, self.tail());
    }

    /// Stops the clock for the process.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Nothing in these tests is a reason to end.
    pub fn still_alive(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{}: ended by itself: {status}\n{}", self.name, self.tail());
        }
    }

    /// Waits until it says that it is ready; how long that is after its start.
    pub fn ready(&mut self, limit: Duration) -> Duration {
        let what = format!("{}: ready", self.name);
        until(&what, limit, || {
            self.still_alive();
            readyz(self.port) == Some(200)
        });
        self.started.elapsed()
    }

    /// What `/readyz` answers just now.
    #[allow(dead_code, reason = "who shares this module waits until it is ready")]
    pub fn readiness(&mut self) -> String {
        self.still_alive();
        get(self.port, "/readyz").unwrap_or_default()
    }

    /// Waits until every partition is live here.
    pub fn holds_all(&mut self, limit: Duration) -> Duration {
        let all = format!("tributary_partitions{{state=\"live\"}} {PARTITIONS}\n");
        until(&format!("{}: all partitions live", self.name), limit, || {
            self.still_alive();
            get(self.port, "/metrics").is_some_and(|metrics| metrics.contains(&all))
        });
        self.started.elapsed()
    }

    /// Waits until it ends by itself: its exit code, and what it said last.
    pub fn ended(mut self, limit: Duration) -> (Option<i32>, String) {
        let mut status: Option<ExitStatus> = None;
        until(&format!("{}: ended", self.name), limit, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.and_then(|status| status.code()), self.tail())
    }

    /// Stops it as a service manager does; it must end well.
    pub fn stop(mut self) {
        self.still_alive();
        self.signal("TERM");
        let mut status = None;
        until(&format!("{}: stopped", self.name), Duration::from_secs(60), || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0), "{}: its end after SIGTERM\n{}", self.name, self.tail());
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "kill -s {name}");
    }

    fn tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.child.kill()); // also a paused one hears it
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the end of {}'s log:\n{}", self.name, self.tail());
        }
    }
}

fn spawn(config: &PathBuf, log: &PathBuf) -> Child {
    let file = || Stdio::from(OpenOptions::new().create(true).append(true).open(log).unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.arg("run").arg("--config").arg(config).stdin(Stdio::null()).stdout(file()).stderr(file());
    command.spawn().unwrap()
}
