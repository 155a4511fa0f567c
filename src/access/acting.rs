//! Changing keys on somebody's behalf: between two entries of the audit log, and not at all without the first.

use super::admin::{Admin, Created};
use super::token::Fresh;
use super::{Error, NewKey, Rotation};
use crate::audit::{Action, Audit, Caller, Draft, Outcome};
use crate::core::Millis;

/// Administration by a caller.
#[derive(Debug)]
pub struct Acting<'a> {
    admin: &'a Admin,
    audit: &'a Audit,
    caller: Caller,
}

impl Admin {
    /// Changes that `audit` is told of as this caller's. Blocks.
    pub fn acting<'a>(&'a self, audit: &'a Audit, caller: Caller) -> Acting<'a> {
        Acting { admin: self, audit, caller }
    }
}

impl Acting<'_> {
    /// The keys, to look at.
    pub fn keys(&self) -> &Admin {
        self.admin
    }

    /// As [`Admin::create`].
    pub fn create(&self, new: NewKey, now: Millis) -> Result<Created, Error> {
        let fresh = Fresh::draw()?; // before the first entry, which names it
        let draft = self.draft(Action::KeyCreate, fresh.id()).because(format!("role {}", new.role));
        self.audit.change(draft, Error::Unaudited, || self.admin.create_as(&fresh, new, now))
    }

    /// As [`Admin::rotate`].
    pub fn rotate(&self, id: &str, rotation: Rotation, now: Millis) -> Result<Created, Error> {
        let fresh = Fresh::draw()?;
        let draft = self.draft(Action::KeyRotate, &format!("{id} by {}", fresh.id()));
        self.audit.change(draft, Error::Unaudited, || self.admin.rotate_to(&fresh, id, rotation, now))
    }

    /// As [`Admin::revoke`].
    pub fn revoke(&self, id: &str) -> Result<(), Error> {
        let draft = self.draft(Action::KeyRevoke, id);
        self.audit.change(draft, Error::Unaudited, || self.admin.revoke(id))
    }

    fn draft(&self, action: Action, object: &str) -> Draft {
        Draft::new(self.caller.clone(), action, object, Outcome::Allowed)
    }
}
