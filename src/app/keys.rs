//! API keys: the pepper, the directory, and the socket through which they are administered.

use std::path::Path;

use super::{Error, clock};
use crate::access::{self, Admin, ControlLog, Created, KeyState, Keys, NewKey, Pepper, Peppers, Role};
use crate::audit::{Audit, Caller};
use crate::config::Config;

/// The pepper that is configured, or the data folder's own, which is made where there is none.
pub fn peppers(config: &Config) -> Result<Peppers, Error> {
    read(config, || Pepper::of_folder(&config.engine.data_dir))
}

/// As [`peppers`], to look at: where there is none, one that nothing was made under takes its place, and is not kept.
pub fn look(config: &Config) -> Result<Peppers, Error> {
    read(config, || Pepper::in_folder(&config.engine.data_dir)?.map_or_else(Pepper::draw, Ok))
}

/// Whether the data folder has a pepper of its own.
pub fn has_own_pepper(config: &Config) -> bool {
    matches!(Pepper::in_folder(&config.engine.data_dir), Ok(Some(_)))
}

fn read(config: &Config, own: impl FnOnce() -> Result<Pepper, access::Error>) -> Result<Peppers, Error> {
    let of = &config.access;
    let failed = |setting: &str, error: access::Error| Error::Configuration(format!("{setting}: {error}"));
    let current = match &of.pepper_file {
        Some(path) => Pepper::from_file(path).map_err(|error| failed("access.pepper_file", error))?,
        None => own().map_err(|error| failed("the data folder's pepper", error))?,
    };
    let older = of.older_pepper_files.iter().map(|path| Pepper::from_file(Path::new(path)));
    let older = older.collect::<Result<_, _>>().map_err(|error| failed("access.older_pepper_files", error))?;
    Ok(Peppers::new(current, older))
}

/// How many keys open nothing for want of their pepper, and what to do about it; none where there is no such key.
pub fn shut_out(keys: &Keys) -> Option<(String, &'static str)> {
    let many = match keys.under_other_peppers(clock::now()) {
        0 => return None,
        1 => "1 was made under another pepper and opens nothing here".to_owned(),
        many => format!("{many} were made under another pepper and open nothing here"),
    };
    let remedy = "name the file of that pepper in access.pepper_file or access.older_pepper_files; where it is lost, revoke \
                  them and make new ones";
    Some((many, remedy))
}

/// Loads the directory of keys from the control topic; where following it goes on.
pub fn load(keys: &Keys, control: &dyn ControlLog) -> Result<i64, Error> {
    keys.load(control).map_err(|error| match error {
        // The topics were looked at before: one that cannot be read now is one whose broker is away for a moment.
        access::Error::Control(_) => Error::Unreachable(error.to_string()),
        other => Error::Refused(other.to_string()),
    })
}

/// A fresh key with this note; those of the same note that were made before are revoked, for nobody knows them any more.
pub fn replace(admin: &Admin, audit: &Audit, role: Role, note: &str) -> Result<Created, Error> {
    let acting = admin.acting(audit, Caller::system());
    let failed = |error: access::Error| Error::Failed(error.to_string());
    let now = clock::now();
    for old in admin.list(now).into_iter().filter(|key| key.note == note && key.state == KeyState::Open) {
        acting.revoke(&old.id).map_err(failed)?;
    }
    acting.create(NewKey { note: note.to_owned(), ..NewKey::of(role) }, now).map_err(failed)
}
