//! The scripts of `deploy/local`, and what they fetch.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where what `fetch.sh` has fetched lies.
#[allow(dead_code, reason = "some tests need scripts alone")]
pub fn tools() -> PathBuf {
    std::env::var_os("TRIBUTARY_TOOLS").map_or_else(|| root().join(".tools"), PathBuf::from)
}

/// Runs a script and returns what it printed. A test without what it brings fails with the script's own words.
pub fn script(name: &str, arguments: &[&str]) -> String {
    let path = root().join("deploy/local").join(name);
    let output =
        Command::new(&path).args(arguments).output().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "deploy/local/{name} {}: {words}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
