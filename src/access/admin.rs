//! Making, rotating, listing and revoking keys.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::control::{ControlLog, ControlRecord};
use super::keys::Keys;
use super::known::{KeyState, Listed};
use super::pepper::hex;
use super::record::{Record, Replaces, Subject};
use super::request::{NewKey, Rotation};
use super::token::{Fresh, Token};
use super::{Error, Role, now_ms};
use crate::core::Millis;

/// How often it is looked whether the control topic is to be told of last uses.
const LOOK: Duration = Duration::from_secs(60);

/// A key just made: the only time that it is seen whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The public id, to revoke it by.
    pub id: String,
    /// What it is for.
    pub role: Role,
    /// The key itself.
    pub key: String,
}

impl std::fmt::Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Created").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Administration of keys over a control topic. Its directory must have been loaded.
#[derive(Clone)]
pub struct Admin {
    keys: Arc<Keys>,
    control: Arc<dyn ControlLog>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// Administers the keys of `control`.
    pub fn new(keys: Arc<Keys>, control: Arc<dyn ControlLog>) -> Self {
        Self { keys, control }
    }

    /// Makes a key. It is durable, and holds on this instance, when this returns.
    pub fn create(&self, new: NewKey, now: Millis) -> Result<Created, Error> {
        self.create_as(&Fresh::draw()?, new, now)
    }

    /// As [`Self::create`], of a key that was drawn already.
    pub(super) fn create_as(&self, fresh: &Fresh, new: NewKey, now: Millis) -> Result<Created, Error> {
        new.check(now)?;
        self.make(fresh, new, None, now)
    }

    /// Makes a successor of a key: same role, note, limits and networks, an id and a secret of its own. The old key stays
    /// good until the grace is over. One record says both, so there is no moment, whatever dies, at which only one holds.
    pub fn rotate(&self, id: &str, rotation: Rotation, now: Millis) -> Result<Created, Error> {
        self.rotate_to(&Fresh::draw()?, id, rotation, now)
    }

    /// As [`Self::rotate`], to a key that was drawn already.
    pub(super) fn rotate_to(&self, fresh: &Fresh, id: &str, rotation: Rotation, now: Millis) -> Result<Created, Error> {
        rotation.check(now)?;
        let missing = || Error::NoKey(id.to_owned());
        let (old, stands) = self.keys.record(id).zip(self.keys.get(id, now)).ok_or_else(missing)?;
        match (stands.state, &stands.replaced_by) {
            (KeyState::Revoked, _) => return Err(Error::Conflict(format!("the key {id} is revoked: make a new one"))),
            (_, Some(by)) => {
                return Err(Error::Conflict(format!("the key {id} was rotated already: its successor is {by}")));
            }
            (KeyState::Expired, _) => return Err(Error::Conflict(format!("the key {id} has expired: make a new one"))),
            (KeyState::Open, None) if stands.other_pepper => return Err(Error::Conflict(other_pepper(id))),
            (KeyState::Open, None) => {}
        }
        let grace = now + rotation.grace_ms;
        let until = old.expires_at.map_or(grace, |expires_at| grace.min(expires_at));
        let same_life = || old.expires_at.map(|expires_at| now + (expires_at - old.created_at));
        let new = NewKey {
            role: old.role,
            expires_at: rotation.expires_at.or_else(same_life),
            note: old.note,
            rate: old.rate,
            networks: old.networks,
        };
        self.make(fresh, new, Some(Replaces { id: id.to_owned(), until }), now)
    }

    fn make(&self, fresh: &Fresh, new: NewKey, replaces: Option<Replaces>, now: Millis) -> Result<Created, Error> {
        let token = Token::parse(fresh.text()).map_err(|e| Error::Asked(e.to_string()))?;
        let pepper = self.keys.peppers().current();
        let record = Record {
            role: new.role,
            hash: hex(&pepper.hash(token.secret)),
            pepper_id: pepper.id().to_owned(),
            created_at: now,
            note: new.note,
            revoked: false,
            expires_at: new.expires_at,
            rate: new.rate,
            networks: new.networks,
            replaces,
            unknown: serde_json::Map::new(),
        };
        self.put(Subject::Key(token.id), &record)?;
        Ok(Created { id: token.id.to_owned(), role: new.role, key: fresh.text().to_owned() })
    }

    /// What a key is for; none where it opens nothing.
    pub fn role_of(&self, key: &str) -> Option<Role> {
        self.keys.authenticate(key, None, now_ms()).ok().map(|identity| identity.role)
    }

    /// Every key, oldest first.
    pub fn list(&self, now: Millis) -> Vec<Listed> {
        self.keys.list(now)
    }

    /// One key.
    pub fn get(&self, id: &str, now: Millis) -> Result<Listed, Error> {
        self.keys.get(id, now).ok_or_else(|| Error::NoKey(id.to_owned()))
    }

    /// Revokes a key, for ever. It opens nothing on this instance when this returns, and nowhere within a second.
    pub fn revoke(&self, id: &str) -> Result<(), Error> {
        let record = self.keys.record(id).ok_or_else(|| Error::NoKey(id.to_owned()))?;
        self.put(Subject::Key(id), &Record { revoked: true, ..record })
    }

    /// Tells the control topic of last uses that it does not know, until `stop` is cancelled, and then once more. Off the path
    /// of every request: what cannot be written is written a minute later.
    pub async fn keep_uses(self, stop: CancellationToken) {
        let mut on = true;
        while on {
            on = stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some();
            let admin = self.clone();
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || admin.write_uses()).await {
                tracing::warn!(%error, "when keys were last used cannot be written just now");
            }
        }
    }

    /// Tells the control topic of last uses: at most once an hour a key.
    pub(super) fn write_uses(&self) -> Result<(), Error> {
        let mut uses = self.keys.unwritten_uses().into_iter();
        uses.try_for_each(|(id, used)| self.put(Subject::Use(&id), &used))
    }

    /// Durable, then in force here.
    fn put(&self, subject: Subject<'_>, record: &impl Serialize) -> Result<(), Error> {
        let value = serde_json::to_vec(record).map_err(|e| Error::Control(e.to_string()))?;
        let name = subject.name();
        self.control.put(&name, Some(&value))?;
        self.keys.apply(&ControlRecord { key: name.into(), value: Some(value) });
        Ok(())
    }
}

/// Its successor would open, but the grace that its bearers rely on would be none.
fn other_pepper(id: &str) -> String {
    format!(
        "the key {id} was made under another pepper and opens nothing here, so no grace would keep its bearers: name the file of \
         that pepper in access.older_pepper_files, restart, and rotate it then; where that is lost, make a new key and revoke \
         this one"
    )
}
