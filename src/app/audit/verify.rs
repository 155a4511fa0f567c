//! `tributary audit verify`: the audit topic of either log, read back.

use std::io::BufRead;

use super::super::{Error, settings};
use super::PARTITION;
use super::source::{Line, PAGE, parse};
use crate::access;
use crate::access::socket::{self, Request};
use crate::audit::End;
use crate::audit::verify::{Auditor, Finding, Summary};
use crate::config::{Config, LogKind};
use crate::topics::embedded::{Broker, Place, Topic};
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
    let failed = |error: access::Error| Error::Unreachable(error.to_string());
    match socket::stream(&config.engine.data_dir, &Request::Audit) {
        Ok(lines) => return socket(lines, remembered, found),
        Err(access::Error::NotRunning { .. }) => {}
        Err(error) => return Err(failed(error)),
    }
    let folder = settings::log_dir(config);
    if !folder.exists() {
        return Err(Error::Refused(format!("{} is not there; name the data folder of an instance", folder.display())));
    }
    let broker = Broker::open(&Place::Folder(folder), &settings::embedded(config)?)?;
    let mut next = broker.bounds(Topic::Audit, PARTITION)?.start;
    let mut auditor = Auditor::new(next, remembered, found);
    loop {
        let records = broker.read(Topic::Audit, PARTITION, next, PAGE)?;
        let Some(last) = records.last() else { return Ok(auditor.finish()) };
        next = last.offset + 1;
        for record in &records {
            auditor.read(record.offset, bytes(&record.key), bytes(&record.value));
        }
    }
}

fn bytes(of: &Option<Vec<u8>>) -> &[u8] {
    of.as_deref().unwrap_or_default()
}

/// Reads entries as the socket sends them.
fn socket(lines: impl BufRead, remembered: Option<End>, found: &mut dyn FnMut(&Finding)) -> Result<Summary, Error> {
    let broken = |why: &str| Error::Unreachable(format!("{why}; ask again"));
    let mut lines = lines.lines().map(|line| {
        let line = line.map_err(|error| broken(&format!("the instance's socket: {error}")))?;
        parse(&line).ok_or_else(|| Error::Refused(format!("the running instance answered: {line}")))
    });
    let mut next = || lines.next().unwrap_or_else(|| Err(broken("the instance stopped before all was read")));
    let mut line = next()?;
    // The newest entry is never taken away by age, so a log without any has lost none.
    let begin = if let Line::Record { offset, .. } = &line { *offset } else { 0 };
    let mut auditor = Auditor::new(begin, remembered, found);
    while let Line::Record { offset, key, value } = line {
        auditor.read(offset, &key, &value);
        line = next()?;
    }
    Ok(auditor.finish())
}
