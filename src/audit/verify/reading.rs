//! One chain, as far as it has been read.

use std::collections::VecDeque;

use super::super::chain::End;
use super::super::entry::Entry;
use super::changes::{Changes, Unfinished};
use super::finding::{Finding, Span};

/// How many of the newest entries of an open chain are known by their hashes: far more than are ever written again.
const WINDOW: usize = 4_096;

/// A chain that was begun.
pub(super) struct Reading {
    chain: String,
    /// The greatest number that was read.
    top: u64,
    /// The number that was read last.
    at: u64,
    /// Hashes of the newest entries, up to `top`; none for those that have not come.
    known: VecDeque<Option<String>>,
    /// Entries that were read again, until one comes that was not.
    again: Option<Span>,
    /// An entry that came later than it should: either it was moved, or it and all behind it were written again, for some
    /// of them had got through and it had not.
    late: Option<u64>,
    /// Whether the entry of the greatest number tells of the process's stop.
    stopped: bool,
    changes: Changes,
    /// The chain that goes on from this one.
    next: Option<String>,
}

impl Reading {
    /// Begins with this entry.
    pub(super) fn new(entry: &Entry) -> Self {
        let mut changes = Changes::default();
        changes.take(entry);
        Self {
            chain: entry.chain.clone(),
            top: entry.seq,
            at: entry.seq,
            known: VecDeque::from([Some(entry.hash.clone())]),
            again: None,
            late: None,
            stopped: entry.is_stop(),
            changes,
            next: None,
        }
    }

    pub(super) fn chain(&self) -> &str {
        &self.chain
    }

    pub(super) fn is_open(&self) -> bool {
        self.next.is_none()
    }

    /// Where it ends.
    pub(super) fn end(&self) -> End {
        let hash = self.known.back().cloned().flatten().unwrap_or_default();
        End { chain: self.chain.clone(), seq: self.top, hash }
    }

    fn missing(&self, span: Span) -> Finding {
        Finding::Missing { chain: self.chain.clone(), span }
    }

    fn hash(&self, seq: u64) -> Option<&String> {
        let back = usize::try_from(self.top.checked_sub(seq)?).ok()?;
        self.known.get(self.known.len().checked_sub(back + 1)?)?.as_ref()
    }

    /// Takes an entry that was altered for what it pretends to be, where that comes next: the one behind it may be whole.
    pub(super) fn skip_over(&mut self, entry: &Entry) {
        if self.is_open() && entry.seq == self.top + 1 {
            self.at = entry.seq;
            self.stopped = entry.is_stop();
            drop(self.push(entry.hash.clone()));
        }
    }

    /// Takes the next entry of this chain.
    pub(super) fn go_on(&mut self, entry: &Entry) -> Vec<Finding> {
        let (chain, seq) = (self.chain.clone(), entry.seq);
        if !self.is_open() {
            return vec![Finding::Moved { chain, seq }]; // whatever it is, the next chain had begun
        }
        let follows = seq == self.at + 1;
        let mut findings: Vec<_> = if follows { Vec::new() } else { self.late() };
        if seq > self.top {
            findings.extend(self.go_beyond(entry));
        } else if let Some(hash) = self.hash(seq) {
            findings.extend(if *hash == entry.hash { self.repeat(seq) } else { vec![Finding::Forked { chain, seq }] });
        } else if self.fill(seq, &entry.hash) {
            self.at = seq;
            self.late = if follows { self.late } else { Some(seq) };
            self.changes.take(entry);
            findings.extend(self.linked(entry));
        } else {
            findings.push(Finding::Moved { chain, seq });
        }
        findings
    }

    /// What came late was moved, unless all behind it came again.
    fn late(&mut self) -> Vec<Finding> {
        let late = self.late.take().filter(|_| self.at < self.top);
        late.map(|seq| Finding::Moved { chain: self.chain.clone(), seq }).into_iter().collect()
    }

    /// An entry of a greater number than any before.
    fn go_beyond(&mut self, entry: &Entry) -> Vec<Finding> {
        let mut findings: Vec<_> = self.told_again().into_iter().collect();
        while self.top + 1 < entry.seq {
            // More than the window can hold will not come any more.
            if entry.seq - self.top > WINDOW as u64 {
                let span = Span { from: self.top + 1, to: entry.seq - 1 };
                findings.extend(self.settle());
                findings.push(self.missing(span));
                self.top = entry.seq - 1;
                self.known = VecDeque::new();
                break;
            }
            findings.extend(self.push_gap());
        }
        findings.extend(self.push(entry.hash.clone()));
        self.at = entry.seq;
        self.stopped = entry.is_stop();
        self.changes.take(entry);
        findings.extend(self.linked(entry));
        findings
    }

    /// Whether the entry before this is the one that it was written behind.
    fn linked(&self, entry: &Entry) -> Vec<Finding> {
        let before = entry.seq.checked_sub(1).and_then(|before| self.hash(before));
        let broken = before.is_some_and(|hash| *hash != entry.prev);
        broken.then(|| Finding::Unlinked { chain: self.chain.clone(), seq: entry.seq }).into_iter().collect()
    }

    fn push(&mut self, hash: String) -> Option<Finding> {
        self.known.push_back(Some(hash));
        self.top += 1;
        self.slide()
    }

    fn push_gap(&mut self) -> Option<Finding> {
        self.known.push_back(None);
        self.top += 1;
        self.slide()
    }

    /// Forgets the oldest hash where there are too many; one that has not come by then is missing.
    fn slide(&mut self) -> Option<Finding> {
        if self.known.len() <= WINDOW {
            return None;
        }
        let gone = self.known.pop_front()?;
        let seq = self.top - self.known.len() as u64;
        gone.is_none().then(|| self.missing(Span { from: seq, to: seq }))
    }

    fn fill(&mut self, seq: u64, hash: &str) -> bool {
        let back = usize::try_from(self.top - seq).unwrap_or(usize::MAX);
        let index = self.known.len().checked_sub(back.saturating_add(1));
        let slot = index.and_then(|index| self.known.get_mut(index)).filter(|slot| slot.is_none());
        slot.map(|slot| *slot = Some(hash.to_owned())).is_some()
    }

    fn repeat(&mut self, seq: u64) -> Vec<Finding> {
        self.at = seq;
        match &mut self.again {
            Some(span) if span.to + 1 == seq => {
                span.to = seq;
                Vec::new()
            }
            _ => {
                let told = self.told_again();
                self.again = Some(Span { from: seq, to: seq });
                told.into_iter().collect()
            }
        }
    }

    fn told_again(&mut self) -> Option<Finding> {
        let span = self.again.take()?;
        Some(Finding::Repeated { chain: self.chain.clone(), span })
    }

    /// Tells what has not come so far, and forgets that it was waited for.
    pub(super) fn settle(&mut self) -> Vec<Finding> {
        let mut findings: Vec<_> = self.late().into_iter().chain(self.told_again()).collect();
        let first = (self.top + 1).saturating_sub(self.known.len() as u64);
        let mut gap: Option<Span> = None;
        for (seq, hash) in (first..).zip(&self.known) {
            match (hash, &mut gap) {
                (None, Some(span)) => span.to = seq,
                (None, None) => gap = Some(Span { from: seq, to: seq }),
                (Some(_), _) => findings.extend(gap.take().map(|span| self.missing(span))),
            }
        }
        findings.extend(gap.map(|span| self.missing(span)));
        findings
    }

    /// Changes that have not ended so far.
    pub(super) fn unfinished(&mut self) -> Vec<Finding> {
        let found = self.changes.unfinished().into_iter();
        found.map(|Unfinished { seq, what, .. }| Finding::Unfinished { chain: self.chain.clone(), seq, what }).collect()
    }

    /// The next chain begins, and says where this one ended.
    pub(super) fn close(&mut self, end: &End, next: &str) -> Vec<Finding> {
        let chain = self.chain.clone();
        if let Some(first) = &self.next {
            return vec![Finding::Claimed { chain, by: first.clone() }];
        }
        let mut findings = self.settle();
        if self.top < end.seq {
            findings.push(self.missing(Span { from: self.top + 1, to: end.seq }));
        } else if self.top > end.seq {
            findings.push(Finding::Beyond { chain, span: Span { from: end.seq + 1, to: self.top } });
        } else if self.end().hash != end.hash {
            findings.push(Finding::Altered { chain, seq: end.seq });
        } else if !self.stopped {
            findings.push(Finding::Cut { chain, seq: end.seq });
        }
        findings.extend(self.unfinished());
        self.next = Some(next.to_owned());
        self.known = VecDeque::new();
        findings
    }
}
