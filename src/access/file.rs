//! Files that hold a secret.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether everybody on the machine may read a file. One that holds a secret is then not used.
pub fn is_open_to_everybody(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o004 != 0)
}
