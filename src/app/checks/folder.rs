//! What lies in the data folder, and whether a run would go on with it. It is looked at beside an instance that may run on it:
//! nothing is locked, and nothing of state or log is written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Line;
use crate::access::{ControlRecord, Keys, socket};
use crate::app::{Error, keys, settings};
use crate::config::Config;
use crate::seal::{Keks, Standing};
use crate::store;
use crate::topics::embedded::{self, Glimpse};

/// A file that an instance has just replaced may be missing once.
const LOOKS: usize = 3;

/// Whether the data folder can be made and written.
pub fn data_dir(config: &Config) -> Line {
    let dir = &config.engine.data_dir;
    let written = || {
        settings::make_data_dir(config)?;
        let probe = dir.join(".check");
        let tried = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
        tried.map_err(|error| {
            let why = format!("engine.data_dir: {} cannot be written: {error}", dir.display());
            Error::Configuration(format!("{why}; name a folder that this user may write"))
        })
    };
    let beside =
        if socket::answers(dir) { ", in which an instance runs: what it has yet to flush is not seen" } else { "" };
    match written() {
        Ok(()) => Line::ok("data folder", format!("{}{beside}", dir.display())),
        Err(error) => Line::refused("data folder", error),
    }
}

/// The pepper of API keys.
pub fn pepper(config: &Config) -> Line {
    let id = match keys::look(config) {
        Ok(peppers) => peppers.current().id().to_owned(),
        Err(error) => return Line::refused("pepper", error),
    };
    match (&config.access.pepper_file, keys::has_own_pepper(config)) {
        (Some(path), _) => Line::ok("pepper", format!("{} ({id})", path.display())),
        (None, true) => Line::ok("pepper", format!("the data folder's own ({id}), which serves one instance")),
        (None, false) => Line::ok("pepper", "the first start makes one in the data folder, which serves one instance"),
    }
}

/// The key files.
pub fn seal(config: &Config) -> Line {
    match settings::keks(config) {
        Ok(None) => Line::ok("seal", "no key is configured"),
        Ok(Some(keks)) => Line::ok("seal", format!("the key files can be read, the key in use is {}", keks.current())),
        Err(error) => Line::refused("seal", error),
    }
}

/// The states: whether they are sealed as is configured. Of many that are not, the first says why.
pub fn states(config: &Config) -> Vec<Line> {
    let Ok(keks) = settings::keks(config) else { return Vec::new() }; // told already
    let lasting = |error: &store::Error| matches!(error, store::Error::Sealed { .. } | store::Error::Format { .. });
    let (mut fit, mut unfit) = (BTreeSet::new(), Vec::new());
    for dir in folders(&settings::state_dir(config)) {
        match patiently(|| store::look(&dir, keks.as_deref()), lasting) {
            Ok(Standing::New) => {}
            Ok(standing) => drop(fit.insert(described(standing, keks.as_ref()))),
            Err(error) if lasting(&error) => unfit.push(Line::refused("state", error.into())),
            Err(error) => unfit.push(unseen("state", config, error.into())),
        }
    }
    if fit.is_empty() && unfit.is_empty() {
        fit.insert(described(Standing::New, keks.as_ref()));
    }
    let others = unfit.len().saturating_sub(1);
    unfit.truncate(1);
    if others > 0 {
        unfit.push(Line::problem(
            "state",
            format!("the same goes for {others} more of its folders"),
            "see to the first one first",
        ));
    }
    unfit.extend(fit.into_iter().map(|what| Line::ok("state", what)));
    unfit
}

/// The embedded log, and the API keys in it.
pub fn log(config: &Config) -> Vec<Line> {
    const LOG: &str = "log";
    let Ok(settings) = settings::embedded(config) else { return Vec::new() }; // told already
    let lasting =
        |error: &embedded::Error| matches!(error, embedded::Error::Sealed { .. } | embedded::Error::Differs { .. });
    let looked = patiently(
        || {
            let Some(log) = Glimpse::open(&settings::log_dir(config), &settings)? else { return Ok(None) };
            Ok(Some((log.sealing()?, log.control()?)))
        },
        lasting,
    );
    let line = |standing| Line::ok(LOG, format!("embedded, {}", described(standing, settings.seal.as_ref())));
    match looked {
        Ok(None) => vec![line(Standing::New)],
        Ok(Some((standing, control))) => {
            let load = |keys: &Keys| {
                let records = control.into_iter().filter_map(|r| Some(ControlRecord { key: r.key?, value: r.value }));
                records.for_each(|record| keys.apply(&record));
                Ok(())
            };
            let mut lines = vec![line(standing)];
            lines.extend(keys(config, load).ok().flatten());
            lines
        }
        Err(error) if lasting(&error) => vec![Line::refused(LOG, error.into())],
        Err(error) => vec![unseen(LOG, config, error.into())],
    }
}

/// The API keys that `load` reads: whether they were made under a pepper that is here. None where that cannot be told, for
/// what there is of peppers has been told already.
pub fn keys(config: &Config, load: impl FnOnce(&Keys) -> Result<(), Error>) -> Result<Option<Line>, Error> {
    let Ok(peppers) = keys::look(config) else { return Ok(None) };
    let directory = Keys::new(peppers);
    load(&directory)?;
    Ok(Some(match keys::shut_out(&directory) {
        None => Line::ok("API keys", "none was made under another pepper"),
        Some((what, remedy)) => Line::warning("API keys", what, remedy),
    }))
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn patiently<T, E>(mut look: impl FnMut() -> Result<T, E>, lasting: impl Fn(&E) -> bool) -> Result<T, E> {
    let mut looked = look();
    for _ in 1..LOOKS {
        if looked.as_ref().is_err_and(|error| !lasting(error)) {
            looked = look();
        }
    }
    looked
}

/// What cannot be read: broken, or being written just now.
fn unseen(subject: &str, config: &Config, error: Error) -> Line {
    if socket::answers(&config.engine.data_dir) {
        return Line::problem(
            subject,
            format!("cannot be looked at beside the instance that has it open ({error})"),
            "stop it, and check again",
        );
    }
    Line::refused(subject, error)
}

fn described(standing: Standing, keks: Option<&Arc<Keks>>) -> String {
    match (standing, keks.map(|keks| keks.current())) {
        (Standing::New, None) => "nothing there yet; it will not be sealed".into(),
        (Standing::New, Some(key)) => format!("nothing there yet; it will be sealed under key {key}"),
        (Standing::Plain, _) => "not sealed".into(),
        (Standing::Sealed(under), Some(key)) if under != key => {
            format!("sealed under key {under}, an older one; a run seals it anew under key {key}")
        }
        (Standing::Sealed(under), _) => format!("sealed under key {under}"),
    }
}
