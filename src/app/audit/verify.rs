//! `tributary audit verify`: the audit topic of either log, read back.

use super::super::{Error, settings};
use super::PARTITION;
use super::source::Entries;
use crate::audit::End;
use crate::audit::verify::{Auditor, Finding, Summary};
use crate::config::{Config, LogKind};
use crate::topics::kafka::tail::{From, Tail};

/// Reads the whole log and hands out what it finds.
///
/// # Errors
/// [`Error::Unreachable`] and [`Error::Refused`] when the log cannot be read to its end: what was handed out counts then,
/// but there may be more.
pub fn run(config: &Config, found: &mut dyn FnMut(&Finding)) -> Result<Summary, Error> {
    // Before the log: a running instance goes on, and what it remembers now the log must have then.
    let memory = settings::audit_memory(config).read();
    let remembered = memory.map_err(|error| Error::State(error.to_string()))?.end;
    match config.log.kind {
        LogKind::Kafka => kafka(config, remembered, found),
        LogKind::Embedded => embedded(config, remembered, found),
    }
}

fn kafka(config: &Config, remembered: Option<End>, found: &mut dyn FnMut(&Finding)) -> Result<Summary, Error> {
    let settings = settings::kafka(config);
    let topic = &settings.topics.audit;
    let mut tail = Tail::open(&settings, topic, From::End)?;
    let mut auditor = Auditor::new(tail.begin(PARTITION)?, remembered, found);
    tail.read_whole(PARTITION, &mut |entry| auditor.read(entry.offset, entry.key, entry.value.unwrap_or_default()))?;
    // Whatever stands on another partition was put there by somebody else.
    for partition in (0..tail.partitions()).filter(|partition| *partition != PARTITION) {
        tail.read_whole(partition, &mut |entry| auditor.foreign(partition, entry.offset))?;
    }
    Ok(auditor.finish())
}

/// Of a running instance through its socket; of one that is stopped, from its folder.
fn embedded(config: &Config, remembered: Option<End>, found: &mut dyn FnMut(&Finding)) -> Result<Summary, Error> {
    let mut entries = Entries::open(config, false)?;
    let mut page = entries.page()?;
    // Retention leaves the newest entry, and the log begins with the oldest that it left. Where that is not there, it was
    // not retention that took it.
    let begin = page.first().filter(|first| first.offset <= entries.begin).map_or(0, |_| entries.begin);
    let mut auditor = Auditor::new(begin, remembered, found);
    while !page.is_empty() {
        page.iter().for_each(|entry| auditor.read(entry.offset, &entry.key, &entry.value));
        page = entries.page()?;
    }
    Ok(auditor.finish())
}
