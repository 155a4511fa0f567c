//! The batch answer of one partition: what the rows and sums must be for a set of events. It knows the core and how a row
//! is spelled, and of the stream no more than the format's name.

use std::collections::{BTreeMap, BTreeSet};

use tributary::codec::{avro, json};
use tributary::core::row::{self, Row, Scratch};
use tributary::core::{Millis, Model, Rules};
use tributary::store::{BUCKET_MS, Dimension};
use tributary::stream::RowFormat;

use crate::events::{Meaning, Order, Touch};

/// A cell of the rollups: model, dimension, bucket, name, unattributed, currency.
pub type Cell = (Model, Dimension, u32, Option<String>, bool, Option<String>);
/// Credit and money by cell.
pub type Sums = BTreeMap<Cell, (i128, i128)>;
/// Rows by key.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Default)]
struct User {
    touches: BTreeMap<(Millis, String), Touch>,
    conversions: BTreeMap<String, Order>,
    /// By what they adjust, then by their own id.
    adjustments: BTreeMap<String, BTreeMap<String, Order>>,
    keys: Vec<Vec<u8>>,
    sums: Sums,
    /// The conversions that have rows.
    credited: BTreeSet<String>,
}

/// What happened to a set of events beyond its rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct News {
    /// A conversion that had rows has none any more.
    pub taken_back: bool,
    /// A path is longer than what is credited.
    pub truncated: bool,
    /// Nobody earned a conversion.
    pub unattributed: bool,
}

/// The answer for a growing set of events.
pub struct Answer {
    rules: Rules,
    format: RowFormat,
    users: BTreeMap<String, User>,
    dirty: BTreeSet<String>,
    rows: Rows,
    scratch: Scratch,
}

impl Answer {
    /// The answer for no events.
    pub fn new(rules: Rules, format: RowFormat) -> Self {
        let (users, dirty, rows) = (BTreeMap::new(), BTreeSet::new(), Rows::new());
        Self { rules, format, users, dirty, rows, scratch: Scratch::default() }
    }

    /// Adds an event to the set.
    pub fn add(&mut self, meaning: &Meaning) {
        match meaning {
            Meaning::Bad(_) => {}
            Meaning::Touch(touch) => {
                let user = self.user(&touch.user_id);
                let place = (touch.occurred_at, touch.event_id.clone());
                let kept = user.touches.entry(place).or_insert_with(|| touch.clone());
                if touch.core() > kept.core() {
                    *kept = touch.clone();
                }
            }
            Meaning::Order(order) => {
                let user = self.user(&order.user_id);
                match &order.adjusts {
                    None => {
                        let kept = user.conversions.entry(order.event_id.clone()).or_insert_with(|| order.clone());
                        if order.conversion() > kept.conversion() {
                            *kept = order.clone();
                        }
                    }
                    Some(adjusts) => {
                        let said = user.adjustments.entry(adjusts.clone()).or_default();
                        let kept = said.entry(order.event_id.clone()).or_insert_with(|| order.clone());
                        if order.adjustment() > kept.adjustment() {
                            *kept = order.clone();
                        }
                    }
                }
            }
        }
    }

    fn user(&mut self, user_id: &str) -> &mut User {
        self.dirty.insert(user_id.to_owned());
        self.users.entry(user_id.to_owned()).or_default()
    }

    /// The rows now.
    pub fn rows(&mut self) -> (&Rows, News) {
        let mut news = News::default();
        for user_id in std::mem::take(&mut self.dirty) {
            let user = self.users.entry(user_id).or_default();
            for key in user.keys.drain(..) {
                self.rows.remove(&key);
            }
            let before = std::mem::take(&mut user.credited);
            user.sums.clear();
            user.credit((&self.rules, self.format), &mut self.scratch, &mut self.rows, &mut news);
            news.taken_back |= before.difference(&user.credited).next().is_some();
        }
        (&self.rows, news)
    }

    /// The sums of those rows, of each user whose rows [`Self::rows`] has computed.
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::new();
        for user in self.users.values() {
            for (cell, (credit, money)) in &user.sums {
                let sum = sums.entry(cell.clone()).or_default();
                *sum = (sum.0 + credit, sum.1 + money);
            }
        }
        sums.retain(|_, sum| *sum != (0, 0));
        sums
    }

    /// How many adjustments have no conversion to adjust.
    pub fn waiting(&self) -> i64 {
        let of_user = |user: &User| -> usize {
            let without = user.adjustments.iter().filter(|(id, _)| !user.conversions.contains_key(*id));
            without.map(|(_, said)| said.len()).sum()
        };
        self.users.values().map(of_user).sum::<usize>() as i64
    }
}

impl User {
    fn credit(
        &mut self,
        (rules, format): (&Rules, RowFormat),
        scratch: &mut Scratch,
        into: &mut Rows,
        news: &mut News,
    ) {
        let mut journey: Vec<_> = self.touches.values().map(Touch::core).collect();
        journey.sort_by_key(|touch| (touch.occurred_at, touch.event_id.as_bytes()));
        for order in self.conversions.values() {
            let said = self.adjustments.get(&order.event_id);
            let adjustments: Vec<_> = said.into_iter().flat_map(BTreeMap::values).map(Order::adjustment).collect();
            let mut rows = Vec::new();
            row::credit(&order.conversion(), &adjustments, &journey, rules, scratch, &mut rows);
            for row in &rows {
                let (mut key, mut value) = (Vec::new(), Vec::new());
                row.write_id(&mut key);
                match format {
                    RowFormat::Json => json::write_row(row, &mut value),
                    RowFormat::Avro { schema_id } => avro::write_row(schema_id, row, &mut value),
                }
                add(&mut self.sums, row);
                news.truncated |= row.truncated;
                news.unattributed |= row.touchpoint_id.is_empty();
                assert!(into.insert(key.clone(), value).is_none(), "two rows of one key in the answer");
                self.keys.push(key);
            }
            if !rows.is_empty() {
                self.credited.insert(order.event_id.clone());
            }
        }
    }
}

fn add(sums: &mut Sums, row: &Row<'_>) {
    let names = [
        (Dimension::Channel, Some(row.channel)),
        (Dimension::Campaign, row.campaign),
        (Dimension::Kind, Some(row.kind)),
    ];
    let bucket = u32::try_from(row.converted_at / BUCKET_MS).unwrap();
    for (dimension, name) in names {
        let unattributed = row.touchpoint_id.is_empty();
        let currency = row.currency.map(str::to_owned);
        let cell = (row.model, dimension, bucket, name.map(str::to_owned), unattributed, currency);
        let sum = sums.entry(cell).or_default();
        *sum = (sum.0 + i128::from(row.credit_micros), sum.1 + i128::from(row.credited_micros));
    }
}
