//! What an entry says, and its bytes: one line of printable ASCII, whatever a stranger put into a name.

use std::io;
use std::net::IpAddr;

use serde::de::value::{Error as Unknown, StrDeserializer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::Millis;

/// Longest text of a field, in bytes; what is longer is cut.
pub const MAX_TEXT: usize = 256;

/// Who acts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Actor {
    /// The bearer of an API key, by its public id.
    Key(String),
    /// Whoever showed no good key.
    Anonymous,
    /// A user of this machine, at the administration socket.
    Local(u32),
    /// The process itself.
    #[default]
    System,
}

impl Actor {
    fn text(&self) -> String {
        match self {
            Self::Key(id) => format!("key:{id}"),
            Self::Anonymous => "anonymous".into(),
            Self::Local(uid) => format!("local:{uid}"),
            Self::System => "system".into(),
        }
    }
}

/// Who asks for something, and by which request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// From where, if over the network.
    pub client: Option<IpAddr>,
    /// The request's id, if it is one of the API.
    pub request_id: String,
}

impl Caller {
    /// The process itself.
    pub fn system() -> Self {
        Self::default()
    }

    /// Somebody.
    pub fn anonymous() -> Self {
        Self { actor: Actor::Anonymous, ..Self::default() }
    }

    /// A user of this machine.
    pub fn local(uid: u32) -> Self {
        Self { actor: Actor::Local(uid), ..Self::default() }
    }
}

/// What is done. Names are for programs: they are added to, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Showing who one is.
    #[serde(rename = "authenticate")]
    Authenticate,
    /// Asking for what a role opens or does not.
    #[serde(rename = "authorize")]
    Authorize,
    /// Making an API key.
    #[serde(rename = "key.create")]
    KeyCreate,
    /// Making the successor of an API key.
    #[serde(rename = "key.rotate")]
    KeyRotate,
    /// Revoking an API key.
    #[serde(rename = "key.revoke")]
    KeyRevoke,
    /// Writing events through the API.
    #[serde(rename = "ingest")]
    Ingest,
    /// Reading the configuration again.
    #[serde(rename = "reload")]
    Reload,
    /// The process starts: the first entry of every chain.
    #[serde(rename = "start")]
    Start,
    /// The process stops: the last entry of a chain that was not cut short.
    #[serde(rename = "stop")]
    Stop,
}

impl Action {
    /// The one of this name; none where only a later version knows it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::deserialize(StrDeserializer::<Unknown>::new(name)).ok()
    }

    /// Whether it changes something, and so stands between two entries.
    pub(super) const fn is_change(self) -> bool {
        match self {
            Self::KeyCreate | Self::KeyRotate | Self::KeyRevoke | Self::Ingest | Self::Reload => true,
            Self::Authenticate | Self::Authorize | Self::Start | Self::Stop => false,
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It may go on. A change that is allowed and neither done nor failed was cut short.
    Allowed,
    /// It may not.
    Denied,
    /// It is done.
    Done,
    /// It was tried.
    Failed,
}

/// An entry before it has its place in the chain. Nothing secret, no content of an event and no user's id belongs here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who asks.
    pub caller: Caller,
    /// What for.
    pub action: Action,
    /// On what: a method and the template of a route, the id of a key, an input.
    pub object: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where there is more to say.
    pub reason: String,
    /// Of how many.
    pub count: Option<u64>,
    /// The program's version; of a start.
    pub version: Option<String>,
    /// The digest of the configuration; of a start and a reload.
    pub config: Option<String>,
}

impl Draft {
    /// This much, and nothing more to say.
    pub fn new(caller: Caller, action: Action, object: impl Into<String>, outcome: Outcome) -> Self {
        let (object, reason) = (object.into(), String::new());
        Self { caller, action, object, outcome, reason, count: None, version: None, config: None }
    }

    /// With a reason.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
    }
}

/// A record of the audit topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who acted.
    pub key: Vec<u8>,
    /// The entry: one JSON object, its hash last.
    pub value: Vec<u8>,
}

/// The place of an entry in its chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) chain: &'a str,
    pub(super) seq: u64,
    pub(super) at: Millis,
    pub(super) instance: &'a str,
    /// Of a chain's first entry: the chain before it, and the last entry of that.
    pub(super) previous: Option<(&'a str, u64)>,
    pub(super) prev: &'a str,
}

/// The fields in their order; those that say nothing for most entries are left out there.
#[derive(Serialize)]
struct Body<'a> {
    chain: &'a str,
    seq: u64,
    at: Millis,
    instance: &'a str,
    actor: &'a str,
    action: Action,
    object: &'a str,
    outcome: Outcome,
    reason: &'a str,
    client: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_chain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_seq: Option<u64>,
    prev: &'a str,
}

/// Gives a draft its place: the record, and its hash in hexadecimal.
pub(super) fn seal(draft: &Draft, place: Place<'_>) -> (Record, String) {
    let actor = draft.caller.actor.text();
    let client = draft.caller.client.map(|address| address.to_string()).unwrap_or_default();
    let body = Body {
        chain: place.chain,
        seq: place.seq,
        at: place.at,
        instance: place.instance,
        actor: cut(&actor),
        action: draft.action,
        object: cut(&draft.object),
        outcome: draft.outcome,
        reason: cut(&draft.reason),
        client: &client,
        request_id: cut(&draft.caller.request_id),
        count: draft.count,
        version: draft.version.as_deref().map(cut),
        config: draft.config.as_deref().map(cut),
        previous_chain: place.previous.map(|(chain, _)| chain),
        previous_seq: place.previous.map(|(_, seq)| seq),
        prev: place.prev,
    };
    let mut value = Vec::with_capacity(512);
    let written = body.serialize(&mut serde_json::Serializer::with_formatter(&mut value, Ascii));
    debug_assert!(written.is_ok(), "strings and numbers always encode");
    let hash = hex(&Sha256::digest(&value));
    value.pop(); // the closing brace
    value.extend_from_slice(HASH.as_bytes());
    value.extend_from_slice(hash.as_bytes());
    value.extend_from_slice(b"\"}");
    (Record { key: cut(&actor).as_bytes().to_vec(), value }, hash)
}

/// What stands before an entry's hash, which is its last field: the hash is that of all the bytes before this, and a brace.
const HASH: &str = ",\"hash\":\"";
const HASH_DIGITS: usize = 64;

/// The hash that an entry's bytes have, and the one that it says it has.
pub(super) fn hashes(value: &[u8]) -> Option<(String, &str)> {
    let told = value.strip_suffix(b"\"}")?;
    let (rest, told) = told.split_at_checked(told.len().checked_sub(HASH_DIGITS)?)?;
    let body = rest.strip_suffix(HASH.as_bytes())?;
    let has = Sha256::new().chain_update(body).chain_update(b"}").finalize();
    Some((hex(&has), std::str::from_utf8(told).ok()?))
}

/// What is read of an entry, of whichever version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    pub(super) chain: String,
    pub(super) seq: u64,
    pub(super) at: Millis,
    pub(super) instance: String,
    pub(super) actor: String,
    pub(super) action: String,
    #[serde(default)]
    pub(super) object: String,
    #[serde(default)]
    pub(super) outcome: String,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) client: String,
    #[serde(default)]
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) count: Option<u64>,
    #[serde(default)]
    pub(super) previous_chain: Option<String>,
    #[serde(default)]
    pub(super) previous_seq: Option<u64>,
    pub(super) prev: String,
    pub(super) hash: String,
}

impl Entry {
    /// Reads the value of a record, to be looked at. None where it is no entry: those are of printable characters alone.
    pub fn read(value: &[u8]) -> Option<Self> {
        let printable = value.iter().all(|byte| (b' '..=b'~').contains(byte));
        printable.then(|| serde_json::from_slice(value).ok()).flatten()
    }

    /// Whether it tells that the process stops.
    pub(super) fn is_stop(&self) -> bool {
        self.action == "stop"
    }
}

/// Text as it goes into an entry: not longer than [`MAX_TEXT`] bytes.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compact JSON in printable ASCII: what is not is escaped, so that no name can end a line, move a cursor or turn the
/// direction of writing, wherever an entry is looked at.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            match c {
                ' '..='~' => writer.write_all(&[u8::try_from(c).unwrap_or(b'?')])?,
                _ => c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(object: &str, reason: &str) -> Vec<u8> {
        let caller = Caller { actor: Actor::Key(object.into()), client: None, request_id: reason.into() };
        let draft = Draft::new(caller, Action::Ingest, object, Outcome::Denied).because(reason);
        let place = Place { chain: "c", seq: 1, at: 2, instance: "i", previous: None, prev: "p" };
        seal(&draft, place).0.value
    }

    #[test]
    fn the_bytes_of_an_entry_are_these_for_ever() {
        let draft = Draft {
            count: Some(3),
            ..Draft::new(
                Caller {
                    actor: Actor::Key("4f3kq0v2".into()),
                    client: Some([192, 0, 2, 7].into()),
                    request_id: "r1".into(),
                },
                Action::Ingest,
                "touchpoints",
                Outcome::Done,
            )
        };
        let place =
            Place { chain: "a-1-x", seq: 7, at: 1_700_000_000_000, instance: "a", previous: None, prev: "00ff" };
        let (record, hash) = seal(&draft, place);
        let body = concat!(
            r#"{"chain":"a-1-x","seq":7,"at":1700000000000,"instance":"a","actor":"key:4f3kq0v2","action":"ingest","#,
            r#""object":"touchpoints","outcome":"done","reason":"","client":"192.0.2.7","request_id":"r1","count":3,"#,
            r#""prev":"00ff""#
        );
        assert_eq!(hash, hex(&Sha256::digest(format!("{body}}}"))));
        assert_eq!(String::from_utf8(record.value).unwrap(), format!("{body},\"hash\":\"{hash}\"}}"));
        assert_eq!(record.key, b"key:4f3kq0v2");
    }

    #[test]
    fn names_of_actions_and_outcomes_never_change() {
        use Action::*;
        let actions = [Authenticate, Authorize, KeyCreate, KeyRotate, KeyRevoke, Ingest, Reload, Start, Stop];
        assert_eq!(
            serde_json::to_string(&actions).unwrap(),
            r#"["authenticate","authorize","key.create","key.rotate","key.revoke","ingest","reload","start","stop"]"#
        );
        let unnamed = actions.map(|action| serde_json::to_value(action).unwrap().as_str().and_then(Action::named));
        assert_eq!((unnamed, Action::named("later")), (actions.map(Some), None));
        let outcomes = [Outcome::Allowed, Outcome::Denied, Outcome::Done, Outcome::Failed];
        assert_eq!(serde_json::to_string(&outcomes).unwrap(), r#"["allowed","denied","done","failed"]"#);
        let actors = [Actor::Anonymous, Actor::Local(7), Actor::System].map(|actor| actor.text());
        assert_eq!(actors, ["anonymous", "local:7", "system"]);
    }

    #[test]
    fn nothing_that_moves_a_cursor_or_ends_a_line_gets_through() {
        let nasty = "a\r\n{\"chain\":\"x\"}\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{2028}\"\\é\u{1f600}";
        let value = sealed(nasty, nasty);
        assert!(value.iter().all(|byte| (b' '..=b'~').contains(byte)), "{}", String::from_utf8_lossy(&value));
        let read: serde_json::Value = serde_json::from_slice(&value).unwrap();
        assert_eq!(
            (read["object"].as_str(), read["reason"].as_str()),
            (Some(nasty), Some(nasty)),
            "and nothing is lost"
        );
    }

    proptest! {
        #[test]
        fn any_text_stays_one_bounded_object_of_printable_characters(
            object in proptest::collection::vec(any::<char>(), 0..200).prop_map(String::from_iter),
            reason in "\\PC*|[\\x00-\\x1f\"\\\\]*",
        ) {
            let value = sealed(&object, &reason);
            prop_assert!(value.iter().all(|byte| (b' '..=b'~').contains(byte)));
            prop_assert!(value.len() < 4 * 6 * MAX_TEXT + 512);
            let read: serde_json::Value = serde_json::from_slice(&value).unwrap();
            prop_assert_eq!(read["object"].as_str(), Some(cut(&object)));
            let (has, told) = hashes(&value).unwrap();
            prop_assert_eq!(has, told);
        }
    }
}
