//! Sums over all partitions held here, from integer rollups: no journey is read, whatever the range.

use std::str::FromStr;

use chrono::DateTime;
use hashbrown::{Equivalent, HashMap};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, Error, Freshness, Reader};
use crate::core::row::UNATTRIBUTED;
use crate::core::{Millis, Model};
use crate::store::{Cell, Dimension, Sum};

const DAY: Millis = 86_400_000;
/// Between two looks at the clock: less than a millisecond's work.
const CELLS_A_LOOK: u32 = 1_024;

/// What lines are by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// By channel.
    Channel,
    /// By campaign.
    Campaign,
    /// By UTC day of the conversion.
    Day,
    /// By kind of conversion.
    Kind,
}

impl GroupBy {
    /// Every grouping.
    pub const ALL: [Self; 4] = [Self::Channel, Self::Campaign, Self::Day, Self::Kind];

    /// The name in queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Campaign => "campaign",
            Self::Day => "day",
            Self::Kind => "kind",
        }
    }

    const fn dimension(self) -> Dimension {
        match self {
            Self::Channel | Self::Day => Dimension::Channel,
            Self::Campaign => Dimension::Campaign,
            Self::Kind => Dimension::Kind,
        }
    }

    /// The line that a cell belongs to. Nobody's share is always a line of its own.
    fn place<'a>(self, cell: &Cell<'a>) -> Place<&'a str> {
        let Cell { name, unattributed, currency, .. } = *cell;
        let (day, name) = match self {
            Self::Day => (cell.starts_at().div_euclid(DAY), None),
            Self::Channel | Self::Campaign if unattributed => (0, Some(UNATTRIBUTED)),
            Self::Channel | Self::Campaign | Self::Kind => (0, name),
        };
        Place { day, name, unattributed, currency }
    }

    fn line(self, Place { day: number, name, unattributed, currency }: Place<String>, sum: Sum) -> Line {
        let name = if self == Self::Day { Some(day(number)) } else { name };
        let Sum { credit_micros, credited_micros } = sum;
        Line { name, unattributed, currency, credit_micros, credited_micros }
    }
}

impl FromStr for GroupBy {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|by| by.name() == name).ok_or(())
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportQuery {
    /// Whose credit.
    pub model: Model,
    /// Conversions from here on, in milliseconds; a multiple of a quarter of an hour.
    pub from: Millis,
    /// And before this, likewise.
    pub to: Millis,
    /// What lines are by.
    pub group_by: GroupBy,
}

/// Sums of credit and credited value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Report {
    /// The model that gave the credit.
    pub model: String,
    /// Conversions from here on, in milliseconds since 1970.
    pub from: i64,
    /// And before this.
    pub to: i64,
    /// What lines are by.
    pub group_by: GroupBy,
    /// The lines, by name, then currency.
    pub lines: Vec<Line>,
    /// How many partitions this instance holds and has summed.
    pub partitions_summed: u32,
    /// How many partitions there are. Where it is more, the other instances hold the rest of the sums.
    pub partitions: u32,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Line {
    /// The channel, campaign, kind or day (`2026-01-31`); null for touchpoints without a campaign.
    #[schema(required)]
    pub name: Option<String>,
    /// Whether these are conversions that nobody earned.
    pub unattributed: bool,
    /// The currency of `credited_micros`; null for conversions without one.
    #[schema(required)]
    pub currency: Option<String>,
    /// Credited conversions, in millionths: 2 500 000 is two and a half.
    #[schema(value_type = i64)]
    pub credit_micros: i128,
    /// Credited value, in micros of `currency`.
    #[schema(value_type = i64)]
    pub credited_micros: i128,
}

/// Which line: of a report by day the number of the day since 1970, of any other the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place<T> {
    day: Millis,
    name: Option<T>,
    unattributed: bool,
    currency: Option<T>,
}

/// A line's texts are copied when it is met first: all other cells of it are added without.
impl From<Place<&str>> for Place<String> {
    fn from(Place { day, name, unattributed, currency }: Place<&str>) -> Self {
        Self { day, name: name.map(str::to_owned), unattributed, currency: currency.map(str::to_owned) }
    }
}

impl Equivalent<Place<String>> for Place<&str> {
    fn equivalent(&self, other: &Place<String>) -> bool {
        let texts = (self.name, self.currency) == (other.name.as_deref(), other.currency.as_deref());
        texts && (self.day, self.unattributed) == (other.day, other.unattributed)
    }
}

impl Reader {
    /// Sums credit and credited value over the partitions held here.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] where its [time](Reader::until) is over before it is done.
    pub fn report(&self, query: &ReportQuery) -> Result<Answer<Report>, Error> {
        let mut freshness = Freshness::default();
        let mut sums: HashMap<Place<String>, Sum> = HashMap::new();
        let (mut summed, mut cells) = (0, 0_u32);
        for (number, partition) in self.each() {
            let view = partition.view();
            freshness.add(number, &view)?;
            view.rollups(query.model, query.group_by.dimension(), query.from, query.to, |cell, sum| {
                if cells.is_multiple_of(CELLS_A_LOOK) {
                    self.in_time()?;
                }
                cells = cells.wrapping_add(1);
                let place = query.group_by.place(cell);
                match sums.get_mut(&place) {
                    Some(here) => here.add(sum),
                    None => drop(sums.insert(place.into(), sum)),
                }
                Ok::<_, Error>(())
            })?;
            summed += 1;
        }
        sums.retain(|_, sum| *sum != Sum::default());
        let mut lines: Vec<Line> = sums.into_iter().map(|(place, sum)| query.group_by.line(place, sum)).collect();
        lines.sort_unstable_by(|a, b| {
            (&a.name, a.unattributed, &a.currency).cmp(&(&b.name, b.unattributed, &b.currency))
        });
        let value = Report {
            model: query.model.name().to_owned(),
            from: query.from,
            to: query.to,
            group_by: query.group_by,
            lines,
            partitions_summed: summed,
            partitions: self.count.get(),
        };
        Ok(Answer { value, freshness })
    }
}

/// A UTC day by its number since 1970, `2026-01-31`.
fn day(number: Millis) -> String {
    DateTime::from_timestamp_millis(number * DAY).map_or_else(String::new, |day| day.format("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::query::samples::Shop;

    const NOON: Millis = 1_767_225_600_000 + 12 * 3_600_000; // 2026-01-01T12:00:00Z

    fn lines(shop: &Shop, group_by: GroupBy, from: Millis, to: Millis) -> Vec<(String, bool, String, i128, i128)> {
        let report = shop.reader.report(&ReportQuery { model: Model::Linear, from, to, group_by }).unwrap().value;
        assert_eq!((report.partitions_summed, report.partitions), (2, 2));
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        let line = |l: &Line| (text(&l.name), l.unattributed, text(&l.currency), l.credit_micros, l.credited_micros);
        report.lines.iter().map(line).collect()
    }

    fn sold(shop: &Shop, partition: u32, at: Millis, sums: &[(Option<&str>, bool, i128)]) {
        for dimension in Dimension::ALL {
            for (name, unattributed, credit) in sums {
                let name = if dimension == Dimension::Kind { Some("purchase") } else { *name };
                let bucket = Cell::bucket_of(at);
                let cell = Cell {
                    dimension,
                    model: Model::Linear,
                    bucket,
                    name,
                    unattributed: *unattributed,
                    currency: Some("EUR"),
                };
                shop.add(partition, &cell, Sum { credit_micros: *credit, credited_micros: *credit * 2 });
            }
        }
    }

    #[test]
    fn partitions_add_up_and_nobody_has_a_line_of_its_own() {
        let shop = Shop::open();
        sold(&shop, 0, NOON, &[(Some("email"), false, 300), (Some("(unattributed)"), true, 10)]);
        sold(&shop, 1, NOON + DAY, &[(Some("email"), false, 700), (Some("ads"), false, 5)]);
        let eur =
            |name: &str, unattributed, credit| (name.to_owned(), unattributed, "EUR".to_owned(), credit, credit * 2);
        let whole = (NOON - DAY, NOON + 2 * DAY);
        assert_eq!(
            lines(&shop, GroupBy::Channel, whole.0, whole.1),
            [eur("(unattributed)", true, 10), eur("ads", false, 5), eur("email", false, 1000)]
        );
        assert_eq!(
            lines(&shop, GroupBy::Day, whole.0, whole.1),
            [eur("2026-01-01", false, 300), eur("2026-01-01", true, 10), eur("2026-01-02", false, 705)]
        );
        assert_eq!(
            lines(&shop, GroupBy::Kind, whole.0, whole.1),
            [eur("purchase", false, 1005), eur("purchase", true, 10)]
        );
    }

    #[test]
    fn the_range_is_half_open() {
        let shop = Shop::open();
        sold(&shop, 0, NOON, &[(Some("email"), false, 300)]);
        assert_eq!(lines(&shop, GroupBy::Channel, NOON, NOON + 900_000).len(), 1);
        assert_eq!(lines(&shop, GroupBy::Channel, NOON - 900_000, NOON).len(), 0);
    }

    #[test]
    fn a_report_is_given_up_when_its_time_is_over() {
        let shop = Shop::open();
        sold(&shop, 1, NOON, &[(Some("email"), false, 300)]);
        let query = ReportQuery { model: Model::Linear, from: NOON, to: NOON + DAY, group_by: GroupBy::Channel };
        let now = Instant::now();
        let within = |time| shop.reader.until(now + time).report(&query);
        assert!(within(Duration::from_secs(600)).is_ok());
        assert!(matches!(within(Duration::ZERO), Err(Error::TooLong)));
    }

    #[test]
    fn sums_that_cancel_out_show_no_line() {
        let shop = Shop::open();
        sold(&shop, 0, NOON, &[(Some("email"), false, 300)]);
        sold(&shop, 1, NOON, &[(Some("email"), false, -300)]);
        assert!(lines(&shop, GroupBy::Channel, NOON, NOON + DAY).is_empty());
    }
}
