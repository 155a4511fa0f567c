//! Sealing as an operator meets it, through the binary: what lies on disk, what is refused, how a key is rotated.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tributary::seal::{Kek, Keks};
use tributary::topics::embedded::{Broker, Place, Settings};

#[path = "support/answers.rs"]
mod answers;
#[path = "sealing/foretold.rs"]
mod foretold;

use answers::streamed_and_batch;

const PARTITIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(60);

/// One folder of a test, with its data, its temporary files and its configuration.
struct Home {
    root: tempfile::TempDir,
    port: u16,
}

impl Home {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("tmp")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { root, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A key file that only its owner may read.
    fn key(&self, byte: u8) -> PathBuf {
        let path = self.path(&format!("{byte}.key"));
        std::fs::write(&path, format!("{byte:02x}").repeat(32)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A configuration with these keys, the first of them in use.
    fn config(&self, keys: &[u8]) -> PathBuf {
        let seal = match keys.split_first() {
            None => String::new(),
            Some((current, older)) => {
                let older: Vec<_> = older.iter().map(|byte| self.key(*byte)).collect();
                format!("[seal]\nkey_file = {:?}\nolder_key_files = {older:?}\n", self.key(*current))
            }
        };
        let file = self.path("tributary.toml");
        let text = format!(
            "[log]\nkind = \"embedded\"\n[topics]\npartitions = {PARTITIONS}\n[engine]\ndata_dir = {:?}\n\
             flush_interval = \"1s\"\n[sidecar]\nlisten = \"127.0.0.1:{}\"\n{seal}",
            self.path("data"),
            self.port
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.args(arguments).env_remove("TRIBUTARY_CONFIG").env("TMPDIR", self.path("tmp")).stdin(Stdio::null());
        command
    }

    /// Exit code, standard output and standard error of a command with the configuration.
    fn run(&self, arguments: &[&str], keys: &[u8]) -> (Option<i32>, String, String) {
        let config = self.config(keys);
        let output = self.command(arguments).arg("--config").arg(config).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// A running instance that is ready.
    fn start(&self, keys: &[u8]) -> Instance<'_> {
        let config = self.config(keys);
        let mut command = self.command(&["run", "--config", config.to_str().unwrap()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut instance = Instance { place: self, child };
        let until = Instant::now() + PATIENCE;
        while !instance.get("/readyz", "").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            assert!(Instant::now() < until && instance.child.try_wait().unwrap().is_none(), "it does not get ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        instance
    }

    /// Whether any file has these bytes, the files in use included.
    fn shows(&self, needle: &str) -> bool {
        let mut folders = vec![self.path("data"), self.path("tmp")];
        let mut found = false;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    found |= bytes.windows(needle.len()).any(|part| part == needle.as_bytes());
                }
            }
        }
        found
    }
}

struct Instance<'p> {
    place: &'p Home,
    child: Child,
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Instance<'_> {
    fn key(&self, role: &str) -> String {
        let data = self.place.path("data");
        let arguments =
            ["keys", "create", "--role", role, "--note", "ocelot-note", "--data-dir", data.to_str().unwrap()];
        let output = self.place.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn ask(&self, method: &str, path: &str, key: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.place.port)).ok()?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\
             Content-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn get(&self, path: &str, key: &str) -> Option<String> {
        self.ask("GET", path, key, "")
    }

    /// A figure of `/metrics`.
    fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics", "").unwrap();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Sends events of so many users, numbered from `first` on, and waits until the last is answered.
    fn feed(&self, ingestor: &str, analyst: &str, first: usize, users: usize) {
        let (mut touchpoints, mut conversions) = (String::new(), String::new());
        for n in first..first + users {
            let time = 1_767_225_600_000_i64 + n as i64 * 1_000;
            touchpoints += &format!(
                "{{\"event_id\":\"quokka-touch-{n}\",\"user_id\":\"zebra-user-{n}\",\"occurred_at\":{time},\
                 \"channel\":\"walrus-channel\",\"campaign\":\"narwhal-campaign\"}}\n"
            );
            conversions += &format!(
                "{{\"event_id\":\"lemur-order-{n}\",\"user_id\":\"zebra-user-{n}\",\"occurred_at\":{},\
                 \"kind\":\"purchase\",\"value_micros\":5000000,\"currency\":\"EUR\"}}\n",
                time + 500
            );
        }
        let sent = self.ask("POST", "/v1/touchpoints", ingestor, &touchpoints).unwrap();
        assert!(sent.starts_with("HTTP/1.1 202"), "{sent}");
        let sent = self.ask("POST", "/v1/conversions", ingestor, &conversions).unwrap();
        assert!(sent.starts_with("HTTP/1.1 202"), "{sent}");
        let last = format!("/v1/conversions/lemur-order-{}/attributions", first + users - 1);
        let until = Instant::now() + PATIENCE;
        while !self.get(&last, analyst).is_some_and(|answer| answer.contains("walrus-channel")) {
            assert!(Instant::now() < until, "no answer: {:?}", self.get(&last, analyst));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it as a service manager does.
    fn stop(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Whatever names a user, an event, a channel, a campaign, or a key's note.
const NEEDLES: [&str; 6] =
    ["zebra-user-", "quokka-touch-", "lemur-order-", "walrus-channel", "narwhal-campaign", "ocelot-note"];

fn expect(place: &Home, sealed: bool, when: &str) {
    for needle in NEEDLES {
        assert_eq!(place.shows(needle), !sealed, "{needle} {when}, sealed: {sealed}");
    }
}

/// Feeds, restarts and kills an instance, and looks at its files all the while.
fn live(keys: &[u8]) {
    let (place, sealed) = (Home::new(), !keys.is_empty());
    let first = place.start(keys);
    let (ingestor, analyst) = (first.key("ingestor"), first.key("analyst"));
    first.feed(&ingestor, &analyst, 0, 400);
    expect(&place, sealed, "while it runs");
    first.stop();
    expect(&place, sealed, "after it was stopped");
    let second = place.start(keys);
    second.feed(&ingestor, &analyst, 400, 400);
    // Cold states are flushed after a second, old rows of the output compacted away.
    second.feed(&ingestor, &analyst, 0, 800);
    std::thread::sleep(Duration::from_secs(3));
    second.kill();
    expect(&place, sealed, "after it was killed");
    let third = place.start(keys);
    let journey = third.get("/v1/users/zebra-user-7/journey", &analyst).unwrap();
    assert!(journey.contains("quokka-touch-7"), "{journey}");
    third.stop();
    let (code, found, summary) = place.run(&["verify"], keys);
    assert_eq!((code, found.as_str()), (Some(0), ""), "{summary}");
    expect(&place, sealed, "after it was verified");
}

#[test]
fn no_file_names_a_user_an_event_or_a_channel() {
    live(&[1]);
}

/// The same without keys finds them all: the search can fail.
#[test]
fn without_sealing_every_one_of_them_is_found() {
    live(&[]);
}

#[test]
fn what_does_not_fit_is_6_and_a_key_file_that_cannot_be_used_is_3() {
    let place = Home::new();
    place.start(&[1]).stop();
    let id = |byte| Kek::new(&[byte; 32]).id().to_string();
    let (code, _, message) = place.run(&["run"], &[2]);
    assert!(code == Some(6) && message.contains(&id(1)) && message.contains(&id(2)), "{code:?} {message}");
    assert!(message.contains("seal.older_key_files") && message.contains("nothing makes it again"), "{message}");
    let (code, _, message) = place.run(&["run"], &[]);
    assert!(code == Some(6) && message.contains(&id(1)) && message.contains("seal.key_file"), "{code:?} {message}");
    let (code, _, message) = place.run(&["verify"], &[2]);
    assert!(code == Some(6), "{code:?} {message}");
    let config = place.config(&[1]);
    std::fs::set_permissions(place.path("1.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = place.command(&["run", "--config", config.to_str().unwrap()]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(3) && message.contains("seal.key_file") && message.contains("chmod 600"),
        "{message}"
    );
    assert!(!message.contains("0101"), "no key is ever in a message: {message}");

    // The state alone, as on Kafka: the log is another's.
    let place = Home::new();
    place.start(&[]).stop();
    let (code, _, message) = place.run(&["run"], &[1]);
    assert!(
        code == Some(6) && message.contains("is not sealed") && message.contains("another data folder"),
        "{message}"
    );
    std::fs::remove_dir_all(place.path("data/log")).unwrap();
    let (code, _, message) = place.run(&["run"], &[1]);
    assert!(code == Some(6) && message.contains("/state/p-0000") && message.contains("is not sealed"), "{message}");
}

fn broker(place: &Home, key: u8) -> Arc<Broker> {
    let seal = Some(Arc::new(Keks::new(Kek::new(&[key; 32]), Vec::new())));
    let settings = Settings { seal, ..Settings::new(NonZeroU32::new(PARTITIONS).unwrap()) };
    Broker::open(&Place::Folder(place.path("data/log")), &settings).unwrap()
}

/// The KEKs that the key rows of a RocksDB name, and the data keys' numbers, beside those that its values name.
fn keys_in(folder: &Path, prefix: &[u8]) -> (Vec<[u8; 4]>, Vec<u32>, Vec<u32>) {
    let db = rocksdb::DB::open_for_read_only(&rocksdb::Options::default(), folder, false).unwrap();
    let (mut keks, mut numbers, mut used) = (Vec::new(), Vec::new(), Vec::new());
    for (key, value) in db.iterator(rocksdb::IteratorMode::Start).map(Result::unwrap) {
        if let Some(number) = key.strip_prefix(prefix).and_then(|rest| <[u8; 4]>::try_from(rest).ok()) {
            keks.extend([1..5, 5..9].map(|part| <[u8; 4]>::try_from(&value[part]).unwrap()));
            numbers.push(u32::from_be_bytes(number));
        } else if &*key != b"f" {
            assert_eq!(value[0], 1, "a sealed value");
            used.push(u32::from_be_bytes(value[1..5].try_into().unwrap()));
        }
    }
    used.sort_unstable();
    used.dedup();
    (keks, numbers, used)
}

#[test]
fn a_key_is_rotated_while_events_come_in() {
    let place = Home::new();
    let first = place.start(&[1]);
    let (ingestor, analyst) = (first.key("ingestor"), first.key("analyst"));
    for round in 0..5 {
        first.feed(&ingestor, &analyst, round * 1_000, 1_000);
    }
    let report = "/v1/reports/channels?model=linear&from=2025-01-01T00:00:00Z&to=2027-01-01T00:00:00Z&group_by=channel";
    let body = |answer: String| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    first.stop();

    let second = place.start(&[2, 1]);
    let mut users = 5_000;
    let until = Instant::now() + PATIENCE;
    let mut seen_left = false;
    loop {
        second.feed(&ingestor, &analyst, users, 100);
        users += 100;
        let left = second.metric("tributary_seal_left_bytes");
        seen_left |= left > 0.0;
        if seen_left && left == 0.0 {
            break;
        }
        assert!(Instant::now() < until, "{left} bytes are left");
        std::thread::sleep(Duration::from_millis(100));
    }
    let before = body(second.get(report, &analyst).unwrap());
    assert!(before.contains("walrus-channel"), "{before}");
    second.kill();

    // The older key is gone for good.
    let third = place.start(&[2]);
    let after = body(third.get(report, &analyst).unwrap());
    let lines = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["lines"].clone();
    assert_eq!(lines(&after), lines(&before));
    third.stop();
    let (code, found, summary) = place.run(&["verify"], &[2]);
    assert_eq!((code, found.as_str()), (Some(0), ""), "{summary}");
    let two = u32::from_str_radix(&Kek::new(&[2; 32]).id().to_string(), 16).unwrap().to_be_bytes();
    let folders = [("data/log", &[0, b'K'][..]), ("data/state/p-00000", b"k"), ("data/state/p-00001", b"k")];
    for (folder, prefix) in folders {
        let (keks, numbers, used) = keys_in(&place.path(folder), prefix);
        assert!(!keks.is_empty() && !used.is_empty());
        // The hash key alone was drawn while the older one was in use: it cannot change.
        assert!(keks.iter().enumerate().all(|(n, kek)| n == 1 || *kek == two), "{folder}: {keks:?}");
        assert!(used.iter().all(|number| numbers.contains(number)), "{folder}: {used:?} of {numbers:?}");
    }
    let (streamed, batch) = streamed_and_batch(&broker(&place, 2));
    assert_eq!(batch.len(), users * 6);
    assert!(streamed == batch, "{} rows streamed, {} by the batch", streamed.len(), batch.len());
}
