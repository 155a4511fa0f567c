//! The load: 100,000 users, a hundred of them far busier than most; 3 % conversions, some of them restated or retracted later;
//! 1 % of the events come an hour late. The events of one load span a day and end now.

use std::num::NonZeroU32;
use std::time::{SystemTime, UNIX_EPOCH};

use tributary::codec::avro;
use tributary::core::event::ConversionEvent;
use tributary::core::{Adjustment, Conversion, Touchpoint};
use tributary::topics::{Input, partitioner};

use crate::dice::Dice;
use crate::stage::{PARTITIONS, Schemas};

/// How many users there are.
pub const USERS: u64 = 100_000;
const BUSY: u64 = 100;
const SPAN_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

const CHANNELS: [(u64, (&str, &str, &str)); 8] = [
    (24, ("paid_search", "google", "cpc")),
    (20, ("organic_search", "google", "organic")),
    (16, ("paid_social", "facebook", "paid_social")),
    (14, ("direct", "", "")),
    (10, ("email", "newsletter", "email")),
    (8, ("display", "dv360", "display")),
    (5, ("referral", "partner.example", "referral")),
    (3, ("affiliate", "awin", "affiliate")),
];
const CAMPAIGNS: [&str; 6] = ["brand", "autumn_sale", "retargeting", "new_arrivals", "loyalty", "black_friday"];

/// One record, ready to be sent.
pub struct Event {
    pub input: Input,
    pub partition: u32,
    pub logged_at: i64,
    pub key: String,
    pub value: Vec<u8>,
    /// A conversion's id, to be met again in its rows.
    pub conversion: Option<String>,
    /// The same event as a line of JSON, for `replay`.
    pub line: Option<String>,
}

/// The events, one after the other; the same for the same number of events.
pub struct Load {
    dice: Dice,
    schemas: Schemas,
    number: u64,
    now: i64,
    step_us: i64,
    /// The first user's number.
    first_user: u64,
    /// Conversions to come back to: number and user.
    recent: Vec<(u64, u64)>,
    /// Whether events carry their line of JSON.
    pub lines: bool,
}

impl Load {
    /// A load of which so many events span the day.
    pub fn new(events: u64, schemas: Schemas) -> Self {
        Self {
            dice: Dice::new(events, 1),
            schemas,
            number: 0,
            now: now() - SPAN_MS,
            step_us: SPAN_MS * 1000 / events.max(1) as i64,
            first_user: 0,
            recent: Vec::new(),
            lines: false,
        }
    }

    /// From now on the events are of other users, whose journeys begin.
    pub fn new_users(&mut self) {
        self.first_user += USERS;
        self.recent.clear();
    }

    /// The next event of the day.
    pub fn next(&mut self) -> Event {
        let at = self.now + (self.number as i64 * self.step_us) / 1000;
        self.at(at)
    }

    /// The next event, as it is logged at a time of day.
    pub fn at(&mut self, logged_at: i64) -> Event {
        self.number += 1;
        let among = if self.dice.chance(10) { BUSY } else { USERS };
        let user = self.first_user + self.dice.below(among);
        let occurred_at = if self.dice.chance(10) { logged_at - HOUR_MS } else { logged_at };
        if self.dice.chance(30) {
            self.conversion(user, occurred_at, logged_at)
        } else {
            self.touchpoint(user, occurred_at, logged_at)
        }
    }

    fn touchpoint(&mut self, user: u64, occurred_at: i64, logged_at: i64) -> Event {
        let (channel, source, medium) = self.dice.weighted(&CHANNELS);
        let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
        let (event_id, user_id) = (format!("tp-{:012x}", self.number), user_id(user));
        let touchpoint = Touchpoint {
            event_id: &event_id,
            user_id: &user_id,
            occurred_at,
            channel: Some(channel),
            interaction: if self.dice.chance(200) { "view" } else { "click" },
            source: some(source),
            medium: some(medium),
            campaign: if source.is_empty() { None } else { Some(*self.dice.pick(CAMPAIGNS.as_slice())) },
            content: None,
            term: None,
            cost_micros: None,
            currency: None,
            milestone: None,
        };
        let mut value = Vec::with_capacity(128);
        avro::write_touchpoint(self.schemas.touchpoint, &touchpoint, &mut value);
        let line = self.lines.then(|| {
            serde_json::json!({
                "event_id": event_id, "user_id": user_id, "occurred_at": occurred_at, "channel": channel,
                "interaction": touchpoint.interaction, "source": touchpoint.source, "medium": touchpoint.medium,
                "campaign": touchpoint.campaign,
            })
            .to_string()
        });
        event(Input::Touchpoints, logged_at, user_id, value, None, line)
    }

    fn conversion(&mut self, user: u64, occurred_at: i64, logged_at: i64) -> Event {
        let value_micros = self.dice.between(5, 300) * 1_000_000;
        let again = !self.recent.is_empty() && self.dice.chance(20);
        let (number, user) = if again { *self.dice.pick(&self.recent) } else { (self.number, user) };
        let (order, user_id) = (format!("order-{number:010}"), user_id(user));
        if again {
            let event_id = format!("adjust-{:010}", self.number);
            let restated = self.dice.chance(500).then_some(value_micros / 2);
            let adjustment = Adjustment {
                event_id: &event_id,
                user_id: &user_id,
                occurred_at,
                kind: "purchase",
                value_micros: restated,
                currency: Some("EUR"),
                adjusts: &order,
            };
            return self.encoded(&ConversionEvent::Adjustment(adjustment), logged_at, None);
        }
        if self.recent.len() < 10_000 {
            self.recent.push((number, user));
        } else {
            let place = self.dice.index(self.recent.len());
            self.recent[place] = (number, user);
        }
        let conversion = Conversion {
            event_id: &order,
            user_id: &user_id,
            occurred_at,
            kind: "purchase",
            value_micros: Some(value_micros),
            currency: Some("EUR"),
        };
        self.encoded(&ConversionEvent::Conversion(conversion), logged_at, Some(order.clone()))
    }

    fn encoded(&self, event: &ConversionEvent<'_>, logged_at: i64, conversion: Option<String>) -> Event {
        let mut value = Vec::with_capacity(96);
        avro::write_conversion(self.schemas.conversion, event, &mut value);
        let line = self.lines.then(|| match event {
            ConversionEvent::Conversion(c) => serde_json::json!({
                "event_id": c.event_id, "user_id": c.user_id, "occurred_at": c.occurred_at, "kind": c.kind,
                "value_micros": c.value_micros, "currency": c.currency,
            }),
            ConversionEvent::Adjustment(a) => serde_json::json!({
                "event_id": a.event_id, "user_id": a.user_id, "occurred_at": a.occurred_at, "kind": a.kind,
                "value_micros": a.value_micros, "currency": a.currency, "adjusts": a.adjusts,
            }),
        });
        let line = line.map(|line| line.to_string());
        self::event(Input::Conversions, logged_at, event.user_id().to_owned(), value, conversion, line)
    }
}

fn event(
    input: Input,
    logged_at: i64,
    key: String,
    value: Vec<u8>,
    conversion: Option<String>,
    line: Option<String>,
) -> Event {
    let partition = partitioner::partition_of(key.as_bytes(), NonZeroU32::new(PARTITIONS).unwrap());
    Event { input, partition, logged_at, key, value, conversion, line }
}

pub fn user_id(user: u64) -> String {
    format!("user-{user:08}")
}

/// The time of day in milliseconds.
#[allow(clippy::disallowed_methods)] // records carry the time they are sent at
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}
