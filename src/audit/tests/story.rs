//! Logs as honest instances write them.

use crate::audit::chain::{Chain, End};
use crate::audit::memory::end_of;
use crate::audit::verify::{Auditor, Finding, Summary};
use crate::audit::{Action, Actor, Caller, Draft, Outcome, Record};

/// A log, and what the instances remember.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) log: Vec<Record>,
    /// Which instance wrote which record.
    pub(super) of: Vec<usize>,
    pub(super) ends: Vec<End>,
}

pub(super) fn draft(number: u64) -> Draft {
    let caller = Caller { actor: Actor::Key(format!("k{}", number % 3)), ..Caller::default() };
    Draft { count: Some(number), ..Draft::new(caller, Action::Ingest, "touchpoints", Outcome::Done) }
}

pub(super) fn start() -> Draft {
    Draft::new(Caller::system(), Action::Start, "process", Outcome::Done)
}

/// What instances did one after the other: which one, and whether its process began a new life for it.
pub(super) fn story(instances: usize, deeds: &[(usize, bool)]) -> Story {
    let (mut log, mut of) = (Vec::new(), Vec::new());
    let mut lives: Vec<Option<(Chain, End)>> = (0..instances).map(|_| None).collect();
    for (number, (instance, begins)) in (0..).zip(deeds) {
        let instance = instance % instances;
        let draft = |number: i64| {
            let draft = draft(u64::try_from(number).unwrap());
            let rest = deeds.iter().skip(usize::try_from(number).unwrap() + 1);
            let next = rest.clone().find(|(other, _)| other % instances == instance);
            // The last deed of a life is to stop.
            if next.is_some_and(|(_, begins)| *begins) { Draft { action: Action::Stop, ..draft } } else { draft }
        };
        let (record, chain) = match lives[instance].take() {
            Some((mut chain, _)) if !begins => (chain.seal(&draft(number), number), chain),
            before => {
                let mut chain = Chain::new(&format!("i{instance}"), number, before.map(|(_, end)| end)).unwrap();
                (chain.seal(&start(), number), chain)
            }
        };
        lives[instance] = Some((chain, end_of(std::slice::from_ref(&record)).unwrap()));
        log.push(record);
        of.push(instance);
    }
    Story { log, of, ends: lives.into_iter().flatten().map(|(_, end)| end).collect() }
}

pub(super) fn read(begin: i64, log: &[Record], remembered: Option<&End>) -> (Summary, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut found = |finding: &Finding| findings.push(finding.clone());
    let mut auditor = Auditor::new(begin, remembered.cloned(), &mut found);
    for (offset, record) in (begin..).zip(log) {
        auditor.read(offset, &record.key, &record.value);
    }
    let summary = auditor.finish();
    (summary, findings)
}
