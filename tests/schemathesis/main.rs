//! The whole API as schemathesis sees it: every operation of docs/openapi.json, asked of a running instance in every phase,
//! stateful included, with the key of the role that each is for, and by every role where it is not; held by every check.
//! `schemathesis.toml` says how, and what is excepted; `rules.py` says what no schema can.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

#[path = "../support/binary.rs"]
mod binary;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/scripts.rs"]
mod scripts;
#[path = "../support/until.rs"]
mod until;

use binary::run;
use running::{Running, config};
use scripts::{root, script, tools};
use until::until;

/// No limit of rates: thousands of requests come from here, and many of them with bad keys.
const LIMITS: &str = "[sidecar]\nlisten = \"127.0.0.1:0\"\n[limits]\nkey_rate = 100000\nkey_burst = 100000\n\
                      bad_keys = 1000000\nstranger_rate = 100000\n";
/// Each role, and a request that it may make.
const ROLES: [(&str, &str, &str); 5] = [
    ("viewer", "GET", "/v1/reports/channels?model=linear&from=2026-01-01&to=2026-02-01"),
    ("analyst", "GET", "/v1/users/ann/journey"),
    ("ingestor", "POST", "/v1/touchpoints"),
    ("operator", "GET", "/v1/status"),
    ("admin", "GET", "/v1/keys"),
];

/// A running instance, with some journeys in it and a key of each role.
struct Stage {
    instance: Running,
    keys: Vec<String>,
    folder: tempfile::TempDir,
}

impl Stage {
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), LIMITS);
        let instance = Running::start(&config);
        let key = |role| {
            let (code, key, message) = run(&["keys", "create", "--role", role, "--config", config.to_str().unwrap()]);
            assert_eq!(code, 0, "{message}");
            key.trim().to_owned()
        };
        let keys = ROLES.iter().map(|(role, _, _)| key(role)).collect();
        let stage = Self { instance, keys, folder };
        stage.fill();
        stage
    }

    fn key(&self, role: &str) -> &str {
        &self.keys[ROLES.iter().position(|(name, _, _)| *name == role).unwrap()]
    }

    fn fill(&self) {
        let send = |path: &str, events: &[String]| {
            let (status, answer) =
                self.instance.send("POST", path, self.key("ingestor"), &format!("[{}]", events.join(",")));
            assert_eq!(status, 202, "{answer}");
        };
        let (mut touchpoints, mut conversions) = (Vec::new(), Vec::new());
        for (number, user) in ["ann", "bob", "eve"].iter().enumerate() {
            let head = |id: &str, day: usize| {
                format!(r#"{{"event_id":"{id}-{number}","user_id":"{user}","occurred_at":"2026-01-{day:02}T10:00:00Z""#)
            };
            touchpoints.extend((1..=9).map(|n| format!(r#"{},"channel":"c{}"}}"#, head(&format!("t{n}"), n), n % 3)));
            conversions.push(format!(r#"{},"value_micros":9000000,"currency":"EUR"}}"#, head("order", 10)));
        }
        send("/v1/touchpoints", &touchpoints);
        send("/v1/conversions", &conversions);
        let rows = || self.instance.ask("/v1/conversions/order-2/attributions", self.key("analyst")) == 200;
        until("rows", Duration::from_secs(30), rows);
    }

    /// Runs schemathesis with these options and environment; its words where it finds anything.
    fn fuzz(&self, options: &[&str], role: Option<&str>) {
        let here = root().join("tests/schemathesis");
        // A folder of its own to run in: it leaves a cache behind.
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(tools().join("schemathesis/bin/schemathesis"));
        command.current_dir(folder.path()).env("SCHEMATHESIS_HOOKS", here.join("rules.py"));
        command.env("PYTHONDONTWRITEBYTECODE", "1"); // nothing is left beside the sources
        command.arg("--config-file").arg(here.join("schemathesis.toml")).args(["run", "--no-color", "--url"]);
        command.arg(format!("http://{}", self.instance.address)).args(options).arg(root().join("docs/openapi.json"));
        command.env("TRIBUTARY_PAGES", self.pages());
        command.env_remove("TRIBUTARY_ROLE").envs(role.map(|role| ("TRIBUTARY_ROLE", role)));
        for (role, _, _) in ROLES {
            command.env(format!("TRIBUTARY_KEY_{}", role.to_uppercase()), self.key(role));
        }
        let Output { status, stdout, stderr } = command.output().unwrap();
        let words = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        println!("{words}");
        assert!(status.success(), "schemathesis found something: {options:?}, {role:?}\n{words}");
    }

    /// Where next pages that were asked for are written down.
    fn pages(&self) -> PathBuf {
        self.folder.path().join("pages")
    }

    /// Second pages were asked for, of all that comes in pages.
    fn pages_were_turned(&self) {
        let pages = std::fs::read_to_string(self.pages()).unwrap_or_default();
        for operation in ["GET /v1/users/{user_id}/journey", "GET /v1/keys"] {
            let turned = pages.lines().filter(|line| *line == operation).count();
            println!("{operation}: {turned} next pages");
            assert!(turned > 0, "no second page of {operation}");
        }
    }

    /// Every key opens what it did: no request has taken one away, after which little would have been asked.
    fn keys_are_good(&self) {
        let event = r#"{"event_id":"t","user_id":"ann","occurred_at":"2026-01-01T00:00:00Z"}"#;
        for (role, method, path) in ROLES {
            let (status, answer) = self.instance.send(method, path, self.key(role), event);
            assert!(matches!(status, 200 | 202), "{role}: {status} {answer}");
        }
    }
}

#[test]
fn every_operation_keeps_what_its_schema_says_in_every_phase_and_for_every_role() {
    script("fetch.sh", &["schemathesis"]);
    let stage = Stage::set();
    for (role, _, _) in ROLES {
        stage.fuzz(&["--phases", "fuzzing", "--max-examples", "3", "--warnings", "off"], Some(role));
    }
    stage.fuzz(&["--phases", "examples,coverage,fuzzing,stateful"], None);
    // No answer leads to a journey, so they are only begun with where nothing else is asked.
    stage.fuzz(&["--phases", "stateful", "--include-tag", "journeys"], None);
    stage.pages_were_turned();
    stage.keys_are_good();
    stage.instance.stop();
}
