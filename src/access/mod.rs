//! Who may do what: API keys, roles, and the directory of keys that instances share.
//!
//! | file | holds |
//! | --- | --- |
//! | `token` | the text of a key: `trb_live_<id>_<secret><checksum>` |
//! | `file` | files that hold a secret |
//! | `pepper` | the secret that hashes of keys are made with, and hashing itself |
//! | `role` | roles, scopes, and the one table that joins them |
//! | `record` | what the control topic keeps of a key |
//! | `known` | all that is known of one key, and whether it opens anything now |
//! | `keys` | the directory in memory; who a token is |
//! | `request` | what is asked of the administration of keys, and the rules of it |
//! | `admin` | making, rotating, listing and revoking keys; writing down their last uses |
//! | `acting` | doing so on somebody's behalf, told to the audit log |
//! | `control` | what is asked of `tributary.control` |
//! | `socket` | administration of a running instance through its data folder |
//!
//! **Architecture invariant:** the secret of a key leaves this module once, when it is made; what is kept is a keyed hash.

pub mod acting;
pub mod admin;
mod clock;
pub mod control;
pub mod file;
pub mod keys;
mod known;
pub mod pepper;
mod record;
pub mod request;
pub mod role;
pub mod socket;
pub mod token;

pub use acting::Acting;
pub use admin::{Admin, Created};
pub use clock::now_ms;
pub use control::{ControlLog, ControlRecord, ControlRecords};
pub use keys::{Denied, Identity, Keys};
pub use known::{KeyState, Listed};
pub use pepper::{Pepper, Peppers};
pub use record::{Rate, Record, Replaces};
pub use request::{NewKey, Rotation};
pub use role::{Role, Scope};

/// What went wrong, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The control topic cannot be read or written just now; ask again.
    #[error("{0}")]
    Control(String),
    /// A file of ours cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The pepper cannot be used.
    #[error("{0}")]
    Pepper(String),
    /// The operating system gives no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(String),
    /// No key has this id.
    #[error("no key has the id {0:?}; `tributary keys list` shows those there are")]
    NoKey(String),
    /// What was asked breaks a rule.
    #[error("{0}")]
    Asked(String),
    /// What was asked does not fit what is there.
    #[error("{0}")]
    Conflict(String),
    /// Nobody answers on the socket of the data folder.
    #[error("no running instance answers at {path}: {source}; {}", who_to_ask(.source))]
    NotRunning {
        /// The socket.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another instance uses the data folder.
    #[error("{0}: another running instance answers here; one data folder serves one instance")]
    Taken(String),
    /// The audit log cannot be told of it, so it was not done.
    #[error("nothing was changed: {0}")]
    Unaudited(crate::audit::Unavailable),
    /// The running instance refused.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    fn file(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), source }
    }
}

fn who_to_ask(why: &std::io::Error) -> &'static str {
    match why.kind() {
        std::io::ErrorKind::PermissionDenied => "one may well run: ask as the owner of that folder",
        _ => "start one with `tributary run` or `tributary demo`, or name the configuration of one with --config",
    }
}
