//! A process of `tributary run` on an embedded log of its own; killed if a test ends early.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::binary::tributary;

/// A running instance.
pub struct Running {
    child: Child,
    /// Where its sidecar listens.
    pub address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A configuration in this folder, with its data beside it and these sections after it.
pub fn config(folder: &Path, sections: &str) -> PathBuf {
    let file = folder.join("tributary.toml");
    let text = format!("[log]\nkind = \"embedded\"\n[engine]\ndata_dir = {folder:?}\n{sections}");
    std::fs::write(&file, text).unwrap();
    file
}

impl Running {
    /// Starts an instance and waits until it answers.
    pub fn start(config: &Path) -> Self {
        let mut child =
            tributary(&["run", "--config", config.to_str().unwrap()]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut running = Self { child, address: String::new() };
        running.address = loop {
            let line = lines.next().expect("it ended").unwrap();
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["fields"]["message"] == "running" || line["message"] == "running" {
                let address = line["fields"]["address"].as_str().or(line["address"].as_str());
                break address.unwrap().to_owned();
            }
        };
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop)); // its pipe must not fill
        running
    }

    /// The status of a GET.
    pub fn ask(&self, path: &str, key: &str) -> u16 {
        self.send("GET", path, key, "").0
    }

    /// Status and body of what is answered to a request, its body JSON.
    pub fn send(&self, method: &str, path: &str, key: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// As `kill -9` does.
    #[allow(dead_code, reason = "most tests are not about dying")]
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As an operator does.
    pub fn stop(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}
