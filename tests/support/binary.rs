//! The binary under test.

use std::process::{Command, Output, Stdio};

/// A command line of it, not run yet.
pub fn tributary(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.args(arguments).env_remove("TRIBUTARY_CONFIG").stdin(Stdio::null());
    command
}

/// Runs it to its end: exit code, standard output, standard error.
#[allow(dead_code, reason = "not every test waits for it")]
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = tributary(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}
