//! The control topic on either log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::clock;
use crate::access::{ControlLog, ControlRecord, ControlRecords, Error};
use crate::topics;
use crate::topics::embedded::{self, Broker, Topic};
use crate::topics::kafka::Settings;
use crate::topics::kafka::control::{Appender, Entry, Follower};

/// The control topic of an embedded log.
pub struct EmbeddedControl(pub Arc<Broker>);

impl ControlLog for EmbeddedControl {
    fn put(&self, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
        self.0.control_put(key.as_bytes(), value, clock::now()).map(drop).map_err(failed)
    }

    fn read(&self, from: i64, wait: Duration) -> Result<ControlRecords, Error> {
        self.0.wait(Topic::Control, 0, from, wait).map_err(failed)?;
        let end = self.0.bounds(Topic::Control, 0).map_err(failed)?.end;
        let records = self.0.control_read(from).map_err(failed)?;
        let next = records.last().map_or(end.max(from), |last| last.offset + 1);
        let records = records.into_iter().filter_map(|r| Some(ControlRecord { key: r.key?, value: r.value })).collect();
        Ok(ControlRecords { records, next, at_end: next >= end })
    }
}

fn failed(error: embedded::Error) -> Error {
    Error::Control(error.to_string())
}

/// The control topic on Kafka. A position is a place in what was read, whatever the number of partitions. What lies before
/// the position last asked for was handed out and is forgotten: there is one reader, and it goes forward.
pub struct KafkaControl {
    settings: Settings,
    appender: Appender,
    state: Mutex<Followed>,
}

/// How often the brokers are asked where the topic ends, and how long they have to answer.
const PROVE: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Followed {
    follower: Option<Follower>,
    kept: Kept,
    /// When the brokers were last asked where the topic ends.
    asked: Option<Instant>,
}

impl Followed {
    /// Reads on. Whether it is known that all was read that was there when this began.
    fn read(
        &mut self,
        settings: &Settings,
        wait: Duration,
        each: &mut dyn FnMut(Entry<'_>),
    ) -> Result<bool, topics::Error> {
        let Some(follower) = &mut self.follower else {
            self.follower = Some(Follower::open(settings, &settings.topics.control, each)?);
            return Ok(true);
        };
        let due = self.asked.is_none_or(|asked| asked.elapsed() >= PROVE);
        let ends = due.then(|| follower.ends(PROVE)).transpose();
        if due {
            self.asked = Some(Instant::now());
        }
        if let Err(error) = follower.poll(wait, each) {
            // Whoever reads on begins anew: what was told twice changes nothing, what was not told at all might.
            self.follower = None;
            return Err(error);
        }
        Ok(ends?.is_some_and(|ends| follower.has_reached(&ends)))
    }
}

/// What was read and may be asked for again.
#[derive(Default)]
struct Kept {
    /// How many records were forgotten: the position of the first one here.
    forgotten: i64,
    records: Vec<ControlRecord>,
}

impl Kept {
    /// The records from a position on; those before it are forgotten.
    fn from(&mut self, from: i64) -> ControlRecords {
        let known = usize::try_from(from - self.forgotten).unwrap_or(0).min(self.records.len());
        self.records.drain(..known);
        self.forgotten += i64::try_from(known).unwrap_or(0);
        let next = self.forgotten + i64::try_from(self.records.len()).unwrap_or(0);
        ControlRecords { records: self.records.clone(), next, at_end: false }
    }
}

impl KafkaControl {
    /// Ready to read and append.
    pub fn open(settings: &Settings) -> Result<Self, topics::Error> {
        Ok(Self { settings: settings.clone(), appender: Appender::open(settings)?, state: Mutex::default() })
    }

    /// By the topic's own name, whatever it is.
    fn failed(&self, error: &topics::Error) -> Error {
        Error::Control(format!("{}: {error}", self.settings.topics.control))
    }
}

impl ControlLog for KafkaControl {
    fn put(&self, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
        let put = self.appender.append(&self.settings.topics.control, key.as_bytes(), value);
        put.map(drop).map_err(|error| self.failed(&error))
    }

    fn read(&self, from: i64, wait: Duration) -> Result<ControlRecords, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::new();
        let read = state.read(&self.settings, wait, &mut |entry| {
            new.push(ControlRecord { key: entry.key.to_vec(), value: entry.value.map(<[u8]>::to_vec) });
        });
        state.kept.records.append(&mut new); // also what came before an error: it is not handed out again
        let at_end = read.map_err(|error| self.failed(&error))?;
        Ok(ControlRecords { at_end, ..state.kept.from(from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_by_another_name_is_named_so() {
        let mut settings = Settings::new("127.0.0.1:1", "tributary", "a");
        settings.topics.control = "shop.control".into();
        settings.timeouts.request = Duration::from_millis(300);
        let control = KafkaControl::open(&settings).unwrap();
        let error = control.read(0, Duration::ZERO).unwrap_err().to_string();
        assert!(error.starts_with("shop.control: ") && !error.contains("tributary.control"), "{error}");
    }

    #[test]
    fn each_record_is_handed_out_from_its_position_and_then_forgotten() {
        let record = |key: u8| ControlRecord { key: vec![key], value: None };
        let keys = |read: &ControlRecords| read.records.iter().map(|r| r.key[0]).collect::<Vec<_>>();
        let mut kept = Kept::default();
        assert_eq!(kept.from(0).next, 0);
        kept.records.extend([record(0), record(1)]);
        let first = kept.from(0);
        assert_eq!((keys(&first), first.next), (vec![0, 1], 2));
        assert_eq!(keys(&kept.from(0)), [0, 1], "a reader that did not go on gets it again");
        kept.records.push(record(2));
        let second = kept.from(2);
        assert_eq!((keys(&second), second.next, kept.records.len()), (vec![2], 3, 1));
        assert_eq!((kept.from(3).next, kept.records.len()), (3, 0));
    }
}
