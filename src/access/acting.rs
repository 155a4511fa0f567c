//! Changing keys on somebody's behalf: between two entries of the audit log, and not at all without the first.

use super::admin::{Admin, Created};
use super::{Error, Role};
use crate::audit::{Action, Audit, Caller, Draft, Outcome};

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
    /// As [`Admin::create`].
    pub fn create(&self, role: Role, note: &str, now_ms: i64) -> Result<Created, Error> {
        let draft = self.draft(Action::KeyCreate, "").because(format!("role {role}"));
        let id = |made: &Created| Some(made.id.clone());
        self.audit.change(draft, Error::Unaudited, || self.admin.create(role, note, now_ms), id)
    }

    /// As [`Admin::revoke`].
    pub fn revoke(&self, id: &str) -> Result<(), Error> {
        let draft = self.draft(Action::KeyRevoke, id);
        self.audit.change(draft, Error::Unaudited, || self.admin.revoke(id), |()| None)
    }

    fn draft(&self, action: Action, object: &str) -> Draft {
        Draft::new(self.caller.clone(), action, object, Outcome::Allowed)
    }
}
