//! What is asked of the administration of keys, and the rules of it. Each rule is a function that the API asks field by
//! field, so that it can name every mistake, and that [`Admin`](super::Admin) asks again before anything is written.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::record::Rate;
use super::{Error, Role};
use crate::core::Millis;
use crate::core::event::END_TIME;

/// Longest note, in bytes.
pub const MAX_NOTE: usize = 200;
/// Networks of one key.
pub const MAX_NETWORKS: usize = 32;
/// The most requests per second, and at once, that a key can be given.
pub const MAX_RATE: u32 = 1_000_000;
/// How long an old key stays good beside its successor where nothing is said.
pub const DEFAULT_GRACE: Millis = 86_400_000;
/// The longest that it can.
pub const MAX_GRACE: Millis = 30 * 86_400_000;

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What it is for.
    pub role: Role,
    /// What to write down beside it.
    #[serde(default)]
    pub note: String,
    /// From when on it opens nothing, in milliseconds since 1970; none: never.
    #[serde(default)]
    pub expires_at: Option<Millis>,
    /// How much its bearer may ask; none: what everybody may.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// Where its bearer may ask from; empty: anywhere.
    #[serde(default)]
    pub networks: Vec<IpNet>,
}

impl NewKey {
    /// A key of this role and nothing more.
    pub fn of(role: Role) -> Self {
        Self { role, note: String::new(), expires_at: None, rate: None, networks: Vec::new() }
    }

    /// Holds it against every rule.
    pub(super) fn check(&self, now: Millis) -> Result<(), Error> {
        let expiry = self.expires_at.map_or(Ok(()), |at| expires_at(at, now));
        let networks = self.networks.iter().try_for_each(|found| network(&found.to_string()).map(drop));
        let many = if self.networks.len() > MAX_NETWORKS { Err(TOO_MANY_NETWORKS.into()) } else { Ok(()) };
        let rate = self.rate.map_or(Ok(()), |rate| {
            requests(u64::from(rate.per_second.get())).and(requests(u64::from(rate.burst.get()))).map(drop)
        });
        all([
            ("note", note(&self.note)),
            ("expires_at", expiry),
            ("networks", many),
            ("networks", networks),
            ("rate", rate),
        ])
    }
}

/// A successor to be made for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// How long the old key stays good, in milliseconds.
    pub grace_ms: Millis,
    /// When the successor expires; none: it lives as long as the old key was made for.
    #[serde(default)]
    pub expires_at: Option<Millis>,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { grace_ms: DEFAULT_GRACE, expires_at: None }
    }
}

impl Rotation {
    /// Holds it against every rule.
    pub(super) fn check(&self, now: Millis) -> Result<(), Error> {
        let expiry = self.expires_at.map_or(Ok(()), |at| expires_at(at, now));
        all([("grace", grace(self.grace_ms)), ("expires_at", expiry)])
    }
}

/// The rule of the number of networks.
pub const TOO_MANY_NETWORKS: &str = "at most 32 networks";

/// All that is wrong, in one message.
fn all<const N: usize>(checks: [(&str, Result<(), String>); N]) -> Result<(), Error> {
    let wrong = checks.into_iter().filter_map(|(field, check)| Some(format!("{field}: {}", check.err()?)));
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() { Ok(()) } else { Err(Error::Asked(wrong.join("; "))) }
}

/// The rule of notes.
pub fn note(text: &str) -> Result<(), String> {
    let bad = text.len() > MAX_NOTE || text.chars().any(char::is_control);
    if bad { Err(format!("at most {MAX_NOTE} bytes, without control characters")) } else { Ok(()) }
}

/// The rule of expiries.
pub fn expires_at(at: Millis, now: Millis) -> Result<(), String> {
    if at > now && at < END_TIME { Ok(()) } else { Err("after now and before 2100".into()) }
}

/// The rule of graces.
pub fn grace(millis: Millis) -> Result<(), String> {
    if (0..=MAX_GRACE).contains(&millis) { Ok(()) } else { Err("from nothing to 30 days".into()) }
}

/// The rule of requests per second, and at once.
pub fn requests(number: u64) -> Result<NonZeroU32, String> {
    let fits = u32::try_from(number).ok().filter(|number| *number <= MAX_RATE).and_then(NonZeroU32::new);
    fits.ok_or_else(|| format!("a whole number from 1 to {MAX_RATE}"))
}

/// Reads a network: an address and the length of its prefix, or an address alone. One whose address has bits behind its
/// prefix is a slip of the pen and refused. An IPv4 network counts as one also where it is written as IPv6.
pub fn network(text: &str) -> Result<IpNet, String> {
    let refuse = || "a network like 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32".to_owned();
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| refuse())?;
    if parsed.addr() != parsed.network() {
        return Err(format!("bits are set behind the prefix; {} is the network", parsed.trunc()));
    }
    let IpNet::V6(wide) = parsed else { return Ok(parsed) };
    match (wide.addr().to_ipv4_mapped(), wide.prefix_len().checked_sub(96)) {
        (Some(address), Some(length)) => Ipv4Net::new(address, length).map(IpNet::V4).map_err(|_| refuse()),
        _ => Ok(parsed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_slips_are_refused() {
        let read = |text: &str| network(text).map(|network| network.to_string());
        for (text, network) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(network), "{text}");
        }
        assert_eq!(read("10.0.0.5/8").unwrap_err(), "bits are set behind the prefix; 10.0.0.0/8 is the network");
        for text in ["", "10.0.0.0/33", "10.0.0/8", "example.org", "::ffff:10.0.0.1/104", "10.0.0.0/8 "] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_mistake_of_a_key_is_named() {
        let rate = Rate { per_second: NonZeroU32::MAX, burst: NonZeroU32::MIN };
        let wrong = NewKey {
            note: "a\nb".into(),
            expires_at: Some(5),
            rate: Some(rate),
            networks: vec!["10.0.0.5/8".parse().unwrap()],
            ..NewKey::of(Role::Viewer)
        };
        let message = wrong.check(5).unwrap_err().to_string();
        for field in ["note: ", "expires_at: ", "networks: ", "rate: "] {
            assert!(message.contains(field), "{message}");
        }
        assert!(NewKey { expires_at: Some(6), ..NewKey::of(Role::Viewer) }.check(5).is_ok());
        let many = NewKey { networks: vec!["::/0".parse().unwrap(); MAX_NETWORKS + 1], ..NewKey::of(Role::Viewer) };
        assert!(many.check(5).is_err());
        assert!(Rotation { grace_ms: MAX_GRACE + 1, expires_at: None }.check(0).is_err());
        assert!(Rotation { grace_ms: -1, expires_at: None }.check(0).is_err());
    }
}
