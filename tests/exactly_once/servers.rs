//! The servers beside the broker: the schema registry, and the ports and pages of ours.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::id;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::broker::script;

/// A schema registry in a folder of its own. Stopped and removed on drop.
pub struct Registry {
    dir: PathBuf,
    /// Confluent's API.
    pub url: String,
}

impl Registry {
    /// Starts one.
    pub fn start() -> Self {
        script("fetch.sh", &["registry"]);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("registry-{}", id()));
        drop(std::fs::remove_dir_all(&dir)); // of an earlier process with the same number
        let owner = id().to_string();
        let url = script("registry.sh", &["start", "--dir", dir.to_str().unwrap(), "--port", "0", "--owner", &owner]);
        Self { dir, url }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/local/registry.sh");
        drop(std::process::Command::new(script).args(["kill9", "--dir"]).arg(&self.dir).output());
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// A port nobody listens on, below those that the system hands out to outgoing connections: it is to stay free while its
/// process is dead.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(id() % 5_000).unwrap();
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// The status that `/readyz` answers on a port; none if nothing answers.
pub fn readyz(port: u16) -> Option<u16> {
    get(port, "/readyz")?.split(' ').nth(1)?.parse().ok()
}

/// The whole answer to a request; none if nothing answers.
pub fn get(port: u16, path: &str) -> Option<String> {
    let limit = Duration::from_secs(2);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
