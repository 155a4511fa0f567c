//! Logs as honest instances write them.

use crate::audit::chain::{Chain, End};
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
    let mut chains: Vec<Option<Chain>> = (0..instances).map(|_| None).collect();
    for (number, (instance, begins)) in (0..).zip(deeds) {
        let instance = instance % instances;
        let previous = chains[instance].as_ref().and_then(Chain::end);
        if *begins || previous.is_none() {
            let mut chain = Chain::new(&format!("i{instance}"), number, previous).unwrap();
            log.push(chain.seal(&start(), number));
            chains[instance] = Some(chain);
        } else {
            log.push(chains[instance].as_mut().unwrap().seal(&draft(u64::try_from(number).unwrap()), number));
        }
        of.push(instance);
    }
    Story { log, of, ends: chains.iter().flatten().filter_map(Chain::end).collect() }
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
