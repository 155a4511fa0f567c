//! The three kinds of event, checked against the contract, and the order that decides between conflicting duplicates.
//!
//! A *draft* is what a codec read: every field optional, nothing checked. [`TouchpointDraft::check`] and
//! [`ConversionDraft::check`] are the only ways to a checked event, so a checked event is always a valid one.

use std::borrow::Cow;

use super::Millis;

/// Longest required string (ids), in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 128;
/// Longest optional string, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 512;
/// Greatest amount of money, in micros of a currency.
pub const MAX_MICROS: i64 = 1_000_000_000_000_000;
/// 2000-01-01T00:00:00Z, the earliest event time.
pub const MIN_TIME: Millis = 946_684_800_000;
/// 2100-01-01T00:00:00Z, the first moment that is too late.
pub const END_TIME: Millis = 4_102_444_800_000;
/// How far an event may lie after the log timestamp of its record.
pub const MAX_AHEAD: Millis = 600_000;
/// What `interaction` says when it is absent.
pub const DEFAULT_INTERACTION: &str = "click";
/// What `kind` says when it is absent.
pub const DEFAULT_KIND: &str = "conversion";

/// A broken rule of the contract: which field, and why. Shown as `field: reason`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Fault {
    /// The field's name in the contract.
    pub field: Cow<'static, str>,
    /// What is wrong with it, in a few words.
    pub reason: Cow<'static, str>,
}

impl Fault {
    /// A fault of `field`.
    pub fn new(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// One marketing contact of one user. The derived order is the contract's order between conflicting duplicates: the
/// fields in the order of its table, absent below present, strings by bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touchpoint<'a> {
    /// The event's id, unique within a user and moment.
    pub event_id: &'a str,
    /// Who the journey belongs to.
    pub user_id: &'a str,
    /// When the contact happened.
    pub occurred_at: Millis,
    /// The channel, as it came.
    pub channel: Option<&'a str>,
    /// The kind of contact, [`DEFAULT_INTERACTION`] where none was given.
    pub interaction: &'a str,
    /// UTM source.
    pub source: Option<&'a str>,
    /// UTM medium.
    pub medium: Option<&'a str>,
    /// UTM campaign.
    pub campaign: Option<&'a str>,
    /// UTM content.
    pub content: Option<&'a str>,
    /// UTM term.
    pub term: Option<&'a str>,
    /// What the contact cost, in micros of `currency`.
    pub cost_micros: Option<i64>,
    /// The currency of the cost: three letters A to Z.
    pub currency: Option<&'a str>,
    /// A step of the journey that this contact is (`lead_created`, …).
    pub milestone: Option<&'a str>,
}

impl<'a> Touchpoint<'a> {
    /// A click of which nothing more is known.
    pub const fn click(event_id: &'a str, user_id: &'a str, occurred_at: Millis) -> Self {
        Self {
            event_id,
            user_id,
            occurred_at,
            channel: None,
            interaction: DEFAULT_INTERACTION,
            source: None,
            medium: None,
            campaign: None,
            content: None,
            term: None,
            cost_micros: None,
            currency: None,
            milestone: None,
        }
    }
}

/// One event worth crediting. The derived order is the contract's, as for [`Touchpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conversion<'a> {
    /// The conversion's id, unique over all users.
    pub event_id: &'a str,
    /// Who converted.
    pub user_id: &'a str,
    /// When.
    pub occurred_at: Millis,
    /// What kind of conversion, [`DEFAULT_KIND`] where none was given.
    pub kind: &'a str,
    /// Its value, in micros of `currency`; none counts as 0.
    pub value_micros: Option<i64>,
    /// The currency of the value: three letters A to Z.
    pub currency: Option<&'a str>,
}

/// A later word on a conversion of the same user: with a value a restatement, without one a retraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Adjustment<'a> {
    /// The adjustment's own id.
    pub event_id: &'a str,
    /// Whose conversion it adjusts.
    pub user_id: &'a str,
    /// When it was said; the latest by (occurred_at, event_id) wins.
    pub occurred_at: Millis,
    /// The kind, as it came or [`DEFAULT_KIND`]; it bears on nothing but the order of conflicting duplicates.
    pub kind: &'a str,
    /// The value from now on, in micros; none retracts the conversion.
    pub value_micros: Option<i64>,
    /// The currency from now on.
    pub currency: Option<&'a str>,
    /// The event_id of the conversion.
    pub adjusts: &'a str,
}

/// What the `conversions` topic carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConversionEvent<'a> {
    /// A conversion.
    Conversion(Conversion<'a>),
    /// A later word on one.
    Adjustment(Adjustment<'a>),
}

/// A touchpoint as a codec read it, nothing checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are those of `Touchpoint`
pub struct TouchpointDraft<'a> {
    pub event_id: Option<Cow<'a, str>>,
    pub user_id: Option<Cow<'a, str>>,
    pub occurred_at: Option<Millis>,
    pub channel: Option<Cow<'a, str>>,
    pub interaction: Option<Cow<'a, str>>,
    pub source: Option<Cow<'a, str>>,
    pub medium: Option<Cow<'a, str>>,
    pub campaign: Option<Cow<'a, str>>,
    pub content: Option<Cow<'a, str>>,
    pub term: Option<Cow<'a, str>>,
    pub cost_micros: Option<i64>,
    pub currency: Option<Cow<'a, str>>,
    pub milestone: Option<Cow<'a, str>>,
}

/// A conversion or adjustment as a codec read it, nothing checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are those of `Conversion` and `Adjustment`
pub struct ConversionDraft<'a> {
    pub event_id: Option<Cow<'a, str>>,
    pub user_id: Option<Cow<'a, str>>,
    pub occurred_at: Option<Millis>,
    pub kind: Option<Cow<'a, str>>,
    pub value_micros: Option<i64>,
    pub currency: Option<Cow<'a, str>>,
    pub adjusts: Option<Cow<'a, str>>,
}

impl TouchpointDraft<'_> {
    /// The checked touchpoint, or the first field that breaks the contract.
    pub fn check(&self) -> Result<Touchpoint<'_>, Fault> {
        let currency = currency(&self.currency)?;
        Ok(Touchpoint {
            event_id: id("event_id", &self.event_id)?,
            user_id: id("user_id", &self.user_id)?,
            occurred_at: time(self.occurred_at)?,
            channel: text("channel", &self.channel)?,
            interaction: text("interaction", &self.interaction)?.unwrap_or(DEFAULT_INTERACTION),
            source: text("source", &self.source)?,
            medium: text("medium", &self.medium)?,
            campaign: text("campaign", &self.campaign)?,
            content: text("content", &self.content)?,
            term: text("term", &self.term)?,
            cost_micros: money("cost_micros", self.cost_micros, currency)?,
            currency,
            milestone: text("milestone", &self.milestone)?,
        })
    }
}

impl ConversionDraft<'_> {
    /// The checked conversion or adjustment, or the first field that breaks the contract.
    ///
    /// An `adjusts` that is there but empty is refused rather than taken for absent: it would turn a correction into a
    /// conversion of its own.
    pub fn check(&self) -> Result<ConversionEvent<'_>, Fault> {
        let currency = currency(&self.currency)?;
        let event_id = id("event_id", &self.event_id)?;
        let user_id = id("user_id", &self.user_id)?;
        let occurred_at = time(self.occurred_at)?;
        let kind = text("kind", &self.kind)?.unwrap_or(DEFAULT_KIND);
        let value_micros = money("value_micros", self.value_micros, currency)?;
        Ok(match &self.adjusts {
            None => {
                ConversionEvent::Conversion(Conversion { event_id, user_id, occurred_at, kind, value_micros, currency })
            }
            Some(_) => ConversionEvent::Adjustment(Adjustment {
                event_id,
                user_id,
                occurred_at,
                kind,
                value_micros,
                currency,
                adjusts: id("adjusts", &self.adjusts)?,
            }),
        })
    }
}

impl ConversionEvent<'_> {
    /// Whose event it is.
    pub fn user_id(&self) -> &str {
        match self {
            Self::Conversion(c) => c.user_id,
            Self::Adjustment(a) => a.user_id,
        }
    }

    /// When it happened.
    pub fn occurred_at(&self) -> Millis {
        match self {
            Self::Conversion(c) => c.occurred_at,
            Self::Adjustment(a) => a.occurred_at,
        }
    }
}

/// Refuses an event that claims to happen more than ten minutes after its record was logged (both in milliseconds).
pub fn not_in_future(occurred_at: Millis, logged_at: Millis) -> Result<(), Fault> {
    if occurred_at > logged_at.saturating_add(MAX_AHEAD) {
        return Err(Fault::new("occurred_at", "future: more than ten minutes after the record's timestamp"));
    }
    Ok(())
}

fn id<'a>(field: &'static str, value: &'a Option<Cow<'_, str>>) -> Result<&'a str, Fault> {
    let Some(value) = value else {
        return Err(Fault::new(field, "required"));
    };
    if value.is_empty() {
        return Err(Fault::new(field, "empty"));
    }
    if value.len() > MAX_ID_BYTES {
        return Err(Fault::new(field, "longer than 128 bytes"));
    }
    printable(field, value)
}

fn text<'a>(field: &'static str, value: &'a Option<Cow<'_, str>>) -> Result<Option<&'a str>, Fault> {
    match value {
        None => Ok(None),
        Some(value) if value.is_empty() => Ok(None),
        Some(value) if value.len() > MAX_TEXT_BYTES => Err(Fault::new(field, "longer than 512 bytes")),
        Some(value) => printable(field, value).map(Some),
    }
}

fn printable<'a>(field: &'static str, value: &'a str) -> Result<&'a str, Fault> {
    // Unicode Cc is U+0000..U+001F and U+007F..U+009F; the latter are C2 80..C2 9F in UTF-8, so most strings are
    // settled by one look at their bytes: at all of them, for without a way out early the loop is vectorised.
    let suspicious = value.bytes().fold(false, |found, b| found | (b < 0x20) | (b == 0x7f) | (b == 0xc2));
    if suspicious && value.chars().any(char::is_control) {
        return Err(Fault::new(field, "control character"));
    }
    Ok(value)
}

fn time(value: Option<Millis>) -> Result<Millis, Fault> {
    match value {
        None => Err(Fault::new("occurred_at", "required")),
        Some(t) if t < MIN_TIME => {
            Err(Fault::new("occurred_at", "before 2000-01-01T00:00:00Z (milliseconds are asked)"))
        }
        Some(t) if t >= END_TIME => Err(Fault::new("occurred_at", "not before 2100-01-01T00:00:00Z")),
        Some(t) => Ok(t),
    }
}

fn currency<'a>(value: &'a Option<Cow<'_, str>>) -> Result<Option<&'a str>, Fault> {
    match value.as_deref() {
        None | Some("") => Ok(None),
        Some(code) if code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()) => Ok(Some(code)),
        Some(_) => Err(Fault::new("currency", "not three letters A to Z")),
    }
}

fn money(field: &'static str, value: Option<i64>, currency: Option<&str>) -> Result<Option<i64>, Fault> {
    match value {
        None => Ok(None),
        Some(v) if v < 0 => Err(Fault::new(field, "negative")),
        Some(v) if v > MAX_MICROS => Err(Fault::new(field, "greater than 10^15 micros")),
        Some(_) if currency.is_none() => Err(Fault::new("currency", format!("required with {field}"))),
        Some(v) => Ok(Some(v)),
    }
}
