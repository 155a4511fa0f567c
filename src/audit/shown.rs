//! Entries as people look at them, and which of them are asked for.

use std::fmt::{self, Write as _};

use super::entry::{Entry, cut};
use crate::core::Millis;

/// One line for people: time, who, what, outcome, object, client, request and why, two spaces between them.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.at) {
            Some(moment) => write!(f, "{}", moment.format("%Y-%m-%dT%H:%M:%S%.3fZ"))?,
            None => write!(f, "{}", self.at)?,
        }
        let text = |text: &str| if text.is_empty() { "-".to_owned() } else { Escaped::text(text).to_string() };
        let [actor, action, outcome] = [&self.actor, &self.action, &self.outcome].map(|field| text(field));
        write!(f, "  {actor:<20}  {action:<12}  {outcome:<7}")?;
        for field in [&self.object, &self.client, &self.request_id] {
            write!(f, "  {}", text(field))?;
        }
        if let Some(count) = self.count {
            write!(f, "  {count} events")?;
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, "  {}", Escaped::text(&self.reason)) }
    }
}

/// Which entries are asked for: all that is said of one has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this request.
    pub request: Option<String>,
    /// Of this actor, or of the key of this id: what it did, and what was refused to somebody who showed it.
    pub who: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
    /// Of this moment, or a later one.
    pub since: Option<Millis>,
}

impl Wanted {
    /// Whether nothing is said of them.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this is one of them.
    pub fn wants(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|wanted| wanted == has);
        is(&self.request, &entry.request_id)
            && is(&self.outcome, &entry.outcome)
            && self.since.is_none_or(|since| entry.at >= since)
            && self.who.as_ref().is_none_or(|who| entry.is_of(who))
    }
}

impl Entry {
    fn is_of(&self, who: &str) -> bool {
        let shown = || self.reason.strip_suffix(who).is_some_and(|before| before.ends_with(": key "));
        self.actor == who || self.actor.strip_prefix("key:") == Some(who) || shown()
    }
}

/// What somebody else may have chosen, for a terminal: printable characters, on one line, not longer than what an entry of
/// ours holds.
pub struct Escaped<'a> {
    text: &'a str,
    /// The first character that is printed as it is.
    first: char,
}

impl<'a> Escaped<'a> {
    /// Text of several words.
    pub const fn text(text: &'a str) -> Self {
        Self { text, first: ' ' }
    }

    /// A single word, between others.
    pub const fn word(text: &'a str) -> Self {
        Self { text, first: '!' }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.first..='~';
        let write = |c| if plain.contains(&c) { f.write_char(c) } else { write!(f, "{}", c.escape_unicode()) };
        cut(self.text).chars().try_for_each(write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Chain;
    use crate::audit::{Action, Actor, Caller, Draft, Outcome};

    fn shown(draft: &Draft, at: Millis) -> Entry {
        Entry::read(&Chain::new("i0", 0, None).unwrap().seal(draft, at).value).unwrap()
    }

    fn of(actor: Actor, request_id: &str, outcome: Outcome) -> Draft {
        let caller = Caller { actor, client: Some([192, 0, 2, 7].into()), request_id: request_id.into() };
        Draft::new(caller, Action::Authorize, "GET /v1/users/{user_id}/journey", outcome)
    }

    #[test]
    fn an_entry_is_one_line_for_people() {
        let draft = of(Actor::Key("4f3kq0v2m8x1t7bz".into()), "r1", Outcome::Denied).because("role viewer");
        assert_eq!(
            shown(&draft, 1_764_248_411_532).to_string(),
            "2025-11-27T13:00:11.532Z  key:4f3kq0v2m8x1t7bz  authorize     denied   GET /v1/users/{user_id}/journey  \
             192.0.2.7  r1  role viewer"
        );
        let start = Draft::new(Caller::system(), Action::Start, "process", Outcome::Done);
        let line = shown(&start, 0).to_string();
        assert_eq!(line, "1970-01-01T00:00:00.000Z  system                start         done     process  -  -");
        let write = Draft { count: Some(3), ..of(Actor::Anonymous, "", Outcome::Done) };
        assert!(shown(&write, 0).to_string().ends_with("  192.0.2.7  -  3 events"));
    }

    #[test]
    fn nothing_that_an_entry_holds_reaches_a_terminal_as_it_is() {
        let nasty = "a\r\n\u{1b}[2J\u{9b}\u{202e}é";
        let draft = of(Actor::Key(nasty.into()), nasty, Outcome::Denied).because(nasty);
        let line = Draft { object: nasty.into(), ..draft };
        let line = shown(&line, 0).to_string();
        assert!(line.chars().all(|c| (' '..='~').contains(&c)), "{line}");
        assert_eq!(line.matches("\\u{1b}[2J").count(), 4, "{line}");
        let whole = Chain::new("i0", 0, None).unwrap().seal(&of(Actor::System, "r", Outcome::Done), 0).value;
        let raw = String::from_utf8(whole).unwrap().replace("\"r\"", "\"\u{1b}\"");
        assert_eq!(Entry::read(raw.as_bytes()), None, "what is no entry of ours is none");
    }

    #[test]
    fn all_that_is_asked_for_has_to_hold() {
        let entry = shown(&of(Actor::Key("k1".into()), "r1", Outcome::Denied), 10);
        let some = |text: &str| Some(text.to_owned());
        let everything = Wanted::default();
        assert!(everything.is_everything() && everything.wants(&entry));
        for (wanted, wants) in [
            (Wanted { request: some("r1"), ..everything.clone() }, true),
            (Wanted { request: some("r"), ..everything.clone() }, false),
            (Wanted { who: some("k1"), ..everything.clone() }, true),
            (Wanted { who: some("key:k1"), ..everything.clone() }, true),
            (Wanted { who: some("k"), ..everything.clone() }, false),
            (Wanted { outcome: some("denied"), ..everything.clone() }, true),
            (Wanted { outcome: some("allowed"), ..everything.clone() }, false),
            (Wanted { since: Some(10), ..everything.clone() }, true),
            (Wanted { since: Some(11), ..everything.clone() }, false),
            (Wanted { request: some("r1"), since: Some(11), ..everything.clone() }, false),
        ] {
            assert_eq!((wanted.is_everything(), wanted.wants(&entry)), (false, wants), "{wanted:?}");
        }
        let refused = shown(&of(Actor::Anonymous, "r2", Outcome::Denied).because("unknown key: key k1"), 10);
        assert!(Wanted { who: some("k1"), ..everything.clone() }.wants(&refused), "whose id was shown");
        assert!(!Wanted { who: some("1"), ..everything.clone() }.wants(&refused));
    }
}
