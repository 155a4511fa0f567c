//! `tributary tail`: the rows of either log as they come.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::{Error, line, settings};
use crate::access;
use crate::access::socket::{self, Rows};
use crate::config::{Config, LogKind};
use crate::topics;
use crate::topics::embedded::{self, Broker, Place, Topic};
use crate::topics::kafka::connect;
use crate::topics::kafka::tail::{From, Tail};

/// Records read at a time from one partition.
const PAGE: usize = 1_000;
/// How long a reader that has all waits before it looks again.
const WAIT: Duration = Duration::from_millis(50);

/// The rows of an embedded log.
pub struct EmbeddedRows(pub Arc<Broker>);

impl Rows for EmbeddedRows {
    fn start(&self, beginning: bool, _follow: bool) -> Vec<i64> {
        let ends = self.0.ends(Topic::Attributions);
        if beginning { vec![0; ends.len()] } else { ends }
    }

    fn read(&self, next: &mut [i64], lines: &mut Vec<u8>) -> Result<(), access::Error> {
        for (partition, next) in (0..).zip(next.iter_mut()) {
            let records = self.0.read(Topic::Attributions, partition, *next, PAGE).map_err(failed)?;
            for record in records {
                line::write(record.key.as_deref(), record.value.as_deref(), lines);
                *next = record.offset + 1;
            }
        }
        if lines.is_empty() {
            std::thread::sleep(WAIT);
        }
        Ok(())
    }
}

fn failed(error: embedded::Error) -> access::Error {
    access::Error::Control(error.to_string())
}

/// Writes rows to `out` until the reader goes away, the instance that it asks stops, or for ever.
pub fn run(config: &Config, beginning: bool, out: &mut impl Write) -> Result<(), Error> {
    match config.log.kind {
        LogKind::Kafka => kafka(config, beginning, out),
        LogKind::Embedded => embedded(config, beginning, out),
    }
}

/// Of a running instance through its socket; of one that is stopped, what there is.
fn embedded(config: &Config, beginning: bool, out: &mut impl Write) -> Result<(), Error> {
    match socket::tail_rows(&config.engine.data_dir, beginning, out) {
        Err(access::Error::NotRunning { .. }) => {}
        Err(access::Error::File { source, .. }) if is_gone(&source) => return Ok(()),
        other => return other.map_err(|error| Error::Failed(error.to_string())),
    }
    let broker = Broker::open(&Place::Folder(settings::log_dir(config)), &settings::embedded(config)?)?;
    let rows = EmbeddedRows(broker);
    let mut next = rows.start(beginning, false);
    loop {
        let mut lines = Vec::new();
        rows.read(&mut next, &mut lines).map_err(|error| Error::Failed(error.to_string()))?;
        if lines.is_empty() {
            return Ok(()); // nobody writes a log that we hold
        }
        if !put(&lines, out)? {
            return Ok(());
        }
    }
}

/// Writes lines at once. Whether anybody still reads them.
pub(super) fn put(lines: &[u8], out: &mut impl Write) -> Result<bool, Error> {
    match out.write_all(lines).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(Error::Failed(format!("standard output: {error}"))),
    }
}

/// Whether the other end of a pipe went away, which is how a reader like `head` says that it has enough.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset)
}

/// Whether the broker of a log that is followed is away just now.
#[derive(Default)]
pub(super) struct Outage(bool);

impl Outage {
    /// What a poll gave: nothing while the broker is away, which whoever looks is told once.
    pub(super) fn outlast(&mut self, polled: Result<bool, topics::Error>) -> Result<bool, Error> {
        match polled {
            Err(topics::Error::Unreachable(why)) => {
                if !std::mem::replace(&mut self.0, true) {
                    eprintln!("tributary: {why}; waiting for one to answer");
                }
                Ok(false)
            }
            other => {
                self.0 = false;
                Ok(other?)
            }
        }
    }
}

/// Of every partition, committed rows only.
fn kafka(config: &Config, beginning: bool, out: &mut impl Write) -> Result<(), Error> {
    let settings = settings::kafka(config);
    connect(&settings)?;
    let from = if beginning { From::Beginning } else { From::End };
    let mut tail = Tail::open(&settings, &settings.topics.attributions, from)?;
    let mut outage = Outage::default();
    loop {
        let mut lines = Vec::new();
        let polled =
            tail.poll(Duration::from_millis(200), &mut |entry| line::write(Some(entry.key), entry.value, &mut lines));
        outage.outlast(polled)?;
        if !put(&lines, out)? {
            return Ok(());
        }
    }
}
