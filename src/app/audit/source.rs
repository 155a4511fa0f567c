//! The entries of an embedded log: of a running instance over its socket (a line `begin` with the log's oldest offset, then a
//! line each, `offset key value`, the latter two in base64, then `end`), or of the folder of one that is stopped.

use std::io::{BufRead, BufReader, ErrorKind};
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
/// What stands before the offset at which the log begins.
const BEGIN: &str = "begin ";
/// What stands after the last entry.
const END: &str = "end";
/// How long who follows the log and has all waits before it looks again.
const WAIT: Duration = Duration::from_millis(50);

/// The audit topic of an embedded log, as the socket sends it: from its beginning to the end that it has now, or on and on.
pub struct EmbeddedEntries(pub Arc<Broker>);

impl Rows for EmbeddedEntries {
    /// Whether the beginning was told, where reading goes on, and where it ends, if it does.
    fn start(&self, _beginning: bool, follow: bool) -> Vec<i64> {
        let bounds = self.0.bounds(Topic::Audit, PARTITION).map_or((0, 0), |bounds| (bounds.start, bounds.end));
        vec![0, bounds.0, if follow { i64::MAX } else { bounds.1 }]
    }

    fn read(&self, next: &mut [i64], lines: &mut Vec<u8>) -> Result<(), access::Error> {
        let [told, from, to] = next else { return Ok(()) };
        if from > to {
            return Ok(()); // all is sent, the end too
        }
        let failed = |error: embedded::Error| access::Error::Control(error.to_string());
        let left = PAGE.min(usize::try_from(*to - *from).unwrap_or(PAGE));
        let records = self.0.read(Topic::Audit, PARTITION, *from, left).map_err(failed)?;
        if std::mem::replace(told, 1) == 0 {
            // Asked only now: what retention took before the first entry was read is then known to be gone.
            let begin = self.0.bounds(Topic::Audit, PARTITION).map_err(failed)?.start;
            lines.extend_from_slice(format!("{BEGIN}{begin}\n").as_bytes());
        }
        for record in &records {
            let text = |bytes: &Option<Vec<u8>>| STANDARD.encode(bytes.as_deref().unwrap_or_default());
            let line = format!("{} {} {}\n", record.offset, text(&record.key), text(&record.value));
            lines.extend_from_slice(line.as_bytes());
            *from = record.offset + 1;
        }
        if records.is_empty() && *to == i64::MAX {
            std::thread::sleep(WAIT);
        } else if records.is_empty() {
            lines.extend_from_slice(format!("{END}\n").as_bytes());
            *from = *to + 1;
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
pub(super) struct Entries {
    /// The offset at which the log begins: what stood before it, retention has taken.
    pub(super) begin: i64,
    source: Source,
}

enum Source {
    /// The instance that runs.
    Socket(BufReader<UnixStream>),
    /// The folder of one that does not.
    Folder { broker: Arc<Broker>, next: i64 },
    /// All is read.
    Ended,
}

impl Entries {
    /// Begins with the oldest one. Where `follow` is said, those to come follow those there are, of an instance that runs.
    pub(super) fn open(config: &Config, follow: bool) -> Result<Self, Error> {
        match socket::stream(&config.engine.data_dir, &socket::Request::Audit { follow }) {
            Ok(mut lines) => {
                let line = receive(&mut lines)?;
                let begin = line.strip_prefix(BEGIN).and_then(|begin| begin.parse().ok());
                let begin = begin.ok_or_else(|| answered(&line))?;
                return Ok(Self { begin, source: Source::Socket(lines) });
            }
            Err(access::Error::NotRunning { source, .. }) if source.kind() != ErrorKind::PermissionDenied => {}
            Err(error) => return Err(Error::Unreachable(error.to_string())),
        }
        let folder = settings::log_dir(config);
        if !folder.exists() {
            let why = format!("{} is not there; name the data folder of an instance", folder.display());
            return Err(Error::Refused(why));
        }
        if follow {
            let folder = config.engine.data_dir.display();
            let why = format!("no instance runs on {folder}, so no entries come; start it, or leave --follow out");
            return Err(Error::Refused(why));
        }
        let broker = Broker::open(&Place::Folder(folder), &settings::embedded(config)?)?;
        let begin = broker.bounds(Topic::Audit, PARTITION)?.start;
        Ok(Self { begin, source: Source::Folder { broker, next: begin } })
    }

    /// The next ones, waiting for the first of them; none where there are no more.
    pub(super) fn page(&mut self) -> Result<Vec<Entry>, Error> {
        let mut page = Vec::new();
        match &mut self.source {
            Source::Ended => {}
            Source::Folder { broker, next } => {
                for record in broker.read(Topic::Audit, PARTITION, *next, PAGE)? {
                    *next = record.offset + 1;
                    let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
                    page.push(Entry { offset: record.offset, key, value });
                }
            }
            Source::Socket(lines) => {
                // What has come already is taken along, and nothing more is waited for.
                while page.is_empty() || (page.len() < PAGE && lines.buffer().contains(&b'\n')) {
                    let line = receive(lines)?;
                    if line == END {
                        self.source = Source::Ended;
                        break;
                    }
                    page.push(parse(&line).ok_or_else(|| answered(&line))?);
                }
            }
        }
        Ok(page)
    }
}

/// The next line that the socket sends. One that is cut off is none: the instance stopped in the middle of it.
fn receive(lines: &mut impl BufRead) -> Result<String, Error> {
    let mut line = String::new();
    lines
        .read_line(&mut line)
        .map_err(|error| Error::Unreachable(format!("the instance's socket: {error}; ask again")))?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => Err(Error::Unreachable("the instance stopped, and sends no more; ask again".into())),
    }
}

/// What is no line of ours, such as why the instance sends none.
fn answered(line: &str) -> Error {
    Error::Refused(format!("the running instance answered: {line}"))
}

/// Reads a line; none where it is not one of ours.
fn parse(line: &str) -> Option<Entry> {
    let mut parts = line.split(' ');
    let offset = parts.next()?.parse().ok()?;
    let mut bytes = || STANDARD.decode(parts.next()?).ok();
    Some(Entry { offset, key: bytes()?, value: bytes()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_the_instance_stopped_in_is_no_entry() {
        let mut lines = b"7 aw== dmFs\n8 aw== dmFs".as_slice();
        assert_eq!(parse(&receive(&mut lines).unwrap()).unwrap().value, b"val");
        for _ in 0..2 {
            let Err(Error::Unreachable(why)) = receive(&mut lines) else { panic!("the rest of a line") };
            assert!(why.contains("stopped"), "{why}");
        }
    }
}
