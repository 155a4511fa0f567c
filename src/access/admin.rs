//! Making, listing and revoking keys.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::control::{ControlLog, ControlRecord};
use super::keys::{Keys, Record, control_key};
use super::pepper::hex;
use super::token::{Fresh, Token};
use super::{Error, Role};

/// Longest note, in bytes.
const MAX_NOTE: usize = 200;

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

/// A key in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The public id.
    pub id: String,
    /// What it is for.
    pub role: Role,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// What its maker wrote down.
    pub note: String,
    /// Whether it opens nothing any longer.
    pub revoked: bool,
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
    pub fn create(&self, role: Role, note: &str, now_ms: i64) -> Result<Created, Error> {
        if note.len() > MAX_NOTE || note.chars().any(char::is_control) {
            return Err(Error::Asked(format!("note: at most {MAX_NOTE} bytes, without control characters")));
        }
        let fresh = Fresh::draw()?;
        let token = Token::parse(fresh.text()).map_err(|e| Error::Asked(e.to_string()))?;
        let pepper = self.keys.peppers().current();
        let record = Record {
            role,
            hash: hex(&pepper.hash(token.secret)),
            pepper_id: pepper.id().to_owned(),
            created_at: now_ms,
            note: note.to_owned(),
            revoked: false,
        };
        self.put(token.id, &record)?;
        Ok(Created { id: token.id.to_owned(), role, key: fresh.text().to_owned() })
    }

    /// What a key is for; none where it opens nothing.
    pub fn role_of(&self, key: &str) -> Option<Role> {
        self.keys.authenticate(key).ok().map(|identity| identity.role)
    }

    /// Every key, oldest first.
    pub fn list(&self) -> Vec<Listed> {
        let listed = |(id, record): (String, Record)| Listed {
            id,
            role: record.role,
            created_at: record.created_at,
            note: record.note,
            revoked: record.revoked,
        };
        self.keys.all().into_iter().map(listed).collect()
    }

    /// Revokes a key. It opens nothing on this instance when this returns, and nowhere within a second.
    pub fn revoke(&self, id: &str) -> Result<(), Error> {
        let record = self.keys.get(id).ok_or_else(|| Error::NoKey(id.to_owned()))?;
        self.put(id, &Record { revoked: true, ..record })
    }

    fn put(&self, id: &str, record: &Record) -> Result<(), Error> {
        let value = serde_json::to_vec(record).map_err(|e| Error::Control(e.to_string()))?;
        let key = control_key(id);
        self.control.put(&key, Some(&value))?;
        self.keys.apply(&ControlRecord { key: key.into(), value: Some(value) });
        Ok(())
    }
}
