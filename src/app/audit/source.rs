//! The entries of an embedded log, as the socket sends them: `offset base64` a line, and `end` after the last.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::access::{self, socket::Rows};
use crate::topics::embedded::{Broker, Topic};

/// Entries read at a time.
pub(super) const PAGE: usize = 1_000;
/// What stands after the last entry.
const END: &str = "end";

/// The audit topic of an embedded log, from its beginning to the end that it has now.
pub struct EmbeddedEntries(pub Arc<Broker>);

impl Rows for EmbeddedEntries {
    /// Where reading begins and where it ends.
    fn start(&self, _beginning: bool) -> Vec<i64> {
        self.0
            .bounds(Topic::Audit, super::PARTITION)
            .map_or_else(|_| vec![0, 0], |bounds| vec![bounds.start, bounds.end])
    }

    fn read(&self, next: &mut [i64], lines: &mut Vec<u8>) -> Result<(), access::Error> {
        let [from, to] = next else { return Ok(()) };
        if from > to {
            return Ok(()); // all is sent, the end too
        }
        let failed = |error: crate::topics::embedded::Error| access::Error::Control(error.to_string());
        let limit = PAGE.min(usize::try_from(*to - *from).unwrap_or(0));
        let records = self.0.read(Topic::Audit, super::PARTITION, *from, limit).map_err(failed)?;
        for record in &records {
            let line = format!("{} {}\n", record.offset, line(record.key.as_deref(), record.value.as_deref()));
            lines.extend_from_slice(line.as_bytes());
            *from = record.offset + 1;
        }
        if records.is_empty() {
            lines.extend_from_slice(format!("{END}\n").as_bytes());
            *from = *to + 1;
        }
        Ok(())
    }
}

fn line(key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    format!("{} {}", STANDARD.encode(key.unwrap_or_default()), STANDARD.encode(value.unwrap_or_default()))
}

/// What a line says.
pub(super) enum Line {
    /// An entry.
    Record { offset: i64, key: Vec<u8>, value: Vec<u8> },
    /// There is no more.
    End,
}

/// Reads a line; none where it is not one of ours.
pub(super) fn parse(line: &str) -> Option<Line> {
    let line = line.trim_end();
    if line == END {
        return Some(Line::End);
    }
    let mut parts = line.split(' ');
    let offset = parts.next()?.parse().ok()?;
    let mut bytes = || STANDARD.decode(parts.next()?).ok();
    Some(Line::Record { offset, key: bytes()?, value: bytes()? })
}
