//! The touchpoints and conversions of a user in one time line, page by page.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, Cursor, Error, Freshness, Reader};
use crate::codec::record;
use crate::core::Millis;
use crate::core::event::{Adjustment, Conversion, Touchpoint};
use crate::core::journey::{Standing, settle, settle_adjustments, standing};
use crate::store::{Stored, View};

/// Entries on a page, at most.
pub const MAX_PAGE: usize = 1_000;

/// Which page of a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it begins; none is the first page.
    pub cursor: Option<Cursor>,
    /// Entries on it, 1 to [`MAX_PAGE`].
    pub limit: usize,
}

/// A page of a user's journey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Journey {
    /// Whose it is.
    pub user_id: String,
    /// Touchpoints and conversions, oldest first.
    pub entries: Vec<Entry>,
    /// Give it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    pub next: Option<String>,
}

/// One entry of a journey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Entry {
    /// A touchpoint.
    Touchpoint(JourneyTouchpoint),
    /// A conversion.
    Conversion(JourneyConversion),
}

/// A touchpoint of a journey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct JourneyTouchpoint {
    /// The event's id.
    pub event_id: String,
    /// When it happened, in milliseconds since 1970.
    pub occurred_at: i64,
    /// The channel, as it came.
    #[schema(required)]
    pub channel: Option<String>,
    /// The kind of contact.
    pub interaction: String,
    /// UTM source.
    #[schema(required)]
    pub source: Option<String>,
    /// UTM medium.
    #[schema(required)]
    pub medium: Option<String>,
    /// UTM campaign.
    #[schema(required)]
    pub campaign: Option<String>,
    /// UTM content.
    #[schema(required)]
    pub content: Option<String>,
    /// UTM term.
    #[schema(required)]
    pub term: Option<String>,
    /// What it cost, in micros of `currency`.
    #[schema(required)]
    pub cost_micros: Option<i64>,
    /// The currency of the cost.
    #[schema(required)]
    pub currency: Option<String>,
    /// A step of the journey that it is.
    #[schema(required)]
    pub milestone: Option<String>,
}

/// A conversion of a journey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct JourneyConversion {
    /// The conversion's id.
    pub event_id: String,
    /// When it happened, in milliseconds since 1970.
    pub occurred_at: i64,
    /// What kind.
    pub kind: String,
    /// Whether it counts after its adjustments.
    pub status: Status,
    /// Its value after its adjustments, in micros of `currency`; 0 when retracted or without one.
    pub value_micros: i64,
    /// The currency of the value.
    #[schema(required)]
    pub currency: Option<String>,
    /// Later words on it, by event_id.
    pub adjustments: Vec<JourneyAdjustment>,
}

/// Whether a conversion counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does.
    Counts,
    /// It was taken back: nobody earns anything.
    Retracted,
}

/// An adjustment of a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct JourneyAdjustment {
    /// The adjustment's own id.
    pub event_id: String,
    /// When it was said, in milliseconds since 1970.
    pub occurred_at: i64,
    /// The value from now on, in micros of `currency`; null retracts.
    #[schema(required)]
    pub value_micros: Option<i64>,
    /// The currency from now on.
    #[schema(required)]
    pub currency: Option<String>,
}

impl Entry {
    fn occurred_at(&self) -> Millis {
        match self {
            Self::Touchpoint(t) => t.occurred_at,
            Self::Conversion(c) => c.occurred_at,
        }
    }
}

impl Reader {
    /// A page of a user's journey.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] where the first page is empty, [`Error::Elsewhere`] where another instance holds the user.
    pub fn journey(&self, user_id: &str, page: Page) -> Result<Answer<Journey>, Error> {
        let (number, partition) = self.of_user(user_id)?;
        let view = partition.view();
        let mut freshness = Freshness::default();
        freshness.add(number, &view)?;
        let cursor = page.cursor.unwrap_or(Cursor::START);
        let (entries, next) = page_of(&view, user_id, cursor, page.limit.clamp(1, MAX_PAGE))?;
        if entries.is_empty() && next.is_none() && page.cursor.is_none() {
            return Err(Error::NotFound(freshness));
        }
        let next = next.map(|cursor| cursor.to_string());
        Ok(Answer { value: Journey { user_id: user_id.to_owned(), entries, next }, freshness })
    }
}

/// What was read of one table from a moment on.
struct Window {
    stored: Stored,
    /// All there is up to this moment was read; none: all there is.
    until: Option<Millis>,
}

fn page_of(
    view: &View<'_>,
    user_id: &str,
    cursor: Cursor,
    limit: usize,
) -> Result<(Vec<Entry>, Option<Cursor>), Error> {
    let user = view.hasher().user(user_id);
    let skip = usize::try_from(cursor.skip).unwrap_or(usize::MAX);
    let want = limit.saturating_add(skip).saturating_add(1);
    let touchpoints = window(
        |into| Ok(view.touchpoints_page(user, cursor.from, want, into)?),
        |at, into| Ok(view.touchpoints(user, at, at, into)?),
    )?;
    let conversions = window(
        |into| Ok(view.conversions_page(user, cursor.from, want, into)?),
        |at, into| Ok(view.conversions(user, at, at, into)?),
    )?;
    let until = [touchpoints.until, conversions.until].into_iter().flatten().min();
    let mut entries = Vec::new();
    add_touchpoints(&touchpoints.stored, user_id, &mut entries)?;
    add_conversions(view, &conversions.stored, user_id, &mut entries)?;
    entries.retain(|entry| until.is_none_or(|until| entry.occurred_at() <= until));
    entries.sort_by_key(Entry::occurred_at); // stable: touchpoints before conversions, each by event_id
    let given = entries.iter().take_while(|entry| entry.occurred_at() == cursor.from).count().min(skip);
    entries.drain(..given);
    let next = match entries.get(limit) {
        None => until.map(|until| Cursor { from: until.saturating_add(1), skip: 0 }),
        Some(first) => {
            let from = first.occurred_at();
            let same = entries.iter().take(limit).rev().take_while(|e| e.occurred_at() == from).count();
            let before = if from == cursor.from { given } else { 0 };
            Some(Cursor { from, skip: u32::try_from(same + before).unwrap_or(u32::MAX) })
        }
    };
    entries.truncate(limit);
    Ok((entries, next))
}

/// Reads some records and, where there are more, no moment in part: identities and ties lie within one.
fn window(
    some: impl FnOnce(&mut Stored) -> Result<bool, Error>,
    moment: impl FnOnce(Millis, &mut Stored) -> Result<(), Error>,
) -> Result<Window, Error> {
    let mut stored = Stored::new();
    if !some(&mut stored)? {
        return Ok(Window { stored, until: None });
    }
    let times = |stored: &Stored| stored.iter().map(|(at, _)| at).collect::<Vec<_>>();
    let times = times(&stored);
    let (Some(first), Some(last)) = (times.first().copied(), times.last().copied()) else {
        return Ok(Window { stored, until: None });
    };
    if first == last {
        stored.clear();
        moment(first, &mut stored)?;
        return Ok(Window { stored, until: Some(first) });
    }
    Ok(Window { stored, until: Some(last - 1) })
}

fn add_touchpoints(stored: &Stored, user_id: &str, entries: &mut Vec<Entry>) -> Result<(), Error> {
    let mut touchpoints = Vec::with_capacity(stored.len());
    for (occurred_at, bytes) in stored.iter() {
        let touchpoint = record::decode_touchpoint(occurred_at, bytes)?;
        if touchpoint.user_id == user_id {
            touchpoints.push(touchpoint);
        }
    }
    settle(&mut touchpoints);
    entries.extend(touchpoints.iter().map(|t| Entry::Touchpoint(touchpoint(t))));
    Ok(())
}

fn add_conversions(view: &View<'_>, stored: &Stored, user_id: &str, entries: &mut Vec<Entry>) -> Result<(), Error> {
    let mut adjustments = Stored::new();
    let before = entries.len();
    for (occurred_at, bytes) in stored.iter() {
        let event = record::decode_conversion(occurred_at, bytes)?;
        if event.user_id == user_id {
            entries.push(Entry::Conversion(conversion(view, &event, &mut adjustments)?));
        }
    }
    let id = |entry: &Entry| match entry {
        Entry::Conversion(c) => c.event_id.clone(),
        Entry::Touchpoint(t) => t.event_id.clone(),
    };
    if let Some(added) = entries.get_mut(before..) {
        added.sort_by_cached_key(id);
    }
    Ok(())
}

fn conversion(view: &View<'_>, event: &Conversion<'_>, room: &mut Stored) -> Result<JourneyConversion, Error> {
    room.clear();
    let hasher = view.hasher();
    view.adjustments(hasher.user(event.user_id), hasher.conversion(event.event_id), room)?;
    let adjustments = settled_adjustments(room, event)?;
    let (status, value_micros, currency) = match standing(event, &adjustments) {
        Standing::Counts { value_micros, currency } => (Status::Counts, value_micros, currency),
        Standing::Retracted => (Status::Retracted, 0, None),
    };
    Ok(JourneyConversion {
        event_id: event.event_id.to_owned(),
        occurred_at: event.occurred_at,
        kind: event.kind.to_owned(),
        status,
        value_micros,
        currency: currency.map(str::to_owned),
        adjustments: adjustments.iter().map(adjustment).collect(),
    })
}

/// The adjustments of a conversion as a set.
pub(super) fn settled_adjustments<'s>(stored: &'s Stored, of: &Conversion<'_>) -> Result<Vec<Adjustment<'s>>, Error> {
    let mut adjustments = Vec::with_capacity(stored.len());
    for (occurred_at, bytes) in stored.iter() {
        let adjustment = record::decode_adjustment(occurred_at, bytes)?;
        if adjustment.user_id == of.user_id && adjustment.adjusts == of.event_id {
            adjustments.push(adjustment);
        }
    }
    settle_adjustments(&mut adjustments);
    Ok(adjustments)
}

fn adjustment(event: &Adjustment<'_>) -> JourneyAdjustment {
    JourneyAdjustment {
        event_id: event.event_id.to_owned(),
        occurred_at: event.occurred_at,
        value_micros: event.value_micros,
        currency: event.currency.map(str::to_owned),
    }
}

fn touchpoint(event: &Touchpoint<'_>) -> JourneyTouchpoint {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    JourneyTouchpoint {
        event_id: event.event_id.to_owned(),
        occurred_at: event.occurred_at,
        channel: owned(event.channel),
        interaction: event.interaction.to_owned(),
        source: owned(event.source),
        medium: owned(event.medium),
        campaign: owned(event.campaign),
        content: owned(event.content),
        term: owned(event.term),
        cost_micros: event.cost_micros,
        currency: owned(event.currency),
        milestone: owned(event.milestone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::samples::{Shop, touchpoint as sample};

    fn ids(entries: &[Entry]) -> Vec<String> {
        let id = |entry: &Entry| match entry {
            Entry::Touchpoint(t) => t.event_id.clone(),
            Entry::Conversion(c) => c.event_id.clone(),
        };
        entries.iter().map(id).collect()
    }

    fn walk(shop: &Shop, user: &str, limit: usize) -> Vec<String> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = shop.reader.journey(user, Page { cursor, limit }).unwrap().value;
            assert!(page.entries.len() <= limit);
            all.extend(ids(&page.entries));
            match page.next {
                None => return all,
                Some(next) => cursor = Some(next.parse().unwrap()),
            }
        }
    }

    #[test]
    fn pages_of_any_size_give_the_same_journey() {
        let shop = Shop::open();
        for (id, at) in [("t1", 10), ("t2", 10), ("t3", 10), ("t4", 11), ("t5", 15), ("t6", 20)] {
            shop.touch(&sample(id, "ann", at, "email"));
        }
        shop.touch(&sample("t2", "ann", 10, "ads")); // a conflicting duplicate: one of the two falls away
        shop.convert("c1", "ann", 15, Some(5));
        shop.convert("c0", "ann", 10, None);
        shop.touch(&sample("other", "bob", 12, "ads"));
        let whole = ["t1", "t2", "t3", "c0", "t4", "t5", "c1", "t6"];
        for limit in [1, 2, 3, 5, 8, 1000] {
            assert_eq!(walk(&shop, "ann", limit), whole, "pages of {limit}");
        }
        assert_eq!(walk(&shop, "bob", 2), ["other"]);
    }

    #[test]
    fn a_conversion_stands_after_its_adjustments() {
        let shop = Shop::open();
        shop.convert("c1", "ann", 10, Some(100));
        shop.adjust("a1", "c1", "ann", 11, Some(70));
        shop.convert("c2", "ann", 12, Some(100));
        shop.adjust("a2", "c2", "ann", 13, None);
        let page = shop.reader.journey("ann", Page { cursor: None, limit: 10 }).unwrap().value;
        let standing = |entry: &Entry| match entry {
            Entry::Conversion(c) => (c.status, c.value_micros, c.adjustments.len()),
            Entry::Touchpoint(_) => panic!("no touchpoint was sent"),
        };
        let standings: Vec<_> = page.entries.iter().map(standing).collect();
        assert_eq!(standings, [(Status::Counts, 70, 1), (Status::Retracted, 0, 1)]);
    }

    #[test]
    fn nobody_is_not_found_and_another_partition_is_elsewhere() {
        let shop = Shop::open();
        let page = Page { cursor: None, limit: 10 };
        assert!(matches!(shop.reader.journey("nobody", page), Err(Error::NotFound(_))));
        let reader = Reader::new(Shop::nothing(), shop.rules(), std::num::NonZeroU32::new(4).unwrap());
        assert!(matches!(reader.journey("ann", page), Err(Error::Elsewhere { of: 4, .. })));
    }
}
