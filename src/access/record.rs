//! What the control topic keeps of a key: one record when it is made, rewritten once, when it is revoked. A last use is a
//! record of its own.
//!
//! Nothing but a revocation rewrites a key's record, so no write that crosses it on another instance can undo it: a
//! rotation is told by the successor's record, in one write, and leaves the old key's alone.

use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Role;
use crate::core::Millis;

/// What stands before the id in the names of keys.
const KEY: &str = "key/";
/// And in the names of their last uses.
const USE: &str = "key-use/";

/// What is kept of a key, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What the key is for.
    pub role: Role,
    /// HMAC-SHA256 of the secret under the pepper, hexadecimal.
    pub hash: String,
    /// Which pepper.
    pub pepper_id: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at: Millis,
    /// What its maker wrote down.
    #[serde(default)]
    pub note: String,
    /// Whether it opens nothing any longer.
    #[serde(default)]
    pub revoked: bool,
    /// From when on it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// How much its bearer may ask; none: what everybody may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Where its bearer may ask from; empty: anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<IpNet>,
    /// The key that this one takes the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaces>,
    /// What a later version added: passed over, and kept where this version rewrites the record.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

/// How much the bearer of a key may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Requests per second, in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// A key that has a successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaces {
    /// The old key's id.
    pub id: String,
    /// From when on the old key opens nothing, in milliseconds since 1970.
    pub until: Millis,
}

/// When a key was last used, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// In milliseconds since 1970.
    pub at: Millis,
}

/// What a record of the control topic is about, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    /// The key of this id.
    Key(&'a str),
    /// The last use of the key of this id.
    Use(&'a str),
}

impl<'a> Subject<'a> {
    /// None for what is no business of this module.
    pub(super) fn of(name: &'a [u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        name.strip_prefix(KEY).map(Self::Key).or_else(|| name.strip_prefix(USE).map(Self::Use))
    }

    /// The record's name.
    pub(super) fn name(self) -> String {
        match self {
            Self::Key(id) => format!("{KEY}{id}"),
            Self::Use(id) => format!("{USE}{id}"),
        }
    }
}

/// Whether a caller at `from` is inside one of the networks. Where there are some, a caller from nowhere is not. An IPv4
/// address counts as one, however the socket writes it.
pub(super) fn admits(networks: &[IpNet], from: Option<IpAddr>) -> bool {
    let inside = |address: IpAddr| networks.iter().any(|network| network.contains(&address.to_canonical()));
    networks.is_empty() || from.is_some_and(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"role":"viewer","hash":"00","pepper_id":"p","created_at":7,"note":"n","revoked":false}"#;

    #[test]
    fn a_record_of_an_older_version_reads_and_one_of_a_newer_keeps_what_it_has() {
        let old: Record = serde_json::from_str(OLD).unwrap();
        assert_eq!((old.expires_at, old.rate, old.networks.len(), &old.replaces), (None, None, 0, &None));
        assert_eq!(
            serde_json::to_string(&old).unwrap(),
            OLD,
            "an older version reads what is written where nothing is new"
        );
        let newer = OLD.replace("\"revoked\"", "\"colour\":{\"r\":1},\"revoked\"");
        let mut read: Record = serde_json::from_str(&newer).unwrap();
        read.revoked = true;
        let written: serde_json::Value = serde_json::to_value(&read).unwrap();
        assert_eq!((&written["colour"]["r"], &written["revoked"]), (&1.into(), &true.into()));
    }

    #[test]
    fn an_address_is_judged_as_what_it_is() {
        let networks: Vec<IpNet> = vec!["10.1.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let from = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"] {
            assert!(admits(&networks, from(inside)), "{inside}");
        }
        for outside in ["10.2.0.1", "::ffff:10.2.0.1", "::10.1.2.3", "2001:db9::1", "127.0.0.1"] {
            assert!(!admits(&networks, from(outside)), "{outside}");
        }
        assert!(!admits(&networks, None), "who comes from nowhere is not inside");
        assert!(admits(&[], None) && admits(&[], from("127.0.0.1")));
    }

    #[test]
    fn names_go_both_ways() {
        for subject in [Subject::Key("a"), Subject::Use("a")] {
            assert_eq!(Subject::of(subject.name().as_bytes()), Some(subject));
        }
        assert_eq!(Subject::of(b"webhook/1"), None);
    }
}
