//! What is known of one key's id. Its parts come from several records, in any order.

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Role;
use super::keys::Denied;
use super::pepper::{self, Hash};
use super::record::{self, Rate, Record, Replaces, Use};
use crate::core::Millis;

/// A use is noted in memory where the last one noted is older than this, so that requests rarely write what all share.
const NOTED: Millis = 60_000;
/// It is written to the control topic where the last one written is older than this.
const WRITTEN: Millis = 3_600_000;

/// A key as it stands: what its record says and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The public id.
    pub id: String,
    /// What it is for.
    pub role: Role,
    /// Whether it opens anything.
    pub state: KeyState,
    /// When it was made, in milliseconds since 1970.
    pub created_at: Millis,
    /// From when on it opens nothing: its own expiry, or the end of the grace after its rotation.
    pub expires_at: Option<Millis>,
    /// When it was last used, to the hour.
    pub last_used_at: Option<Millis>,
    /// What its maker wrote down.
    pub note: String,
    /// How much its bearer may ask; none: what everybody may.
    pub rate: Option<Rate>,
    /// Where its bearer may ask from; empty: anywhere.
    pub networks: Vec<IpNet>,
    /// The key that it takes the place of.
    pub replaces: Option<Replaces>,
    /// The id of the key that takes its place.
    pub replaced_by: Option<String>,
    /// Whether it was made under a pepper that is not here: it opens nothing, whatever its state.
    #[serde(default)]
    pub other_pepper: bool,
}

impl Listed {
    /// Whether it would open something if its pepper were here.
    pub fn is_shut_out(&self) -> bool {
        self.other_pepper && self.state == KeyState::Open
    }
}

/// Whether a key opens anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It opens what its role says.
    Open,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl KeyState {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A key that can be read.
pub(super) struct Key {
    pub(super) record: Record,
    pub(super) hash: Hash,
}

/// All that is known of an id.
#[derive(Default)]
pub(super) struct Known {
    key: Option<Key>,
    /// Its successor's id, and from when on itself opens nothing.
    successor: Option<(String, Millis)>,
    /// The last use noted here; 0: none.
    used: AtomicI64,
    /// The last use that the control topic has; 0: none.
    written: Millis,
}

impl Known {
    /// Takes the key's record in; none is one that cannot be read. What is revoked stays so, whatever comes after.
    pub(super) fn set(&mut self, record: Option<Record>) {
        let revoked = self.key.as_ref().is_some_and(|key| key.record.revoked);
        self.key = record.and_then(|mut record| {
            record.revoked |= revoked;
            Some(Key { hash: pepper::unhex(&record.hash)?, record })
        });
        if self.key.is_none() {
            tracing::error!("a key on the control topic cannot be read; it opens nothing");
        }
    }

    /// It has a successor, and stays good until then. Of two that were made at once the earlier end counts.
    pub(super) fn replaced(&mut self, by: &str, until: Millis) {
        if self.successor.as_ref().is_none_or(|(_, known)| until < *known) {
            self.successor = Some((by.to_owned(), until));
        }
    }

    /// The control topic has this last use.
    pub(super) fn written(&mut self, at: Millis) {
        self.written = self.written.max(at);
        self.used.fetch_max(at, Ordering::Relaxed);
    }

    /// The key, where it can be read.
    pub(super) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// Whether the bearer of its secret is let in.
    pub(super) fn admit(&self, from: Option<IpAddr>, now: Millis) -> Result<(), Denied> {
        let key = self.key.as_ref().ok_or(Denied::Unknown)?;
        match self.state(key, now) {
            KeyState::Revoked => Err(Denied::Revoked),
            KeyState::Expired => Err(Denied::Expired),
            KeyState::Open if !record::admits(&key.record.networks, from) => Err(Denied::Network),
            KeyState::Open => Ok(()),
        }
    }

    /// What is kept of it.
    pub(super) fn record(&self) -> Option<&Record> {
        self.key.as_ref().map(|key| &key.record)
    }

    /// It was used.
    pub(super) fn used(&self, now: Millis) {
        if now - self.used.load(Ordering::Relaxed) >= NOTED {
            self.used.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Its last use, where the control topic is to be told.
    pub(super) fn unwritten_use(&self) -> Option<Use> {
        let at = self.used.load(Ordering::Relaxed);
        (self.key.is_some() && at - self.written >= WRITTEN).then_some(Use { at })
    }

    /// It as it stands, whatever pepper it was made under.
    pub(super) fn listed(&self, id: &str, now: Millis) -> Option<Listed> {
        let key = self.key.as_ref()?;
        let used = self.used.load(Ordering::Relaxed);
        let record = key.record.clone();
        Some(Listed {
            id: id.to_owned(),
            role: record.role,
            state: self.state(key, now),
            created_at: record.created_at,
            expires_at: self.expires_at(key),
            last_used_at: (used > 0).then_some(used),
            note: record.note,
            rate: record.rate,
            networks: record.networks,
            replaces: record.replaces,
            replaced_by: self.successor.as_ref().map(|(id, _)| id.clone()),
            other_pepper: false,
        })
    }

    fn expires_at(&self, key: &Key) -> Option<Millis> {
        let grace = self.successor.as_ref().map(|(_, until)| *until);
        key.record.expires_at.into_iter().chain(grace).min()
    }

    fn state(&self, key: &Key, now: Millis) -> KeyState {
        match self.expires_at(key) {
            _ if key.record.revoked => KeyState::Revoked,
            Some(at) if now >= at => KeyState::Expired,
            _ => KeyState::Open,
        }
    }
}
