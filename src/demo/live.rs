//! The figures of the moment, from metrics, rollups and what was sent.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use prometheus::Histogram;
use prometheus::core::Collector;

use super::screen::{Channels, Figures};
use super::shoppers::Counts;
use crate::core::Model;
use crate::core::event::END_TIME;
use crate::core::row::UNATTRIBUTED;
use crate::store::{self, Dimension, Partitions};
use crate::telemetry::Metrics;

/// Rates are over so long.
const WINDOW: Duration = Duration::from_secs(3);
/// Credit is added up anew so often.
const CREDIT: Duration = Duration::from_secs(1);

/// The two models that are shown side by side.
pub const MODELS: (Model, Model) = (Model::LastTouch, Model::Linear);

/// Keeps what rates need.
pub struct Live {
    began: Instant,
    past: VecDeque<(Instant, u64, u64)>,
    credit: Option<(Instant, Channels)>,
}

impl Default for Live {
    fn default() -> Self {
        let now = Instant::now();
        Self { began: now, past: VecDeque::from([(now, 0, 0)]), credit: None }
    }
}

impl Live {
    /// The figures now. How many events and rows the log has ever had, only the log knows.
    pub fn figures(
        &mut self,
        metrics: &Metrics,
        partitions: &Partitions,
        sent: Counts,
        (events_in_all, rows_in_all): (u64, u64),
    ) -> Result<Figures, store::Error> {
        let stream = &metrics.stream;
        let events = stream.touchpoints_read.get() + stream.conversions_read.get();
        let rows = stream.upserts.get() + stream.deletes.get();
        let (events_per_second, rows_per_second) = self.rates(events, rows);
        let latency = &stream.conversion_to_row_seconds;
        Ok(Figures {
            seconds: self.began.elapsed().as_secs(),
            events_per_second,
            rows_per_second,
            events: events_in_all,
            rows: rows_in_all,
            conversions: sent.conversions,
            adjustments: sent.adjusted,
            late: sent.late,
            duplicates: sent.repeated,
            dead_letters: stream.dead_letters_written.get(),
            p50_ms: 1_000.0 * quantile(latency, 0.5),
            p99_ms: 1_000.0 * quantile(latency, 0.99),
            channels: self.credit(partitions)?,
        })
    }

    fn rates(&mut self, events: u64, rows: u64) -> (f64, f64) {
        let now = Instant::now();
        self.past.push_back((now, events, rows));
        while self.past.get(1).is_some_and(|(at, _, _)| now - *at > WINDOW) {
            self.past.pop_front();
        }
        let Some((since, events_then, rows_then)) = self.past.front() else {
            return (0.0, 0.0);
        };
        let seconds = (now - *since).as_secs_f64().max(0.001);
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        (rate(events, *events_then), rate(rows, *rows_then))
    }

    fn credit(&mut self, partitions: &Partitions) -> Result<Channels, store::Error> {
        if let Some((at, credit)) = &self.credit
            && at.elapsed() < CREDIT
        {
            return Ok(credit.clone());
        }
        let credit = credit_by_channel(partitions)?;
        self.credit = Some((Instant::now(), credit.clone()));
        Ok(credit)
    }
}

/// Credit of all conversions by channel under both models, the most first.
fn credit_by_channel(partitions: &Partitions) -> Result<Channels, store::Error> {
    let mut sums: BTreeMap<String, (i128, i128)> = BTreeMap::new();
    for (_, partition) in partitions.all() {
        let view = partition.view();
        for (model, first) in [(MODELS.0, true), (MODELS.1, false)] {
            view.rollups(model, Dimension::Channel, 0, END_TIME, |cell, sum| {
                let name = if cell.unattributed { UNATTRIBUTED } else { cell.name.unwrap_or_default() };
                let (left, right) = sums.entry(name.to_owned()).or_default();
                *(if first { left } else { right }) += sum.credit_micros;
                Ok::<_, store::Error>(())
            })?;
        }
    }
    let narrow = |sum: i128| i64::try_from(sum).unwrap_or(i64::MAX);
    let mut credit: Vec<_> = sums.into_iter().map(|(name, (a, b))| (name, narrow(a), narrow(b))).collect();
    credit.sort_by_key(|(_, a, b)| std::cmp::Reverse(a.saturating_add(*b)));
    Ok(credit)
}

/// A quantile from a histogram, in its unit: linear inside a bucket, 0 where there is nothing yet.
fn quantile(histogram: &Histogram, q: f64) -> f64 {
    if histogram.get_sample_count() == 0 {
        return 0.0;
    }
    let families = histogram.collect();
    let metrics = families.iter().flat_map(|family| family.get_metric());
    let mut buckets = metrics.flat_map(|metric| metric.get_histogram().get_bucket());
    let wanted = q * histogram.get_sample_count() as f64;
    let (mut below, mut bound) = (0.0, 0.0);
    buckets
        .find_map(|bucket| {
            let count = bucket.cumulative_count() as f64;
            let upper = bucket.upper_bound();
            if count >= wanted && count > below {
                let part = (wanted - below) / (count - below);
                return Some(if upper.is_finite() { bound + part * (upper - bound) } else { bound });
            }
            (below, bound) = (count, upper);
            None
        })
        .unwrap_or(bound)
}

#[cfg(test)]
mod tests {
    use prometheus::HistogramOpts;

    use super::*;

    #[test]
    fn quantiles_lie_inside_their_bucket() {
        let histogram =
            Histogram::with_opts(HistogramOpts::new("h", "h").buckets(vec![0.001, 0.002, 0.004, 1.0])).unwrap();
        assert_eq!(quantile(&histogram, 0.5), 0.0);
        for _ in 0..98 {
            histogram.observe(0.0015);
        }
        histogram.observe(0.5);
        histogram.observe(0.5);
        let (p50, p99) = (quantile(&histogram, 0.5), quantile(&histogram, 0.99));
        assert!((0.001..0.002).contains(&p50), "{p50}");
        assert!((0.004..=1.0).contains(&p99), "{p99}");
    }

    #[test]
    fn rates_are_over_the_last_seconds() {
        let mut live = Live::default();
        std::thread::sleep(Duration::from_millis(50));
        let (events, rows) = live.rates(100, 10);
        assert!(events > 200.0 && events <= 2_000.0, "{events}");
        assert!((events / rows - 10.0).abs() < 1e-6);
    }
}
