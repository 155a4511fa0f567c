//! The directory of keys in memory: fed by the control topic, asked at every request.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::{ControlLog, ControlRecord};
use super::pepper::{self, Hash, Peppers};
use super::token::{Malformed, Token};
use super::{Error, Role};

/// What stands before the id in the keys of the control topic.
const KIND: &str = "key/";
/// How long the follower waits for news; a key made elsewhere holds here within this and a little.
const WAIT: Duration = Duration::from_millis(250);
/// How long it waits where the topic cannot be read.
const PAUSE: Duration = Duration::from_millis(500);

/// What the control topic keeps of a key, as JSON. Fields that a later version adds are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What the key is for.
    pub role: Role,
    /// HMAC-SHA256 of the secret under the pepper, hexadecimal.
    pub hash: String,
    /// Which pepper.
    pub pepper_id: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// What its maker wrote down.
    #[serde(default)]
    pub note: String,
    /// Whether it opens nothing any longer.
    #[serde(default)]
    pub revoked: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The key's public id.
    pub key_id: String,
    /// What it may do.
    pub role: Role,
}

/// Why a token is nobody's. Callers of the API are told none of this; logs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token was given.
    #[error("no key")]
    Missing,
    /// It is no key at all, or mistyped.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No key has this id.
    #[error("unknown key")]
    Unknown,
    /// The id is known, the secret is not its.
    #[error("wrong secret")]
    Wrong,
    /// It was revoked.
    #[error("revoked key")]
    Revoked,
    /// It was made under a pepper that this instance does not have.
    #[error("the key was made under another pepper: instances that share keys need the same access.pepper")]
    Pepper,
}

struct Entry {
    record: Record,
    hash: Hash,
}

/// All keys there are.
pub struct Keys {
    peppers: Peppers,
    by_id: RwLock<HashMap<String, Entry>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// An empty directory.
    pub fn new(peppers: Peppers) -> Self {
        Self { peppers, by_id: RwLock::default() }
    }

    /// Reads the whole control topic: no request may be answered before this. Returns where to follow on from.
    pub fn load(&self, control: &dyn ControlLog) -> Result<i64, Error> {
        let mut from = 0;
        loop {
            let read = control.read(from, WAIT)?;
            read.records.iter().for_each(|record| self.apply(record));
            from = read.next;
            if read.at_end {
                return Ok(from);
            }
        }
    }

    /// Follows the control topic from `from` on, until `stop` says so; on a thread of its own.
    pub fn follow(&self, control: &dyn ControlLog, mut from: i64, stop: impl Fn() -> bool) {
        while !stop() {
            match control.read(from, WAIT) {
                Ok(read) => {
                    read.records.iter().for_each(|record| self.apply(record));
                    from = read.next;
                }
                Err(error) => {
                    tracing::warn!(%error, "the control topic cannot be read, keys stay as they are known");
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Takes one record of the control topic in. Records of other kinds and unreadable ones change nothing: the latter
    /// are logged, for a key that cannot be read opens nothing.
    pub fn apply(&self, record: &ControlRecord) {
        let Some(id) = std::str::from_utf8(&record.key).ok().and_then(|key| key.strip_prefix(KIND)) else {
            return;
        };
        let mut by_id = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        let Some(value) = &record.value else {
            by_id.remove(id);
            return;
        };
        let parsed = serde_json::from_slice::<Record>(value).ok();
        let entry = parsed.and_then(|record| Some(Entry { hash: pepper::unhex(&record.hash)?, record }));
        match entry {
            Some(entry) => drop(by_id.insert(id.to_owned(), entry)),
            None => {
                by_id.remove(id);
                tracing::error!("a key in tributary.control cannot be read; it opens nothing");
            }
        }
    }

    /// Who the bearer of this text is. An unknown id costs the same hash as a known one.
    pub fn authenticate(&self, text: &str) -> Result<Identity, Denied> {
        let token = Token::parse(text)?;
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let entry = by_id.get(token.id);
        let pepper = entry.map_or(Some(self.peppers.current()), |entry| self.peppers.get(&entry.record.pepper_id));
        let hash = pepper.unwrap_or(self.peppers.current()).hash(token.secret);
        let right = pepper::same(&hash, &entry.map_or([0; 32], |entry| entry.hash));
        match (entry, pepper) {
            (None, _) => Err(Denied::Unknown),
            (_, None) => Err(Denied::Pepper),
            (Some(_), _) if !right => Err(Denied::Wrong),
            (Some(entry), _) if entry.record.revoked => Err(Denied::Revoked),
            (Some(entry), _) => Ok(Identity { key_id: token.id.to_owned(), role: entry.record.role }),
        }
    }

    /// Every key by id: what is kept of it.
    pub fn all(&self) -> Vec<(String, Record)> {
        let by_id = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = by_id.iter().map(|(id, entry)| (id.clone(), entry.record.clone())).collect();
        all.sort_by(|(a, x), (b, y)| (x.created_at, a).cmp(&(y.created_at, b)));
        all
    }

    /// The record of a key.
    pub(super) fn get(&self, id: &str) -> Option<Record> {
        self.by_id.read().unwrap_or_else(PoisonError::into_inner).get(id).map(|entry| entry.record.clone())
    }

    pub(super) fn peppers(&self) -> &Peppers {
        &self.peppers
    }
}

/// The control topic's key of an API key.
pub(super) fn control_key(id: &str) -> String {
    format!("{KIND}{id}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::access::Pepper;
    use crate::access::control::memory::MemoryControl;
    use crate::access::{Admin, Created};

    fn admin(pepper: u8) -> (Admin, Arc<Keys>, Arc<MemoryControl>) {
        let control = Arc::new(MemoryControl::default());
        let keys = Arc::new(Keys::new(Peppers::new(Pepper::new([pepper; 32]), Vec::new())));
        (Admin::new(Arc::clone(&keys), control.clone()), keys, control)
    }

    fn make(admin: &Admin, role: Role) -> Created {
        admin.create(role, "for a test", 1_700_000_000_000).unwrap()
    }

    #[test]
    fn a_key_opens_until_it_is_revoked() {
        let (admin, keys, control) = admin(1);
        let made = make(&admin, Role::Analyst);
        let who = keys.authenticate(&made.key).unwrap();
        assert_eq!((who.key_id.as_str(), who.role), (made.id.as_str(), Role::Analyst));
        admin.revoke(&made.id).unwrap();
        assert_eq!(keys.authenticate(&made.key), Err(Denied::Revoked));
        control.put(&control_key(&made.id), None).unwrap();
        keys.load(&*control).unwrap();
        assert_eq!(keys.authenticate(&made.key), Err(Denied::Unknown));
    }

    #[test]
    fn what_is_kept_opens_nothing() {
        let (admin, keys, control) = admin(1);
        let made = make(&admin, Role::Viewer);
        let kept = control.0.lock().unwrap().clone();
        let kept = String::from_utf8(kept[0].value.clone().unwrap()).unwrap();
        let secret = made.key.rsplit('_').next().unwrap();
        assert!(!kept.contains(&secret[..43]) && !kept.contains(secret), "{kept}");
        let stranger = crate::access::token::Fresh::draw().unwrap();
        assert_eq!(keys.authenticate(stranger.text()), Err(Denied::Unknown));
        assert_eq!(keys.authenticate("nonsense"), Err(Denied::Malformed(Malformed::Shape)));
    }

    #[test]
    fn the_secret_of_another_key_is_wrong() {
        let (admin, keys, control) = admin(1);
        let (one, two) = (make(&admin, Role::Viewer), make(&admin, Role::Admin));
        let record = keys.get(&one.id).unwrap();
        // The second key's id, with the first one's hash beneath it.
        control.put(&control_key(&two.id), Some(&serde_json::to_vec(&record).unwrap())).unwrap();
        keys.load(&*control).unwrap();
        assert_eq!(keys.authenticate(&two.key), Err(Denied::Wrong));
    }

    #[test]
    fn another_pepper_is_named_and_an_older_one_still_serves() {
        let (admin, _, control) = admin(1);
        let made = make(&admin, Role::Viewer);
        let without = Keys::new(Peppers::new(Pepper::new([2; 32]), Vec::new()));
        without.load(&*control).unwrap();
        assert_eq!(without.authenticate(&made.key), Err(Denied::Pepper));
        let with = Keys::new(Peppers::new(Pepper::new([2; 32]), vec![Pepper::new([1; 32])]));
        with.load(&*control).unwrap();
        assert!(with.authenticate(&made.key).is_ok());
    }

    #[test]
    fn a_key_made_elsewhere_holds_here() {
        let (admin, _, control) = admin(1);
        let here = Arc::new(Keys::new(Peppers::new(Pepper::new([1; 32]), Vec::new())));
        let from = here.load(&*control).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (follows, told) = (Arc::clone(&here), Arc::clone(&stop));
        let follower =
            std::thread::spawn(move || follows.follow(&*control, from, || told.load(Ordering::Acquire)));
        let made = make(&admin, Role::Ingestor);
        let began = std::time::Instant::now();
        while here.authenticate(&made.key).is_err() {
            assert!(began.elapsed() < Duration::from_secs(1), "not within a second");
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Release);
        follower.join().unwrap();
    }

    #[test]
    fn unreadable_records_open_nothing_and_other_kinds_are_left_alone() {
        let (admin, keys, control) = admin(1);
        let made = make(&admin, Role::Viewer);
        control.put("webhook/1", Some(b"{}")).unwrap();
        control.put(&control_key(&made.id), Some(b"{\"role\":\"root\"}")).unwrap();
        keys.load(&*control).unwrap();
        assert_eq!(keys.authenticate(&made.key), Err(Denied::Unknown));
    }
}
