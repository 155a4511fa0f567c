//! `tributary topics create` and `tributary topics check`: the topics with the settings that exactness rests on, or what about
//! which topic differs how, and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rdkafka::admin::ResourceSpecifier;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::super::{Error, Input, Offset, Output};
use super::admin::Admin;
use super::contact::Contact;
pub use super::finding::{Finding, Verdict};
use super::permissions::{self, Permissions};
use super::reach::Reach;
use super::reader::{Event, Reader};
use super::settings::{DEAD_LETTER_HEADROOM, DEFAULT_RECORD, Settings};

/// How topics are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creation {
    /// The number of partitions of inputs, rows and dead letters.
    pub partitions: u32,
    /// The number of copies of each.
    pub replicas: u32,
    /// How long inputs and dead letters are kept after their timestamps; none: for ever, so that the state can always be made
    /// again from the log.
    pub retention: Option<Duration>,
    /// How long the audit log is kept.
    pub audit_retention: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

type TopicSettings = Vec<(&'static str, String)>;

/// A topic's name, partitions and settings as they should be.
fn wanted(settings: &Settings, creation: &Creation) -> Vec<(String, u32, TopicSettings)> {
    let names = &settings.topics;
    let retention = creation.retention.map_or_else(|| "-1".into(), millis);
    let in_sync = if creation.replicas >= 3 { "2" } else { "1" };
    let common = |cleanup: &str| {
        vec![
            ("cleanup.policy", cleanup.to_owned()),
            ("message.timestamp.type", "CreateTime".to_owned()),
            ("min.insync.replicas", in_sync.to_owned()),
        ]
    };
    let kept = |largest: usize| {
        let mut all = common("delete");
        all.push(("retention.ms", retention.clone()));
        all.push(("retention.bytes", "-1".into()));
        all.push(("max.message.bytes", largest.to_string()));
        all
    };
    let rows = || {
        let mut all = common("compact");
        // A sink that lags further than this misses deletions.
        all.push(("delete.retention.ms", millis(7 * DAY)));
        all.push(("min.compaction.lag.ms", millis(Duration::from_secs(3600))));
        all.push(("max.compaction.lag.ms", millis(7 * DAY)));
        all.push(("segment.ms", millis(DAY)));
        all
    };
    let mut audit = common("delete");
    audit.push(("retention.ms", millis(creation.audit_retention)));
    vec![
        (names.touchpoints.clone(), creation.partitions, kept(DEFAULT_RECORD)),
        (names.conversions.clone(), creation.partitions, kept(DEFAULT_RECORD)),
        (names.attributions.clone(), creation.partitions, rows()),
        (names.dead_letter.clone(), creation.partitions, kept(DEFAULT_RECORD + DEAD_LETTER_HEADROOM)),
        (names.control.clone(), 1, common("compact")),
        (names.audit.clone(), 1, audit),
    ]
}

/// Makes the topics that are not there yet. What is there is left as it is: see [`check`].
///
/// # Errors
/// [`Error::Unreachable`] when no broker answers.
pub fn create(settings: &Settings, creation: &Creation) -> Result<Vec<Finding>, Error> {
    super::connect(settings)?;
    let admin = Admin::open(settings)?;
    let mut findings = Vec::new();
    for (name, partitions, config) in wanted(settings, creation) {
        let subject = format!("topic {name}");
        findings.push(match admin.create(&name, partitions, creation.replicas, &config)? {
            Ok(()) => Finding::ok(&subject, format!("created with {partitions} partitions")),
            Err(Code::TopicAlreadyExists) => {
                Finding::ok(&subject, "is there already; `tributary topics check` says how it is")
            }
            Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => Finding::problem(
                &subject,
                "may not be made by this principal",
                format!("grant Create on {subject}, or have it made by who may"),
            ),
            Err(Code::InvalidReplicationFactor) => Finding::problem(
                &subject,
                format!("{} copies are more than there are brokers", creation.replicas),
                "ask for fewer with --replicas",
            ),
            Err(code) => Finding::problem(&subject, format!("not made: {code}"), "see the broker's log"),
        });
    }
    Ok(findings)
}

/// Looks at every topic and at the brokers.
///
/// # Errors
/// [`Error::Unreachable`] when no broker answers.
pub fn check(settings: &Settings) -> Result<Vec<Finding>, Error> {
    let contact = Contact::make(settings)?;
    let Permissions { findings, denied } = permissions::check(&contact, settings)?;
    let mut check = Check { admin: Admin::open(settings)?, settings, findings, denied };
    check.broker()?;
    check.partitioned()?;
    check.single(&settings.topics.control, "compact")?;
    check.single(&settings.topics.audit, "delete")?;
    Ok(check.findings)
}

struct Check<'a> {
    admin: Admin,
    settings: &'a Settings,
    findings: Vec<Finding>,
    /// Topics that were found fault with already, and cannot be looked at further.
    denied: BTreeSet<String>,
}

type Config = BTreeMap<String, String>;

fn number(config: &Config, name: &str) -> Option<i64> {
    config.get(name)?.parse().ok()
}

impl Check<'_> {
    fn say(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn broker(&mut self) -> Result<(), Error> {
        let broker = self.admin.broker()?;
        let Some(config) = self.admin.settings(&ResourceSpecifier::Broker(broker))? else {
            // Its limits show themselves at the first transaction, so this alone is no reason not to run.
            let what = "settings may not be read (DescribeConfigs on the cluster); limits not checked";
            self.say(Finding::ok("brokers", what));
            return Ok(());
        };
        let ours = i64::try_from(self.settings.timeouts.transaction.as_millis()).unwrap_or(i64::MAX);
        self.say(match number(&config, "transaction.max.timeout.ms") {
            Some(limit) if limit < ours => Finding::problem(
                "brokers",
                format!("transaction.max.timeout.ms is {limit}, the transaction timeout is {ours} ms"),
                "lower kafka.transaction_timeout or raise the broker's limit",
            ),
            _ => Finding::ok("brokers", format!("transactions may take {ours} ms")),
        });
        let session = i64::try_from(self.settings.timeouts.session.as_millis()).unwrap_or(i64::MAX);
        let low = number(&config, "group.min.session.timeout.ms").unwrap_or(0);
        let high = number(&config, "group.max.session.timeout.ms").unwrap_or(i64::MAX);
        self.say(if (low..=high).contains(&session) {
            Finding::ok("brokers", format!("sessions may take {session} ms"))
        } else {
            Finding::problem(
                "brokers",
                format!("the session timeout of {session} ms is outside {low} to {high} ms"),
                "change kafka.session_timeout, or the broker's group.min/max.session.timeout.ms",
            )
        });
        Ok(())
    }

    /// The topic's partitions and settings, if it is there and they may be read.
    fn topic(&mut self, name: &str) -> Result<Option<(u32, Config)>, Error> {
        if self.denied.contains(name) {
            return Ok(None);
        }
        let subject = format!("topic {name}");
        let Some(topic) = self.admin.topic(name)? else {
            self.say(Finding::problem(
                &subject,
                "does not exist, or may not be described",
                "`tributary topics create` makes it",
            ));
            return Ok(None);
        };
        let Some(config) = self.admin.settings(&ResourceSpecifier::Topic(name))? else {
            let remedy = format!("grant DescribeConfigs on {subject}");
            self.say(Finding::problem(&subject, "its settings may not be read", remedy));
            return Ok(None);
        };
        let in_sync = config.get("min.insync.replicas").map_or("?", String::as_str);
        self.say(Finding::ok(
            &subject,
            format!("{} partitions, {} copies, {in_sync} in sync to write", topic.partitions, topic.replicas),
        ));
        Ok(Some((topic.partitions, config)))
    }

    /// The topics that share their partition numbers: inputs, rows, dead letters.
    fn partitioned(&mut self) -> Result<(), Error> {
        let settings = self.settings;
        let lead = settings.topics.input(Input::Touchpoints);
        let mut expected = None;
        let mut inputs_take = 0;
        for input in Input::ALL {
            let name = settings.topics.input(input);
            let Some((partitions, config)) = self.topic(name)? else {
                continue;
            };
            self.count(name, partitions, *expected.get_or_insert(partitions), lead);
            self.cleanup(name, &config, "delete");
            self.timestamps(name, &config);
            self.retention(name, partitions, &config)?;
            inputs_take = inputs_take.max(number(&config, "max.message.bytes").unwrap_or(0));
        }
        for (output, cleanup) in [(Output::Attributions, "compact"), (Output::DeadLetter, "delete")] {
            let name = settings.topics.output(output);
            let Some((partitions, config)) = self.topic(name)? else {
                continue;
            };
            self.count(name, partitions, *expected.get_or_insert(partitions), lead);
            self.cleanup(name, &config, cleanup);
            if output == Output::DeadLetter {
                self.dead_letter_size(name, &config, inputs_take);
            }
        }
        Ok(())
    }

    fn count(&mut self, name: &str, partitions: u32, expected: u32, lead: &str) {
        if partitions != expected {
            self.say(Finding::problem(
                &format!("topic {name}"),
                format!("has {partitions} partitions, {lead} has {expected}"),
                "inputs, rows and dead letters need the same number; make it anew (adding partitions to one in use would move \
                 users between partitions)",
            ));
        }
    }

    fn cleanup(&mut self, name: &str, config: &Config, wanted: &str) {
        let found = config.get("cleanup.policy").map_or("", String::as_str);
        // Rows may also be deleted by age; anything else loses rows or keeps what must go.
        if found != wanted && !(wanted == "compact" && found.split(',').any(|policy| policy.trim() == "compact")) {
            self.say(Finding::problem(
                &format!("topic {name}"),
                format!("cleanup.policy is {found}"),
                format!("set cleanup.policy={wanted}"),
            ));
        }
    }

    fn timestamps(&mut self, name: &str, config: &Config) {
        let found = config.get("message.timestamp.type").map_or("", String::as_str);
        if found != "CreateTime" {
            self.say(Finding::problem(
                &format!("topic {name}"),
                format!("message.timestamp.type is {found}"),
                "set message.timestamp.type=CreateTime: what is too far in the future is judged by the producer's timestamp",
            ));
        }
    }

    fn dead_letter_size(&mut self, name: &str, config: &Config, inputs_take: i64) {
        let found = number(config, "max.message.bytes").unwrap_or(0);
        let needed = inputs_take + i64::try_from(DEAD_LETTER_HEADROOM).unwrap_or(0);
        let ours = i64::try_from(self.settings.largest_record).unwrap_or(i64::MAX);
        let subject = format!("topic {name}");
        if found < needed {
            self.say(Finding::problem(
                &subject,
                format!("max.message.bytes is {found}; a record of an input may have {inputs_take} bytes, and a dead letter more"),
                format!("set max.message.bytes={needed}"),
            ));
        } else if ours < needed {
            self.say(Finding::problem(
                &subject,
                format!("records up to {ours} bytes are written; a dead letter may need {needed}"),
                format!("set kafka.largest_record to {needed} or more"),
            ));
        }
    }

    /// Kafka deletes by the records' own timestamps: events dated long ago vanish soon after they are written.
    fn retention(&mut self, name: &str, partitions: u32, config: &Config) -> Result<(), Error> {
        let subject = format!("topic {name}");
        if number(config, "retention.bytes").is_some_and(|bytes| bytes >= 0) {
            self.say(Finding::problem(
                &subject,
                "retention.bytes deletes by size, whatever the state still needs",
                "set retention.bytes=-1 and bound it by retention.ms",
            ));
        }
        let Some(kept) = number(config, "retention.ms").filter(|kept| *kept >= 0) else {
            self.say(Finding::ok(&subject, "keeps its records for ever"));
            return Ok(());
        };
        #[allow(clippy::disallowed_methods)] // the broker deletes by its wall clock
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let days = |millis: i64| millis / (24 * 60 * 60 * 1000);
        let age = self.oldest(name, partitions)?.map(|oldest| now - oldest);
        self.say(match age {
            // Deletion goes by the newest record of a segment and is not at once: near the edge counts as over it.
            Some(age) if age > kept / 10 * 9 => Finding::problem(
                &subject,
                format!(
                    "has records dated {} days ago and keeps them {} days after their timestamps",
                    days(age),
                    days(kept)
                ),
                "they are about to be deleted, read or not; set retention.ms=-1, or longer than the data is old",
            ),
            _ => Finding::ok(&subject, format!("keeps records {} days after their timestamps", days(kept))),
        });
        Ok(())
    }

    /// The oldest timestamp among the first records of the partitions.
    fn oldest(&self, name: &str, partitions: u32) -> Result<Option<i64>, Error> {
        let reach = Arc::new(Reach::new());
        let mut reader = Reader::open(self.settings, "check", name, &reach)?;
        let begin: Result<Vec<(u32, Offset)>, Error> =
            (0..partitions).map(|partition| Ok((partition, reader.bounds(partition)?.0))).collect();
        reader.assign(&begin?)?;
        let mut first: BTreeMap<u32, Option<i64>> = BTreeMap::new();
        let deadline = std::time::Instant::now() + self.settings.timeouts.request;
        while first.len() < partitions as usize && std::time::Instant::now() < deadline {
            reader.poll(Duration::from_millis(100), &mut |partition, event| {
                let timestamp = match event {
                    Event::Record(message) => Some(message.timestamp()).filter(|timestamp| *timestamp >= 0),
                    Event::End(_) => None,
                };
                first.entry(partition).or_insert(timestamp);
            })?;
        }
        Ok(first.values().flatten().min().copied())
    }

    /// A topic with a life of its own.
    fn single(&mut self, name: &str, cleanup: &str) -> Result<(), Error> {
        if let Some((_, config)) = self.topic(name)? {
            self.cleanup(name, &config, cleanup);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_that_share_partition_numbers_are_made_alike_and_dead_letters_have_room() {
        let settings = Settings::new("127.0.0.1:1", "g", "i");
        let topics =
            wanted(&settings, &Creation { partitions: 6, replicas: 3, retention: None, audit_retention: 9 * DAY });
        let of = |name: &str| topics.iter().find(|(found, ..)| found == name).unwrap();
        let setting = |name: &str, key: &str| {
            of(name).2.iter().find(|(found, _)| *found == key).map(|(_, value)| value.clone()).unwrap()
        };
        for name in ["touchpoints", "conversions", "attributions", "attributions.dead-letter"] {
            assert_eq!(of(name).1, 6, "{name}");
            assert_eq!(setting(name, "min.insync.replicas"), "2");
        }
        let room = setting("attributions.dead-letter", "max.message.bytes").parse::<usize>().unwrap();
        assert!(room >= setting("conversions", "max.message.bytes").parse::<usize>().unwrap() + DEAD_LETTER_HEADROOM);
        assert_eq!(setting("attributions", "cleanup.policy"), "compact");
        assert_eq!(setting("conversions", "retention.ms"), "-1");
        assert_eq!((of("tributary.audit").1, setting("tributary.audit", "retention.ms")), (1, millis(9 * DAY)));
    }
}
