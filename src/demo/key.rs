//! The demo's API key: the same over restarts, so that a line that was copied once goes on working.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::access::{Admin, Role};
use crate::app::{self, Error};
use crate::audit::Audit;

const ROLE: Role = Role::Analyst;
/// What the key is called in the list of keys.
const NOTE: &str = "demo";
/// Where it is kept in the data folder, readable by its owner alone, as the folder is.
const FILE: &str = "demo.key";

/// The key of an earlier run, if it still opens what it is for; else a new one.
pub fn of(folder: &Path, admin: &Admin, audit: &Audit) -> Result<String, Error> {
    let path = folder.join(FILE);
    if let Ok(kept) = fs::read_to_string(&path)
        && admin.role_of(&kept) == Some(ROLE)
    {
        return Ok(kept);
    }
    let key = app::replace_key(admin, audit, ROLE, NOTE)?.key;
    keep(&path, &key).map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
    Ok(key)
}

fn keep(path: &Path, key: &str) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;
    use crate::access::control::memory::MemoryControl;
    use crate::access::{Keys, Pepper, Peppers};
    use crate::audit::log::memory::Audited;

    #[test]
    fn a_key_is_kept_until_it_opens_nothing_any_longer() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(Keys::new(Peppers::new(Pepper::new(&[1; 32]), Vec::new())));
        let admin = Admin::new(keys, Arc::new(MemoryControl::default()));
        let audited = Audited::start();
        let audit = &audited.audit;
        let key = of(folder.path(), &admin, audit).unwrap();
        assert_eq!(of(folder.path(), &admin, audit).unwrap(), key);
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        admin.revoke(&admin.list(0)[0].id).unwrap();
        let other = of(folder.path(), &admin, audit).unwrap();
        assert!(other != key && admin.role_of(&other) == Some(ROLE));
        assert_eq!(of(folder.path(), &admin, audit).unwrap(), other);
    }
}
