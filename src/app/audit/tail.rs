//! `tributary audit tail`: the entries of either log as they lie there, for people or for programs.

use std::io::Write;
use std::time::{Duration, Instant};

use super::super::{Error, settings, tail};
use super::PARTITION;
use super::source::Entries;
use crate::audit::entry::Entry;
use crate::audit::shown::Wanted;
use crate::config::{Config, LogKind};
use crate::topics::kafka::connect;
use crate::topics::kafka::tail::{From, Tail};

/// What is to be written, and how.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Which entries.
    pub wanted: Wanted,
    /// Their own bytes, instead of a line for people.
    pub json: bool,
    /// Those to come too.
    pub follow: bool,
}

impl Ask {
    /// Appends a record, if it is asked for, and a line feed. One that is no entry is shown for what it is, so that nothing
    /// is left out, where everything is asked for.
    fn write(&self, offset: i64, value: &[u8], lines: &mut Vec<u8>) {
        let text = match Entry::read(value) {
            Some(entry) if !self.wanted.wants(&entry) => return,
            Some(_) if self.json => String::from_utf8_lossy(value).into_owned(),
            Some(entry) => entry.to_string(),
            None if !self.wanted.is_everything() => return,
            None if self.json => {
                serde_json::json!({ "offset": offset, "unreadable": value.escape_ascii().to_string() }).to_string()
            }
            None => format!("offset {offset} is no entry: `tributary audit verify` says more"),
        };
        lines.extend_from_slice(text.as_bytes());
        lines.push(b'\n');
    }
}

/// Writes entries to `out`, the oldest first, to the end of the log or on and on, unless the reader goes away before.
///
/// # Errors
/// [`Error::Unreachable`] and [`Error::Refused`] when the log cannot be read to its end.
pub fn run(config: &Config, ask: &Ask, out: &mut impl Write) -> Result<(), Error> {
    match config.log.kind {
        LogKind::Kafka => kafka(config, ask, out),
        LogKind::Embedded => embedded(config, ask, out),
    }
}

fn embedded(config: &Config, ask: &Ask, out: &mut impl Write) -> Result<(), Error> {
    let mut entries = Entries::open(config, ask.follow)?;
    loop {
        let page = entries.page()?;
        let mut lines = Vec::new();
        page.iter().for_each(|entry| ask.write(entry.offset, &entry.value, &mut lines));
        if page.is_empty() || !tail::put(&lines, out)? {
            return Ok(());
        }
    }
}

fn kafka(config: &Config, ask: &Ask, out: &mut impl Write) -> Result<(), Error> {
    let settings = settings::kafka(config);
    connect(&settings)?;
    let topic = &settings.topics.audit;
    let mut tail = Tail::open(&settings, topic, From::Beginning)?;
    let ends = if ask.follow { None } else { Some(tail.ends(settings.timeouts.request)?) };
    let (mut came, mut outage) = (Instant::now(), tail::Outage::default());
    loop {
        let mut lines = Vec::new();
        let polled = tail.poll(Duration::from_millis(200), &mut |entry| {
            if entry.partition == PARTITION {
                ask.write(entry.offset, entry.value.unwrap_or_default(), &mut lines);
            }
        });
        let any = if ask.follow { outage.outlast(polled)? } else { polled? };
        if !tail::put(&lines, out)? {
            return Ok(());
        }
        match &ends {
            Some(ends) if tail.has_reached(ends) => return Ok(()),
            // Only now: whoever reads the lines may have taken their time.
            _ if any => came = Instant::now(),
            Some(_) if came.elapsed() > settings.timeouts.request => {
                return Err(Error::Unreachable(format!("{topic}: its end was not reached; ask again")));
            }
            _ => {}
        }
    }
}
