//! Lines into records, one block at a time.

use crate::codec::json;
use crate::core::Fault;
use crate::core::event::ConversionEvent;

use super::bad::{Bad, Found};
use super::bucket::Writer;
use super::input::{Block, Kind};
use super::{Error, MAX_LINE, Summary};

/// Parses and checks blocks, and adds what is good to buckets.
pub(super) struct Parser<'b> {
    pub(super) writer: Writer<'b>,
    /// What was read.
    pub(super) counts: Summary,
}

impl Parser<'_> {
    /// Adds the events of a block to the buckets. Returns what cannot be used.
    pub(super) fn block(&mut self, block: &Block) -> Result<Found, Error> {
        let mut found = Found { input: block.input, lines: 0, bad: Vec::new() };
        if block.too_long {
            let reason = format!("longer than {MAX_LINE} bytes; only its begin is kept here");
            found.bad.push(Bad { line: 0, reason, content: block.bytes.clone() });
            found.lines = 1;
            return Ok(found);
        }
        let mut rest = block.bytes.as_slice();
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let (line, after) = rest.split_at_checked(end).unwrap_or_default();
            match self.line(block.kind, line) {
                Ok(()) => {}
                Err(Stopped::Bad(fault)) => {
                    found.bad.push(Bad { line: found.lines, reason: fault.to_string(), content: line.to_vec() });
                }
                Err(Stopped::Fatal(error)) => return Err(error),
            }
            found.lines += 1;
            rest = after.get(1..).unwrap_or_default();
        }
        Ok(found)
    }

    fn line(&mut self, kind: Kind, line: &[u8]) -> Result<(), Stopped> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        match kind {
            Kind::Touchpoints => {
                let draft = json::touchpoint(line)?;
                self.writer.touchpoint(&draft.check()?)?;
                self.counts.touchpoints += 1;
            }
            Kind::Conversions => {
                let draft = json::conversion(line)?;
                let event = draft.check()?;
                self.writer.conversion(&event)?;
                match event {
                    ConversionEvent::Conversion(conversion) => {
                        self.counts.conversions += 1;
                        self.counts.valueless += u64::from(conversion.value_micros.is_none());
                    }
                    ConversionEvent::Adjustment(_) => self.counts.adjustments += 1,
                }
            }
        }
        Ok(())
    }
}

/// Why a line ended early.
enum Stopped {
    /// It cannot be used; the next one may be.
    Bad(Fault),
    /// Nothing can.
    Fatal(Error),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Bad(fault)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}
