//! Permissions on the broker: given by Kafka's own tool as an administrator would, and changed one by one between cases.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::broker::{script, tools};
use crate::certificates::write;

/// One operation on one resource for one principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub principal: String,
    pub kind: &'static str,
    pub name: String,
    pub pattern: &'static str,
    /// As `kafka-acls` has it.
    pub operation: String,
}

impl Grant {
    /// The resource as `tributary check` names it.
    pub fn resource(&self) -> String {
        match self.kind {
            "TOPIC" => format!("topic {}", self.name),
            "GROUP" => format!("group {}", self.name),
            _ => format!("transactional ids that begin with {}", self.name),
        }
    }

    fn in_kafkas_words(&self) -> Value {
        let operation = match self.operation.as_str() {
            "DescribeConfigs" => "DESCRIBE_CONFIGS".to_owned(),
            other => other.to_uppercase(),
        };
        json!([self.principal, self.kind, self.name, self.pattern, operation])
    }
}

/// Runs commands of the page with `kafka-acls`, two at a time: each is a Java of its own.
pub fn run_commands(folder: &Path, address: &str, password: &str, commands: &[Vec<String>]) {
    let properties = folder.join("admin.properties");
    let login = format!(
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"admin\" password=\"{password}\";"
    );
    let ca = folder.join("ca.pem");
    write(
        &properties,
        &format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={login}\n\
             ssl.truststore.type=PEM\nssl.truststore.location={}\n",
            ca.display()
        ),
    );
    let home = std::fs::read_dir(tools()).unwrap().map(|entry| entry.unwrap().path());
    let home = home.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("kafka-")).max().unwrap();
    let java = std::env::var_os("JAVA_HOME").map_or_else(|| "java".into(), |home| Path::new(&home).join("bin/java"));
    for pair in commands.chunks(2) {
        let started = pair.iter().map(|arguments| {
            let mut command = Command::new(&java);
            command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", &format!("{}/libs/*", home.display())]);
            command.args(["org.apache.kafka.tools.AclCommand", "--bootstrap-server", address, "--command-config"]);
            command.arg(&properties).arg("--add").args(arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
        for child in started.collect::<Vec<_>>() {
            let output = child.wait_with_output().unwrap();
            let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
            assert!(output.status.success() && said.contains("Adding ACLs"), "kafka-acls: {said}");
        }
    }
}

/// Changes permissions, and knows when the broker goes by them.
pub struct Grants {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Grants {
    /// Begins to talk to the broker, with librdkafka's properties of an administrator.
    pub fn open(admin: &[(String, String)]) -> Self {
        script("fetch.sh", &["reader"]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/secured/acls.py");
        let mut command = Command::new(tools().join("venv/bin/python"));
        let mut child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut requests = child.stdin.take().unwrap();
        let config: serde_json::Map<String, Value> = admin.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        writeln!(requests, "{}", Value::Object(config)).unwrap();
        Self { child, requests, answers }
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.requests, "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("acls.py: {error}: {answer:?}"))
    }

    pub fn grant(&mut self, grants: &[Grant]) {
        self.ask(&json!({"grant": grants.iter().map(Grant::in_kafkas_words).collect::<Vec<_>>()}));
    }

    pub fn take(&mut self, grants: &[Grant]) {
        self.ask(&json!({"take": grants.iter().map(Grant::in_kafkas_words).collect::<Vec<_>>()}));
    }

    /// Whether a principal has these grants and no others.
    pub fn exactly(&mut self, principal: &str, grants: &[Grant]) {
        let mut found: Vec<Value> = serde_json::from_value(self.ask(&json!({"list": principal}))).unwrap();
        let mut expected: Vec<Value> = grants.iter().map(Grant::in_kafkas_words).collect();
        found.sort_by_key(Value::to_string);
        expected.sort_by_key(Value::to_string);
        assert_eq!(found, expected);
    }
}

impl Drop for Grants {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
