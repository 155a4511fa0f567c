//! The binary as its user meets it: exit codes, messages, and the demo from start to verification.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tributary::topics::embedded::{Broker, Place, Settings, Topic};
use tributary::topics::{Offsets, Outgoing, PartitionOffsets, PerInput, TopicLog};

#[path = "support/answers.rs"]
mod answers;
#[path = "support/binary.rs"]
mod binary;
#[path = "command_line/running.rs"]
mod running;

use answers::streamed_and_batch;
use binary::{run, tributary};

#[test]
fn usage_is_2_and_help_is_0() {
    assert_eq!(run(&["--version"]).0, 0);
    assert_eq!(run(&["nonsense"]).0, 2);
    assert_eq!(run(&["replay"]).0, 2);
    let (code, help, _) = run(&["verify", "--help"]);
    assert!(code == 0 && help.contains("Example: tributary verify"), "{help}");
}

#[test]
fn a_configuration_that_cannot_be_used_is_3_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tributary.toml");
    let path = file.to_str().unwrap();
    let (code, _, message) = run(&["run", "--config", path]);
    assert!(code == 3 && message.contains(path) && message.contains("--config"), "{message}");
    std::fs::write(&file, "[kafka]\nbroker = \"a:1\"\n").unwrap();
    let (code, _, message) = run(&["check", "--config", path]);
    assert!(code == 3 && message.contains("did you mean kafka.brokers?"), "{message}");
    std::fs::write(&file, "[kafka]\nbroker = \"a:1\"\n[limits]\nrate = 0\n[engine]\nworkers = \"many\"\n").unwrap();
    let (code, _, message) = run(&["run", "--config", path]);
    let named = ["kafka.broker: ", "limits.rate: ", "engine.workers: "].map(|setting| message.matches(setting).count());
    assert!(code == 3 && named == [1; 3], "all of them in one answer: {message}");
    std::fs::write(&file, "").unwrap();
    let (code, _, message) = run(&["run", "--config", path]);
    assert!(code == 3 && message.contains("log.kind = \"embedded\""), "{message}");
}

#[test]
fn check_tells_of_log_and_registry_where_neither_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tributary.toml");
    let text = format!(
        "[kafka]\nbrokers = \"a:1\"\n[kafka.properties]\nsecurity.protocol = \"SSL\"\nssl.ca.location = \"/nowhere/a.pem\"\n\
         [registry]\nurl = \"https://r:1\"\nca_file = \"/nowhere/b.pem\"\n[engine]\ndata_dir = {:?}\n",
        folder.path().join("data")
    );
    std::fs::write(&file, text).unwrap();
    let (code, lines, _) = run(&["check", "--config", file.to_str().unwrap()]);
    for line in [
        "problem  log: kafka.properties.ssl.ca.location: /nowhere/a.pem: cannot be read: No such file",
        "problem  registry: registry.ca_file: cannot read /nowhere/b.pem: No such file",
    ] {
        assert!(lines.contains(line), "{line}\nnot in\n{lines}");
    }
    assert_eq!(code, 5, "as a run would end, which meets the log first: {lines}");
}

#[test]
fn keys_need_a_running_instance() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, message) = run(&["keys", "list", "--data-dir", folder.path().to_str().unwrap()]);
    assert!(code == 1 && message.contains("no running instance answers"), "{message}");
}

#[test]
fn a_replay_that_set_lines_aside_is_4() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let touchpoints =
        file("t", "{\"event_id\":\"t\",\"user_id\":\"u\",\"occurred_at\":1700000000000,\"channel\":\"email\"}\n");
    let good = "{\"event_id\":\"c\",\"user_id\":\"u\",\"occurred_at\":1700000100000}\n";
    let conversions = file("c", good);
    let (code, rows, _) = run(&["replay", "--touchpoints", &touchpoints, "--conversions", &conversions]);
    assert_eq!((code, rows.lines().count()), (0, 6), "{rows}");
    assert!(rows.starts_with("{\"row_id\":\"c|first_touch|t\","), "{rows}");
    let conversions = file("c", &format!("{good}not json\n"));
    let (code, again, message) = run(&["replay", "--touchpoints", &touchpoints, "--conversions", &conversions]);
    assert_eq!((code, again), (4, rows));
    assert!(message.contains(":2"), "the line is named: {message}");
}

/// The answer of a sidecar, or nothing where nobody listens.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A process; killed if a test ends early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn while_no_broker_answers_the_probes_do_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let (file, address) = (folder.path().join("tributary.toml"), format!("127.0.0.1:{}", free_port()));
    let text = format!(
        "[kafka]\nbrokers = \"127.0.0.1:{}\"\ninstance_id = \"a\"\n[output]\nformat = \"json\"\n[engine]\ndata_dir = {:?}\n[sidecar]\nlisten = {address:?}\n",
        free_port(),
        folder.path().join("data"),
    );
    std::fs::write(&file, text).unwrap();
    let child =
        tributary(&["run", "--config", file.to_str().unwrap()]).stderr(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut running = Running(child.unwrap());
    let until = Instant::now() + Duration::from_secs(60);
    let startup = loop {
        assert_eq!(running.0.try_wait().unwrap(), None, "a broker that is away ends nobody");
        match get(&address, "/startupz") {
            Some(answer) if answer.contains("not reachable") || Instant::now() > until => break answer,
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    assert!(startup.starts_with("HTTP/1.1 503") && startup.contains("\"code\":\"starting\""), "{startup}");
    assert!(startup.contains("log not reachable"), "{startup}");
    for (path, status) in [("/livez", 200), ("/metrics", 200), ("/readyz", 503), ("/v1/reports/channels", 503)] {
        let answer = get(&address, path).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    assert!(Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap().success());
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "told to stop while it waits, it does");
}

#[test]
fn partitions_that_nothing_came_to_are_verified_too() {
    let folder = tempfile::tempdir().unwrap();
    let (config, address) = (config(folder.path()), format!("127.0.0.1:{}", free_port()));
    let mut command = tributary(&["run", "--config", config.to_str().unwrap()]);
    let child = command.env("TRIBUTARY__SIDECAR__LISTEN", &address).stderr(Stdio::null()).stdout(Stdio::null()).spawn();
    let mut running = Running(child.unwrap());
    let until = Instant::now() + Duration::from_secs(60);
    while !get(&address, "/startupz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
        assert!(Instant::now() < until, "it does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(Command::new("kill").args(["-TERM", &running.0.id().to_string()]).status().unwrap().success());
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    let (code, _, summary) = run(&["verify", "--config", config.to_str().unwrap()]);
    assert!(code == 0 && summary.contains("0 rows of 4 partitions: 0 differences"), "{code} {summary}");
}

/// A demo that runs.
struct Demo {
    process: Running,
    lines: BufReader<ChildStdout>,
}

impl Demo {
    fn start(folder: &Path) -> Self {
        let mut command =
            tributary(&["demo", "--plain", "--rate", "1000", "--users", "200", "--listen", "127.0.0.1:0"]);
        let mut child = command.arg("--data-dir").arg(folder).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { process: Running(child), lines }
    }

    /// The next line that contains `part`.
    fn line(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the demo ended without {part:?}");
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Stops it as Ctrl-C does.
    fn stop(mut self) -> String {
        let id = self.process.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert_eq!(self.process.0.wait().unwrap().code(), Some(0), "{rest}");
        rest
    }
}

fn config(folder: &Path) -> PathBuf {
    let file = folder.join("tributary.toml");
    std::fs::write(
        &file,
        format!("[log]\nkind = \"embedded\"\n[engine]\ndata_dir = {folder:?}\n[sidecar]\nlisten = \"127.0.0.1:0\"\n"),
    )
    .unwrap();
    file
}

/// What the `curl` line asks, asked without curl.
fn ask(curl: &str) -> String {
    let header = curl.split('\'').nth(1).unwrap();
    let url = curl.split('\'').nth(3).unwrap().strip_prefix("http://").unwrap();
    let (host, path) = url.split_at(url.find('/').unwrap());
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn broker(folder: &Path) -> std::sync::Arc<Broker> {
    Broker::open(&Place::Folder(folder.join("log")), &Settings::new(NonZeroU32::new(4).unwrap())).unwrap()
}

#[test]
fn a_demo_runs_answers_stops_goes_on_and_equals_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let config = config(data);

    let mut demo = Demo::start(data);
    let curl = demo.line("curl");
    demo.line(" conversions=");
    the_pasted_line_works(&curl);
    one_instance_a_folder(&config);
    keys_are_made_and_listed(data);
    rows_come_as_lines(data);
    assert!(demo.stop().contains("Stopped."));
    let before: i64 = broker(data).ends(Topic::Touchpoints).iter().sum();
    assert!(before > 1_000, "{before}");

    let mut demo = Demo::start(data);
    demo.line(" conversions=");
    demo.stop();
    {
        let broker = broker(data);
        assert!(broker.ends(Topic::Touchpoints).iter().sum::<i64>() > before, "it went on");
        let (streamed, batch) = streamed_and_batch(&broker);
        assert!(batch.len() > 200, "{}", batch.len());
        assert!(streamed == batch, "{} rows streamed, {} by the batch", streamed.len(), batch.len());
        spoil(&broker);
    }
    verify_finds_and_repairs(&config);
}

fn the_pasted_line_works(curl: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    let report = loop {
        let answer = ask(curl);
        if answer.contains("email") || Instant::now() > until {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(report.starts_with("HTTP/1.1 200") && report.contains("email"), "{report}");
}

fn one_instance_a_folder(config: &Path) {
    let (code, _, message) = run(&["run", "--config", config.to_str().unwrap()]);
    assert!(code == 6 && message.contains("another"), "{code} {message}");
    let (code, _, message) = run(&["verify", "--config", config.to_str().unwrap()]);
    assert!(code == 6 && message.contains("stop it (SIGTERM)"), "{code} {message}");
}

fn keys_are_made_and_listed(data: &Path) {
    let (code, key, _) = run(&["keys", "create", "--role", "viewer", "--data-dir", data.to_str().unwrap()]);
    assert!(code == 0 && key.starts_with("trb_live_"), "{key}");
    let list = || run(&["keys", "list", "--data-dir", data.to_str().unwrap()]).1;
    assert!(list().contains("viewer") && list().contains("demo"), "{}", list());
    let id = key.split('_').nth(2).unwrap();
    let (code, next, said) = run(&["keys", "rotate", id, "--grace", "1h", "--data-dir", data.to_str().unwrap()]);
    assert!(code == 0 && next.starts_with("trb_live_") && next != key && said.contains("until"), "{said}");
    assert!(list().contains(&format!("[replaced by {}]", next.split('_').nth(2).unwrap())), "{}", list());
    let create = ["--role", "ingestor", "--expires-in", "90d", "--rate", "5", "--network", "10.0.0.0/8"];
    let (code, _, said) = run(&[&["keys", "create", "--data-dir", data.to_str().unwrap()], &create[..]].concat());
    assert!(code == 0 && list().contains("[5/s, 5 at once] [from 10.0.0.0/8]"), "{said} {}", list());
    let (code, _, said) = run(&["keys", "revoke", id, "--data-dir", data.to_str().unwrap()]);
    assert!(code == 0 && list().contains("revoked"), "{said} {}", list());
}

fn rows_come_as_lines(data: &Path) {
    let mut tail = tributary(&["tail", "--from", "beginning", "--data-dir", data.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let rows: Vec<String> = BufReader::new(tail.stdout.take().unwrap()).lines().take(50).map(Result::unwrap).collect();
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert_eq!(rows.len(), 50);
    for row in &rows {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        assert!(row["row_id"].is_string(), "{row}");
    }
}

fn verify_finds_and_repairs(config: &Path) {
    let verify = |more: &[&str]| run(&[&["verify", "--config", config.to_str().unwrap()], more].concat());
    let (code, found, summary) = verify(&[]);
    assert_eq!(code, 4, "{summary}");
    assert_eq!(found, "partition 1 extra no-conversion|linear|\n");
    assert_eq!(verify(&["--repair"]).0, 4);
    let (code, found, summary) = verify(&[]);
    assert!(code == 0 && found.is_empty() && summary.contains(" 0 differences"), "{found}{summary}");
}

/// Writes a row that no state answers.
fn spoil(broker: &std::sync::Arc<Broker>) {
    let mut member = broker.join("spoiler");
    broker.spread().unwrap();
    assert_eq!(member.poll(Duration::ZERO).unwrap().len(), 4);
    let committed = member.committed(1).unwrap();
    let (touchpoints, conversions) = (committed.touchpoints.unwrap(), committed.conversions.unwrap());
    let next = PerInput { touchpoints: touchpoints.next, conversions: conversions.next };
    put_row(&mut member, next, touchpoints.metadata);
}

fn put_row(member: &mut impl TopicLog, next: PerInput<i64>, metadata: String) {
    member.begin().unwrap();
    let (output, key) = (tributary::topics::Output::Attributions, b"no-conversion|linear|".as_slice());
    member.produce(Outgoing { output, partition: 1, key: Some(key), value: Some(b"{}"), headers: &[] }).unwrap();
    member.commit(&Offsets::new(PartitionOffsets { partition: 1, next, metadata }, Vec::new())).unwrap();
}
