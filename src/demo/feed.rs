//! The shoppers' events into the embedded log, at a steady rate.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::shoppers::{Counts, Event, Shoppers};
use super::wire;
use crate::core::Millis;
use crate::topics::Input;
use crate::topics::embedded::{Broker, Error, NewRecord, Topic};

/// Between two appends; each waits for its fsync.
const STEP: Duration = Duration::from_millis(10);
/// A disk that stalls is not made up for beyond this.
const BACKLOG: Duration = Duration::from_secs(1);

/// What has been sent, for whoever draws it.
#[derive(Debug, Default)]
pub struct Sent(Mutex<Counts>);

impl Sent {
    /// What has been sent so far.
    pub fn counts(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, counts: Counts) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

/// How many events the log has had: where the shoppers go on.
pub fn position(broker: &Broker) -> u64 {
    let ends = [Topic::Touchpoints, Topic::Conversions].map(|topic| broker.ends(topic).iter().sum::<i64>());
    ends.iter().sum::<i64>().unsigned_abs()
}

/// Sends `rate` events a second until `stop` says so.
pub fn run(
    broker: &Broker,
    shoppers: &mut Shoppers,
    rate: u32,
    sent: &Sent,
    (clock, stop): (fn() -> Millis, &dyn Fn() -> bool),
) -> Result<(), Error> {
    let mut last = Instant::now();
    let mut owed = 0.0;
    while !stop() {
        std::thread::sleep(STEP.saturating_sub(last.elapsed()));
        owed += last.elapsed().min(BACKLOG).as_secs_f64() * f64::from(rate);
        last = Instant::now();
        let now = clock();
        let mut batch = Batch::default();
        while owed >= 1.0 {
            batch.add(&shoppers.next_event(now));
            owed -= 1.0;
        }
        batch.append(broker, now)?;
        sent.set(shoppers.counts());
    }
    Ok(())
}

#[derive(Default)]
struct Batch {
    touchpoints: Vec<(String, Vec<u8>)>,
    conversions: Vec<(String, Vec<u8>)>,
}

impl Batch {
    fn add(&mut self, event: &Event) {
        let of_topic = match event {
            Event::Touchpoint(_) => &mut self.touchpoints,
            Event::Conversion(_) => &mut self.conversions,
        };
        of_topic.push((event.user_id().to_owned(), wire::json(event)));
    }

    fn append(&self, broker: &Broker, timestamp: Millis) -> Result<(), Error> {
        for (input, events) in [(Input::Touchpoints, &self.touchpoints), (Input::Conversions, &self.conversions)] {
            let records: Vec<_> = events
                .iter()
                .map(|(key, value)| NewRecord {
                    partition: broker.partition_of(key.as_bytes()),
                    key: Some(key.as_bytes()),
                    value: Some(value),
                    headers: &[],
                    timestamp,
                })
                .collect();
            if !records.is_empty() {
                broker.append(input, &records)?;
            }
        }
        Ok(())
    }
}
