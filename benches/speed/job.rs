//! The whole job: the binary, started on topics that are full, until it has answered every record.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::Figure;
use crate::servers::{get, readyz};
use crate::stage::{Stage, attributions, binary};
use crate::usage::{self, Spent};

/// A running instance.
pub struct Job {
    child: Child,
    config: PathBuf,
    attributions: String,
    log: PathBuf,
    data: PathBuf,
    port: u16,
    started: Instant,
}

impl Job {
    /// Starts a round's instance.
    pub fn start(stage: &Stage, round: usize) -> Self {
        let (config, port) = stage.configure(round);
        let log = stage.path(&format!("{round}.log"));
        let child = spawn(&config, &log);
        let attributions = attributions(round);
        Self { child, config, attributions, log, data: stage.data(round), port, started: Instant::now() }
    }

    /// Waits until it has answered that many records: the figure from when the first of them was settled, and its rows.
    pub fn catch_up(&mut self, stage: &Stage, events: u64) -> (Figure, u64) {
        let broker = stage.broker.pid();
        let begin = self.when(|read| read > 0);
        let at = (Instant::now(), usage::spent(self.child.id()), usage::spent(broker));
        self.when(|read| read >= events);
        let (took, own, broker) = (at.0.elapsed(), usage::spent(self.child.id()) - at.1, usage::spent(broker) - at.2);
        let rows = self.counter("tributary_records_written_total{topic=\"attributions\"}");
        (Figure::of(events - begin, took, own, broker), rows)
    }

    fn when(&mut self, holds: impl Fn(u64) -> bool) -> u64 {
        loop {
            let read = ["conversions", "touchpoints"]
                .map(|topic| self.counter(&format!("tributary_records_read_total{{topic=\"{topic}\"}}")));
            if holds(read.iter().sum()) {
                return read.iter().sum();
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                panic!("tributary ended: {status}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn counter(&self, series: &str) -> u64 {
        let metrics = get(self.port, "/metrics").unwrap_or_default();
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse::<f64>().ok());
        value.unwrap_or(0.0) as u64
    }

    /// Stops it, which puts all of its state on disk.
    pub fn stop(&mut self) {
        let status = std::process::Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
        assert!(self.child.wait().unwrap().success(), "a clean end after SIGTERM");
    }

    /// What its state takes on disk, without what is not in tables yet.
    pub fn state_bytes(&self) -> u64 {
        tables(&self.data)
    }

    /// What a power cut does, then a start: how long until it is ready.
    pub fn kill_and_wait(&mut self) -> Duration {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.start_again();
        self.started.elapsed()
    }

    /// Starts it again and waits until it is ready.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.config, &self.log);
        self.started = Instant::now();
        while readyz(self.port) != Some(200) {
            assert!(self.started.elapsed() < Duration::from_secs(60), "not ready; see {}", self.log.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The most memory that this life of it has had.
    pub fn peak_memory_mib(&self) -> f64 {
        usage::peak_mib(self.child.id())
    }

    /// The topic that its rows go to.
    pub fn attributions(&self) -> &str {
        &self.attributions
    }

    /// Its configuration.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Where its sidecar listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has spent in this life.
    pub fn spent(&self) -> Spent {
        usage::spent(self.child.id())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.data));
    }
}

fn spawn(config: &Path, log: &Path) -> Child {
    let file = || Stdio::from(File::options().create(true).append(true).open(log).unwrap());
    binary().arg("run").arg("--config").arg(config).stdin(Stdio::null()).stdout(file()).stderr(file()).spawn().unwrap()
}

/// The bytes of every table of RocksDB in a folder.
fn tables(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.extension() {
            _ if path.is_dir() => tables(&path),
            Some(kind) if kind == "sst" => fs::metadata(&path).unwrap().len(),
            _ => 0,
        })
        .sum()
}
