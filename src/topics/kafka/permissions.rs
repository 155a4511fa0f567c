//! Whether the principal may do what a run does, each missing permission by the name that `kafka-acls` takes.
//!
//! **Architecture invariant:** the lists below and the table of docs/kafka-security.md are the same; `tests/secured` takes away
//! each line of that table and wants to be told so.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use super::super::Error;
use super::contact::Contact;
use super::finding::Finding;
use super::rights::{self, Operation, Rights};
use super::settings::{Names, Settings};

/// What a run does with each topic.
fn needed(names: &Names) -> [(&str, &'static [Operation]); 6] {
    use Operation::{DescribeConfigs, Read, Write};
    [
        (&names.touchpoints, &[Read, DescribeConfigs]),
        (&names.conversions, &[Read, DescribeConfigs]),
        (&names.attributions, &[Write, DescribeConfigs]),
        // Read again when a partition is taken: what was set aside is not applied.
        (&names.dead_letter, &[Read, Write, DescribeConfigs]),
        (&names.control, &[Read, Write, DescribeConfigs]),
        (&names.audit, &[Write, DescribeConfigs]),
    ]
}

/// What is denied.
pub(super) struct Permissions {
    /// One for each resource with something denied; one that says so when nothing is.
    pub(super) findings: Vec<Finding>,
    /// Topics with something denied, which cannot be looked at further.
    pub(super) denied: BTreeSet<String>,
}

/// Asks for every permission that a run needs.
pub(super) fn check(contact: &Contact, settings: &Settings) -> Result<Permissions, Error> {
    let wait = settings.timeouts.request;
    let unanswered = |what: &str, code: Code| Error::Unreachable(format!("kafka: permissions on {what}: {code}"));
    let mut permissions = Permissions { findings: Vec::new(), denied: BTreeSet::new() };
    let topics = needed(&settings.topics);
    let names = topics.map(|(name, _)| name);
    let rights = rights::of_topics(contact.client(), &names, wait).map_err(|code| unanswered("topics", code))?;
    for ((name, operations), rights) in topics.into_iter().zip(rights) {
        let missing = missing(operations, rights, Code::TopicAuthorizationFailed);
        if !missing.is_empty() {
            permissions.denied.insert(name.to_owned());
            permissions.deny(&format!("topic {name}"), &missing);
        }
    }
    let group = format!("group {}", settings.group);
    let rights = of_group(contact, settings).map_err(|code| unanswered(&group, code))?;
    let missing = missing(&[Operation::Read], rights, Code::GroupAuthorizationFailed);
    if !missing.is_empty() {
        permissions.deny(&group, &missing);
    }
    if !contact.may_write_transactions(wait)? {
        let ids = format!("transactional ids that begin with {}-", settings.transactional_prefix);
        permissions.deny(&ids, &[Operation::Write]);
    }
    if permissions.findings.is_empty() {
        permissions.findings.push(Finding::ok("permissions", "all that a run needs"));
    }
    Ok(permissions)
}

/// How long one question about the group may take. On a new cluster the first one waits for a coordinator that comes up
/// meanwhile, and does not see it; the next one does.
const ATTEMPT: Duration = Duration::from_secs(3);

/// What may be done with the group. Its coordinator may have come up a moment ago, as the very first group's does.
fn of_group(contact: &Contact, settings: &Settings) -> Result<Rights, Code> {
    let request = settings.timeouts.request;
    let deadline = Instant::now() + request;
    loop {
        // A refusal may be of the group, or of looking for its coordinator.
        match rights::of_group(contact.client(), &settings.group, request.min(ATTEMPT)).and_then(|rights| rights) {
            Err(
                Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::OperationTimedOut,
            ) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(Code::GroupAuthorizationFailed) => return Ok(Err(Code::GroupAuthorizationFailed)),
            Err(code) => return Err(code),
            Ok(operations) => return Ok(Ok(operations)),
        }
    }
}

impl Permissions {
    fn deny(&mut self, resource: &str, missing: &[Operation]) {
        let names = missing.iter().map(|operation| operation.name()).collect::<Vec<_>>().join(", ");
        let what = format!("{names} denied to this principal");
        self.findings.push(Finding::problem(resource, what, format!("grant {names} on {resource}")));
    }
}

/// Those of the operations that are not allowed; all of them when the resource may not even be described. Who is not told
/// knows nothing: a broker that does not tell will refuse by itself.
fn missing(operations: &[Operation], rights: Rights, refusal: Code) -> Vec<Operation> {
    match rights {
        Ok(Some(allowed)) => operations.iter().copied().filter(|operation| !allowed.allow(*operation)).collect(),
        Err(code) if code == refusal => operations.to_vec(),
        Ok(None) | Err(_) => Vec::new(),
    }
}
