//! SIGHUP: the configuration is read again, and limits, certificates, the log filter and the audit's sample are taken from
//! it, all or none. What else has changed in it is named, and holds from the next start on.

use std::sync::{Mutex, PoisonError};

use super::{Error, settings};
use crate::api;
use crate::api::tls::{self, Tls};
use crate::audit::{Action, Audit, Caller, Draft, Outcome, Unavailable};
use crate::config::{self, Config};
use crate::telemetry::Filter;

/// What can be renewed of a running process.
pub struct Renewable {
    /// The sidecar's.
    pub state: api::State,
    /// Its certificates, if it has any.
    pub tls: Option<Tls>,
    /// Who did what.
    pub audit: Audit,
}

type Load = Box<dyn Fn() -> Result<Config, config::Error> + Send>;

/// How to renew it.
pub struct Reload {
    load: Load,
    filter: Filter,
    /// The configuration that holds.
    holds: Mutex<Config>,
}

impl Reload {
    /// From what `load` reads; `config` is what was read at the start.
    pub fn new(
        config: &Config,
        filter: Filter,
        load: impl Fn() -> Result<Config, config::Error> + Send + 'static,
    ) -> Self {
        Self { load: Box::new(load), filter, holds: Mutex::new(config.clone()) }
    }

    /// Reads the configuration and renews what can be; says what came of it.
    pub fn run(&self, renewable: &Renewable) {
        match self.audited(renewable) {
            Ok(later) if later.is_empty() => tracing::info!("configuration read again"),
            Ok(later) => tracing::warn!(changed = later.join(", "), "configuration read again; these need a restart"),
            Err(error) => tracing::error!(%error, "configuration read again, and nothing of it taken"),
        }
    }

    fn audited(&self, renewable: &Renewable) -> Result<Vec<String>, Error> {
        let draft = Draft::new(Caller::system(), Action::Reload, "configuration", Outcome::Allowed);
        let refused = |error: Unavailable| Error::Failed(error.to_string());
        let read = (self.load)().map_err(|error| Error::Configuration(error.to_string()));
        let config = read.as_ref().ok().map(settings::digest);
        let draft = Draft { config, ..draft };
        renewable.audit.change(draft, refused, || self.take(renewable, read?))
    }

    /// Everything that can fail comes before anything that changes.
    fn take(&self, renewable: &Renewable, config: Config) -> Result<Vec<String>, Error> {
        let failed = |error: String| Error::Configuration(error);
        let filter = Filter::read(&config.telemetry.log_filter).map_err(|error| failed(error.to_string()))?;
        let certificates = match (settings::tls_files(&config), &renewable.tls) {
            (Some(files), Some(tls)) => Some((tls, tls::read(&files).map_err(|error| failed(error.to_string()))?)),
            (None, None) => None,
            _ => return Err(failed("tls: cannot be switched on or off while the process runs".into())),
        };
        renewable.state.limit(settings::limits(&config));
        if let Some((tls, renewed)) = certificates {
            tls.renew(renewed);
        }
        self.filter.put(filter);
        let audit = settings::audit(&config);
        renewable.audit.set_patience(audit.patience);
        renewable.audit.set_read_sample(audit.read_sample);
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let later = changed(&holds, &config);
        (holds.limits, holds.tls) = (config.limits, config.tls);
        holds.telemetry.log_filter = config.telemetry.log_filter;
        holds.audit.read_sample = config.audit.read_sample;
        Ok(later)
    }
}

/// The settings that differ, but for those that were taken anew. Secrets are compared by nobody: they are shown as hidden.
fn changed(holds: &Config, read: &Config) -> Vec<String> {
    let tree = |config: &Config| serde_json::to_value(config).unwrap_or_default();
    let (holds, read) = (tree(holds), tree(read));
    let taken = |path: &str| {
        let alone = ["telemetry.log_filter", "audit.read_sample"];
        path.starts_with("limits.") || path.starts_with("tls.") || alone.contains(&path)
    };
    let differs = |path: &&str| {
        let pointer = format!("/{}", path.replace('.', "/"));
        holds.pointer(&pointer) != read.pointer(&pointer)
    };
    let paths = config::settings::all().map(|setting| setting.path);
    paths.filter(|path| !taken(path)).filter(differs).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::access::{Keys, Pepper, Peppers};
    use crate::audit::log::memory::Audited;
    use crate::config::units::Span;
    use crate::query::samples::Shop;
    use crate::telemetry::{Health, Metrics};

    fn renewable(config: &Config, audited: &Audited) -> Renewable {
        let state = api::State::new(api::Parts {
            keys: Arc::new(Keys::new(Peppers::new(Pepper::new(&[1; 32]), Vec::new()))),
            admin: None,
            instance: "test-1".into(),
            reader: Shop::open().reader,
            health: Arc::new(Health::default()),
            metrics: Arc::new(Metrics::new().unwrap()),
            ingest: None,
            audit: audited.audit.clone(),
            limits: settings::limits(config),
            trusted_proxies: 0,
            cors_origins: Vec::new(),
        });
        Renewable { state, tls: None, audit: audited.audit.clone() }
    }

    #[test]
    fn a_decision_waits_for_half_of_what_a_request_has_now() {
        let (config, audited) = (Config::default(), Audited::start());
        let mut read = config.clone();
        read.limits.request_timeout = Span::from_secs(3);
        let reload = Reload::new(&config, Filter::idle(), move || Ok(read.clone()));
        reload.run(&renewable(&config, &audited));
        audited.away(true);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let decided = || Draft::new(Caller::system(), Action::Authorize, "a route", Outcome::Denied);
        let waited = loop {
            let began = Instant::now();
            if runtime.block_on(audited.audit.decision(decided())).is_err() {
                break began.elapsed();
            }
        };
        let (least, most) = (Duration::from_millis(1_400), Duration::from_secs(3));
        assert!(waited > least && waited < most, "{waited:?}; 200 ms at the start");
    }
}
