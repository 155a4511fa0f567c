//! Reading the log back: what was removed, altered, moved or put in.
//!
//! Entries are read once, in the order of the log, with memory for the newest entries of each chain that is still open, and
//! a name for each that is closed.
//! Every chain but the newest of an instance is closed by the first entry of the next, which tells where it ended; what the
//! newest should have reached, the data folder of its instance remembers.

mod changes;
mod finding;
mod reading;

use std::collections::HashMap;

use super::chain::End;
use super::entry::{Entry, hashes};
pub use finding::{Finding, Span};
use reading::Reading;

/// No chain has so many entries.
const MOST: u64 = 1 << 53;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries, those that stand twice counted twice.
    pub entries: u64,
    /// Chains: lives of processes.
    pub chains: usize,
    /// Findings that no honest story explains.
    pub differences: u64,
    /// Findings that one does, as of a process that was killed.
    pub notes: u64,
    /// Where the newest chain of each instance ends: kept elsewhere, they are what a later reading is compared with.
    pub ends: Vec<End>,
}

/// Reads a log. Each finding is handed to `found` as soon as it is certain.
pub struct Auditor<'f> {
    /// Whether the topic's oldest records are gone: retention has passed.
    trimmed: bool,
    /// What a data folder remembers, and whether it was read.
    remembered: Option<(End, bool)>,
    chains: HashMap<String, Reading>,
    /// The newest chain of each instance.
    newest: HashMap<String, String>,
    summary: Summary,
    found: &'f mut dyn FnMut(&Finding),
}

impl<'f> Auditor<'f> {
    /// Reads a topic that begins at offset `begin`. `remembered` is what the data folder of an instance says of its chain,
    /// read before the log was.
    pub fn new(begin: i64, remembered: Option<End>, found: &'f mut dyn FnMut(&Finding)) -> Self {
        Self {
            trimmed: begin > 0,
            remembered: remembered.map(|end| (end, false)),
            chains: HashMap::new(),
            newest: HashMap::new(),
            summary: Summary::default(),
            found,
        }
    }

    /// Takes the next record, in the order of the log.
    pub fn read(&mut self, offset: i64, key: &[u8], value: &[u8]) {
        let Some((has, entry)) = parse(value) else {
            return self.foreign(0, offset);
        };
        self.summary.entries += 1;
        let altered = has != entry.hash || key != entry.actor.as_bytes();
        if altered {
            self.tell(Finding::Altered { chain: entry.chain.clone(), seq: entry.seq });
        }
        match self.chains.get_mut(&entry.chain) {
            // Its number and hash cannot be believed unless they are what comes next anyway.
            Some(reading) if altered => reading.skip_over(&entry),
            None if altered => {}
            Some(reading) => {
                let findings = reading.go_on(&entry);
                findings.into_iter().for_each(|finding| self.tell(finding));
                self.compare(&entry);
            }
            None => {
                self.begin(&entry);
                self.compare(&entry);
            }
        }
    }

    /// Takes a record that is no entry, or stands where none is written.
    pub fn foreign(&mut self, partition: u32, offset: i64) {
        self.tell(Finding::Foreign { partition, offset });
    }

    /// Whether this is the entry that a data folder remembers.
    fn compare(&mut self, entry: &Entry) {
        if let Some((end, read)) = &mut self.remembered {
            *read |= (&end.chain, end.seq, &end.hash) == (&entry.chain, entry.seq, &entry.hash);
        }
    }

    /// A chain begins.
    fn begin(&mut self, entry: &Entry) {
        let chain = entry.chain.clone();
        let earlier = self.newest.insert(entry.instance.clone(), chain.clone());
        // Retention takes from the beginning: it cannot have passed what is newer than something that is still there.
        let may_be_gone = self.trimmed && earlier.is_none();
        if entry.seq > 0 {
            let span = Span { from: 0, to: entry.seq - 1 };
            self.tell(if may_be_gone {
                Finding::Older { chain: chain.clone(), span: Some(span) }
            } else {
                Finding::Missing { chain: chain.clone(), span }
            });
        } else {
            self.follow(entry, earlier, may_be_gone);
        }
        self.chains.insert(chain, Reading::new(entry));
        self.summary.chains += 1;
    }

    /// The first entry of a chain: what it says of the chain before it.
    fn follow(&mut self, entry: &Entry, earlier: Option<String>, may_be_gone: bool) {
        let chain = || entry.chain.clone();
        if entry.action != "start" {
            self.tell(Finding::NoStart { chain: chain() });
        }
        if let Some(skipped) = earlier.filter(|earlier| Some(earlier) != entry.previous_chain.as_ref()) {
            self.tell(Finding::Unconnected { chain: chain(), before: skipped });
        }
        let Some(previous) = &entry.previous_chain else { return };
        let end = End { chain: previous.clone(), seq: entry.previous_seq.unwrap_or(0), hash: entry.prev.clone() };
        match self.chains.get_mut(previous) {
            Some(reading) => {
                let findings = reading.close(&end, &entry.chain);
                findings.into_iter().for_each(|finding| self.tell(finding));
            }
            None if may_be_gone => self.tell(Finding::Older { chain: previous.clone(), span: None }),
            None => self.tell(Finding::Missing { chain: previous.clone(), span: Span { from: 0, to: end.seq } }),
        }
    }

    /// The log has been read to its end.
    pub fn finish(mut self) -> Summary {
        let mut open: Vec<_> = self.chains.values_mut().filter(|reading| reading.is_open()).collect();
        open.sort_by(|a, b| a.chain().cmp(b.chain()));
        let settled = |reading: &mut &mut Reading| [reading.settle(), reading.unfinished()].concat();
        let findings: Vec<_> = open.iter_mut().flat_map(settled).collect();
        self.summary.ends = open.iter().map(|reading| reading.end()).collect();
        findings.into_iter().for_each(|finding| self.tell(finding));
        if let Some((end, false)) = self.remembered.take() {
            let gone = self.trimmed && !self.chains.contains_key(&end.chain);
            self.tell(if gone {
                Finding::Older { chain: end.chain, span: None }
            } else {
                Finding::Forgotten { chain: end.chain, seq: end.seq }
            });
        }
        self.summary
    }

    fn tell(&mut self, finding: Finding) {
        if finding.is_difference() {
            self.summary.differences += 1;
        } else {
            self.summary.notes += 1;
        }
        (self.found)(&finding);
    }
}

/// The hash that the bytes have, and what they say.
fn parse(value: &[u8]) -> Option<(String, Entry)> {
    let (has, _) = hashes(value)?;
    let entry: Entry = serde_json::from_slice(value).ok()?;
    (entry.seq <= MOST).then_some((has, entry))
}
