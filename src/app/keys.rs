//! API keys: the pepper, the directory, and the socket through which they are administered.

use std::path::Path;

use super::{Error, clock};
use crate::access::{Admin, ControlLog, Created, KeyState, Keys, NewKey, Pepper, Peppers, Role};
use crate::audit::{Audit, Caller};
use crate::config::Config;

/// The pepper that is configured, or the data folder's own.
pub fn peppers(config: &Config) -> Result<Peppers, Error> {
    let current = match &config.access.pepper_file {
        Some(path) => Pepper::from_file(path),
        None => Pepper::of_folder(&config.engine.data_dir),
    };
    let older = config.access.older_pepper_files.iter().map(|path| Pepper::from_file(Path::new(path)));
    let failed = |error: crate::access::Error| Error::Configuration(error.to_string());
    let older = older.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    Ok(Peppers::new(current.map_err(failed)?, older))
}

/// Loads the directory of keys from the control topic; where following it goes on.
pub fn load(keys: &Keys, control: &dyn ControlLog) -> Result<i64, Error> {
    keys.load(control).map_err(|error| match error {
        // The topics were looked at before: one that cannot be read now is one whose broker is away for a moment.
        crate::access::Error::Control(_) => Error::Unreachable(error.to_string()),
        other => Error::Refused(other.to_string()),
    })
}

/// A fresh key with this note; those of the same note that were made before are revoked, for nobody knows them any more.
pub fn replace(admin: &Admin, audit: &Audit, role: Role, note: &str) -> Result<Created, Error> {
    let acting = admin.acting(audit, Caller::system());
    let failed = |error: crate::access::Error| Error::Failed(error.to_string());
    let now = clock::now();
    for old in admin.list(now).into_iter().filter(|key| key.note == note && key.state == KeyState::Open) {
        acting.revoke(&old.id).map_err(failed)?;
    }
    acting.create(NewKey { note: note.to_owned(), ..NewKey::of(role) }, now).map_err(failed)
}
