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
    holds: Mutex<Holds>,
}

/// What holds.
struct Holds {
    config: Config,
    /// [`settings::tls_digest`].
    certificates: Option<[u8; 32]>,
}

/// What a configuration that was read again has brought: settings by their names, never their values.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    /// Changed, and in force from now on.
    taken: Vec<&'static str>,
    /// Whether certificate, key or authorities of the sidecar were replaced.
    certificates: bool,
    /// Changed, and in force from the next start on.
    later: Vec<&'static str>,
}

impl Reload {
    /// From what `load` reads; `config` is what was read at the start.
    pub fn new(
        config: &Config,
        filter: Filter,
        load: impl Fn() -> Result<Config, config::Error> + Send + 'static,
    ) -> Self {
        let holds = Holds { config: config.clone(), certificates: settings::tls_digest(config) };
        Self { load: Box::new(load), filter, holds: Mutex::new(holds) }
    }

    /// Reads the configuration and renews what can be; says what came of it.
    pub fn run(&self, renewable: &Renewable) {
        match self.audited(renewable) {
            Ok(news) => news.tell(),
            Err(error) => tracing::error!(%error, "configuration read again, and nothing of it taken"),
        }
    }

    fn audited(&self, renewable: &Renewable) -> Result<News, Error> {
        let draft = Draft::new(Caller::system(), Action::Reload, "configuration", Outcome::Allowed);
        let refused = |error: Unavailable| Error::Failed(error.to_string());
        let read = (self.load)().map_err(|error| Error::Configuration(error.to_string()));
        let config = read.as_ref().ok().map(settings::digest);
        let draft = Draft { config, ..draft };
        renewable.audit.change(draft, refused, || self.take(renewable, read?))
    }

    /// Everything that can fail comes before anything that changes.
    fn take(&self, renewable: &Renewable, config: Config) -> Result<News, Error> {
        let failed = |error: String| Error::Configuration(error);
        let filter = Filter::read(&config.telemetry.log_filter).map_err(|error| failed(error.to_string()))?;
        let digest = settings::tls_digest(&config);
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
        let (taken, later) = config::changed(&holds.config, &config).into_iter().partition(|path| is_taken(path));
        let news = News { taken, later, certificates: digest != holds.certificates };
        holds.certificates = digest;
        let held = &mut holds.config;
        (held.limits, held.tls) = (config.limits, config.tls);
        held.telemetry.log_filter = config.telemetry.log_filter;
        held.audit.read_sample = config.audit.read_sample;
        Ok(news)
    }
}

/// Whether a setting is taken while the process runs.
fn is_taken(path: &str) -> bool {
    let alone = ["telemetry.log_filter", "audit.read_sample"];
    path.starts_with("limits.") || path.starts_with("tls.") || alone.contains(&path)
}

impl News {
    /// One line, and another for what has to wait.
    fn tell(&self) {
        if *self == Self::default() {
            tracing::info!("configuration read again: nothing has changed");
        }
        if !self.taken.is_empty() || self.certificates {
            let taken = (!self.taken.is_empty()).then(|| self.taken.join(", "));
            tracing::info!(taken, certificates = self.certificates.then_some("new"), "configuration read again");
        }
        if !self.later.is_empty() {
            tracing::warn!(changed = self.later.join(", "), "configuration read again; these need a restart");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
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

    #[test]
    fn what_changed_is_named_and_no_secret_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c"), folder.path().join("k"));
        let put = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(&certificate, made.cert.pem()).unwrap();
            std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
            std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        };
        put();
        let mut config = Config::default();
        (config.tls.certificate_file, config.tls.key_file) = (Some(certificate.clone()), Some(key.clone()));
        config.registry.password = Some("canary-1".to_owned().into());
        let audited = Audited::start();
        let renewable = Renewable { tls: settings::tls(&config).unwrap(), ..renewable(&config, &audited) };
        let reload = Reload::new(&config, Filter::idle(), || Ok(Config::default()));
        let nothing = News::default();
        assert_eq!(reload.take(&renewable, config.clone()).unwrap(), nothing);
        put();
        assert_eq!(reload.take(&renewable, config.clone()).unwrap(), News { certificates: true, ..News::default() });
        assert_eq!(reload.take(&renewable, config.clone()).unwrap(), nothing, "it is told once");
        config.limits.rate += 1;
        config.telemetry.log_filter = "debug".into();
        config.topics.retention = Span::from_days(1);
        config.registry.password = Some("canary-2".to_owned().into());
        let news = reload.take(&renewable, config.clone()).unwrap();
        assert_eq!(news.taken, ["limits.rate", "telemetry.log_filter"]);
        assert_eq!(news.later, ["topics.retention", "registry.password"]);
        let again = reload.take(&renewable, config).unwrap();
        assert_eq!((again.taken.len(), again.later), (0, news.later), "these still wait");
    }
}
