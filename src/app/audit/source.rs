//! The entries of an embedded log: of a running instance over its socket, a line each (`offset key value`, the latter two in
//! base64, and `end` after the last), or of the folder of one that is stopped.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::{Error, settings};
use super::PARTITION;
use crate::access::{self, socket, socket::Rows};
use crate::config::Config;
use crate::topics::embedded::{self, Broker, Place, Topic};

/// Entries read at a time.
const PAGE: usize = 1_000;
/// What stands after the last entry.
const END: &str = "end";
/// How long who follows the log and has all waits before it looks again.
const WAIT: Duration = Duration::from_millis(50);

/// The audit topic of an embedded log, as the socket sends it: from its beginning to the end that it has now, or on and on.
pub struct EmbeddedEntries(pub Arc<Broker>);

impl Rows for EmbeddedEntries {
    /// Where reading begins, and where it ends, if it does.
    fn start(&self, _beginning: bool, follow: bool) -> Vec<i64> {
        let bounds = self.0.bounds(Topic::Audit, PARTITION).map_or((0, 0), |bounds| (bounds.start, bounds.end));
        if follow { vec![bounds.0] } else { vec![bounds.0, bounds.1] }
    }

    fn read(&self, next: &mut [i64], lines: &mut Vec<u8>) -> Result<(), access::Error> {
        let Some((from, rest)) = next.split_first_mut() else { return Ok(()) };
        let to = rest.first().copied();
        if to.is_some_and(|to| *from > to) {
            return Ok(()); // all is sent, the end too
        }
        let left = to.map_or(PAGE, |to| usize::try_from(to - *from).unwrap_or(0));
        let failed = |error: embedded::Error| access::Error::Control(error.to_string());
        let records = self.0.read(Topic::Audit, PARTITION, *from, PAGE.min(left)).map_err(failed)?;
        for record in &records {
            let text = |bytes: &Option<Vec<u8>>| STANDARD.encode(bytes.as_deref().unwrap_or_default());
            let line = format!("{} {} {}\n", record.offset, text(&record.key), text(&record.value));
            lines.extend_from_slice(line.as_bytes());
            *from = record.offset + 1;
        }
        match to {
            _ if !records.is_empty() => {}
            None => std::thread::sleep(WAIT),
            Some(to) => {
                lines.extend_from_slice(format!("{END}\n").as_bytes());
                *from = to + 1;
            }
        }
        Ok(())
    }
}

/// An entry where it stands.
pub(super) struct Entry {
    pub(super) offset: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// Reading them.
pub(super) enum Entries {
    /// From the instance that runs.
    Socket { lines: BufReader<UnixStream>, follow: bool },
    /// From the folder of one that does not.
    Folder { broker: Arc<Broker>, next: i64 },
    /// All is read.
    Ended,
}

impl Entries {
    /// Begins with the oldest one. Where `follow` is said, and an instance runs, those to come follow those there are.
    pub(super) fn open(config: &Config, follow: bool) -> Result<Self, Error> {
        match socket::stream(&config.engine.data_dir, &socket::Request::Audit { follow }) {
            Ok(lines) => return Ok(Self::Socket { lines, follow }),
            Err(access::Error::NotRunning { .. }) => {}
            Err(error) => return Err(Error::Unreachable(error.to_string())),
        }
        let folder = settings::log_dir(config);
        if !folder.exists() {
            let why = format!("{} is not there; name the data folder of an instance", folder.display());
            return Err(Error::Refused(why));
        }
        let broker = Broker::open(&Place::Folder(folder), &settings::embedded(config)?)?;
        let next = broker.bounds(Topic::Audit, PARTITION)?.start;
        Ok(Self::Folder { broker, next })
    }

    /// The next ones, waiting for the first of them; none where there are no more.
    pub(super) fn page(&mut self) -> Result<Vec<Entry>, Error> {
        let mut page = Vec::new();
        match self {
            Self::Ended => {}
            Self::Folder { broker, next } => {
                for record in broker.read(Topic::Audit, PARTITION, *next, PAGE)? {
                    *next = record.offset + 1;
                    let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
                    page.push(Entry { offset: record.offset, key, value });
                }
            }
            Self::Socket { lines, follow } => {
                // What has come already is taken along, and nothing more is waited for.
                while page.is_empty() || (page.len() < PAGE && lines.buffer().contains(&b'\n')) {
                    let Some(entry) = receive(lines, *follow)? else {
                        *self = Self::Ended;
                        break;
                    };
                    page.push(entry);
                }
            }
        }
        Ok(page)
    }
}

/// The next entry that the socket sends; none after the last, and where the instance that is followed stops.
fn receive(lines: &mut impl BufRead, follow: bool) -> Result<Option<Entry>, Error> {
    let broken = |why: &str| Err(Error::Unreachable(format!("{why}; ask again")));
    let mut line = String::new();
    match lines.read_line(&mut line) {
        Err(error) => broken(&format!("the instance's socket: {error}")),
        Ok(0) if follow => Ok(None),
        Ok(0) => broken("the instance stopped before all was read"),
        Ok(_) if line.trim_end() == END => Ok(None),
        Ok(_) => match parse(line.trim_end()) {
            None => Err(Error::Refused(format!("the running instance answered: {}", line.trim_end()))),
            entry => Ok(entry),
        },
    }
}

/// Reads a line; none where it is not one of ours.
fn parse(line: &str) -> Option<Entry> {
    let mut parts = line.split(' ');
    let offset = parts.next()?.parse().ok()?;
    let mut bytes = || STANDARD.decode(parts.next()?).ok();
    Some(Entry { offset, key: bytes()?, value: bytes()? })
}
