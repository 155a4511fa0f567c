//! An instance that runs: what it logs, how it is told to stop, what is left behind.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tributary::stream::meta::Meta;
use tributary::topics::{PerInput, TopicLog};

use super::binary::{run, tributary};
use super::{Running, broker, config, free_port, get, put_row, verify_finds_and_repairs};

/// An instance with these settings beside the usual ones, ready; what it logs goes to `log` in the folder.
fn start(folder: &Path, address: &str, more: &str) -> Running {
    let file = config(folder);
    let text = std::fs::read_to_string(&file).unwrap().replace("127.0.0.1:0", address);
    std::fs::write(&file, text + more).unwrap();
    let log = std::fs::File::create(folder.join("text.log")).unwrap();
    let mut command = tributary(&["run", "--config", file.to_str().unwrap()]);
    command.env("TRIBUTARY__TELEMETRY__LOG_FORMAT", "text").stdout(Stdio::null()).stderr(log);
    let running = Running(command.spawn().unwrap());
    let until = Instant::now() + Duration::from_secs(60);
    while !get(address, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
        assert!(Instant::now() < until, "{}", std::fs::read_to_string(folder.join("text.log")).unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    running
}

fn signal(running: &Running, name: &str) {
    assert!(Command::new("kill").args([name, &running.0.id().to_string()]).status().unwrap().success());
}

/// The line of the log with all of these.
fn logged(folder: &Path, parts: &[&str]) -> String {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(folder.join("text.log")).unwrap();
        if let Some(line) = text.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
            return line.into();
        }
        assert!(Instant::now() < until, "{parts:?}\nnot in\n{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_log_says_where_it_runs_and_what_a_reload_took() {
    let folder = tempfile::tempdir().unwrap();
    let (address, admin) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let running = start(folder.path(), &address, &format!("admin_listen = {admin:?}\n[limits]\nrate = 100\n"));
    let line = logged(folder.path(), &[" running "]);
    for part in [format!("address={address}"), format!("admin_address={admin}"), "tls=\"off\"".into()] {
        assert!(line.contains(&part), "{part} not in {line}");
    }
    signal(&running, "-HUP");
    logged(folder.path(), &["configuration read again: nothing has changed"]);
    let file = folder.path().join("tributary.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("rate = 100", "rate = 101\nconcurrency = 9");
    std::fs::write(&file, text + "[topics]\nretention = \"1d\"\n").unwrap();
    signal(&running, "-HUP");
    logged(folder.path(), &["configuration read again", "taken=\"limits.rate, limits.concurrency\""]);
    logged(folder.path(), &["need a restart", "changed=\"topics.retention\""]);
}

/// `timeout -s INT` sends one to the process and one to its group.
#[test]
fn two_signals_at_once_are_one_and_a_later_one_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut running = start(folder.path(), &address, "");
    let (_, key, _) = run(&["keys", "create", "--role", "ingestor", "--data-dir", folder.path().to_str().unwrap()]);
    // A request that does not end holds up the stop.
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = "POST /v1/touchpoints HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n";
    write!(stream, "{head}Authorization: Bearer {}\r\n\r\n{{", key.trim()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    signal(&running, "-INT");
    std::thread::sleep(Duration::from_millis(20));
    signal(&running, "-INT");
    logged(folder.path(), &["stopping", "SIGINT"]);
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(running.0.try_wait().unwrap(), None, "it stops in order");
    signal(&running, "-INT");
    let until = Instant::now() + Duration::from_secs(5);
    let code = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status.code();
        }
        assert!(Instant::now() < until, "it does not leave");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(1));
    logged(folder.path(), &["told to stop twice"]);
}

/// A partition that no event has come to, with a row that nothing answers: found, repaired, and then nothing is left to do,
/// whether an instance has run meanwhile or not.
#[test]
fn a_partition_without_events_is_repaired_and_that_is_the_end_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = config(folder.path());
    let live = |address: &str| {
        let mut running = start(folder.path(), address, "");
        signal(&running, "-TERM");
        assert_eq!(running.0.wait().unwrap().code(), Some(0));
    };
    let address = format!("127.0.0.1:{}", free_port());
    live(&address);
    {
        let broker = broker(folder.path());
        let mut member = broker.join("spoiler");
        broker.spread().unwrap();
        assert_eq!(member.poll(Duration::ZERO).unwrap().len(), 4);
        let next = PerInput::default();
        let meta = Meta::new(next, member.identity().unwrap(), &tributary::core::Rules::default());
        put_row(&mut member, next, meta.stamp().encode());
    }
    verify_finds_and_repairs(&file);
    live(&address);
    let (code, _, summary) = run(&["verify", "--config", file.to_str().unwrap()]);
    assert!(code == 0, "{summary}");
}
