//! Questions about topics and brokers, and making topics.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::util::Timeout;

use super::super::{Error, LogIdentity, PerInput};
use super::errors::{self, unmade, unreachable};
use super::reach::Reach;
use super::settings::{Names, Settings};

/// How many partitions a topic has.
pub(super) fn partitions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    wait: Duration,
    reach: &Reach,
) -> Result<u32, Error> {
    let missing = || {
        Error::Fatal(format!(
            "topic {topic} does not exist, or may not be described; `tributary topics create` makes it"
        ))
    };
    let metadata = client
        .fetch_metadata(Some(topic), wait)
        .map_err(|error| unreachable(reach, &format!("topic {topic}"), &error))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic).ok_or_else(missing)?;
    match found.error() {
        None => u32::try_from(found.partitions().len()).map_err(|_| missing()),
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) => {
            Err(Error::Unreachable(format!("topic {topic} has no leader yet")))
        }
        Some(_) => Err(missing()),
    }
}

/// Which log this is: cluster, input topics, their common number of partitions.
pub(super) fn identity<C: ClientContext>(
    client: &Client<C>,
    names: &Names,
    wait: Duration,
    reach: &Reach,
) -> Result<LogIdentity, Error> {
    let topics = PerInput::from_fn(|input| names.input(input).to_owned());
    let counts = PerInput::try_from_fn(|input| partitions(client, names.input(input), wait, reach))?;
    for (other, topic) in [(counts.conversions, &topics.conversions)] {
        if other != counts.touchpoints {
            return Err(Error::Fatal(format!(
                "topic {topic} has {other} partitions, {} has {}: inputs must have the same number, and records of one user \
                 the same partition number",
                topics.touchpoints, counts.touchpoints
            )));
        }
    }
    let cluster = client
        .fetch_cluster_id(wait)
        .ok_or_else(|| Error::Unreachable("the cluster's id was not told in time".into()))?;
    Ok(LogIdentity { cluster, topics, partitions: counts.touchpoints })
}

/// A topic as the cluster knows it.
pub(super) struct Topic {
    pub(super) partitions: u32,
    pub(super) replicas: usize,
}

/// The error of a question that was not answered this time.
fn unanswered(what: &str, error: &KafkaError) -> Error {
    Error::Unreachable(format!("{what}: {error}"))
}

/// For the commands, after the first [`Contact`](super::contact::Contact), which says in plain words why no broker answers. Not
/// for the async runtime's threads: it runs one of its own.
pub(super) struct Admin {
    client: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
    wait: Duration,
}

impl Admin {
    pub(super) fn open(settings: &Settings) -> Result<Self, Error> {
        let client = settings.admin().create().map_err(|error: KafkaError| unmade("admin client", &error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Fatal(format!("kafka admin client: {error}")))?;
        Ok(Self { client, runtime, wait: settings.timeouts.request })
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(Timeout::After(self.wait)))
            .operation_timeout(Some(Timeout::After(self.wait)))
    }

    /// The topic, or none if there is no such one (or it may not be described).
    pub(super) fn topic(&self, name: &str) -> Result<Option<Topic>, Error> {
        let metadata = self
            .client
            .inner()
            .fetch_metadata(Some(name), self.wait)
            .map_err(|error| unanswered(&format!("topic {name}"), &error))?;
        let found = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
        Ok(found.map(|topic| Topic {
            partitions: u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX),
            replicas: topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
        }))
    }

    /// The number of some broker, whose settings stand for all.
    pub(super) fn broker(&self) -> Result<i32, Error> {
        let metadata =
            self.client.inner().fetch_metadata(None, self.wait).map_err(|error| unanswered("brokers", &error))?;
        let first = metadata.brokers().first().map(rdkafka::metadata::MetadataBroker::id);
        first.ok_or_else(|| Error::Unreachable("no broker told of".into()))
    }

    /// The settings of a topic or broker; none when they may not be asked for. (rdkafka passes over the brokers' refusal, which
    /// then looks like a resource without settings. There is no such one.)
    pub(super) fn settings(&self, of: &ResourceSpecifier<'_>) -> Result<Option<BTreeMap<String, String>>, Error> {
        let answer = self.runtime.block_on(self.client.describe_configs([of], &self.options()));
        let mut answer = answer.map_err(|error| unanswered("settings", &error))?;
        let entries = answer.pop().and_then(Result::ok).map(|resource| resource.entries).unwrap_or_default();
        let settings: BTreeMap<_, _> =
            entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
        Ok(Some(settings).filter(|settings| !settings.is_empty()))
    }

    /// Who is in the group: each member's client, and the host it comes from.
    pub(super) fn members(&self, group: &str) -> Result<Vec<String>, Error> {
        let groups = self.client.inner().fetch_group_list(Some(group), self.wait);
        let groups = groups.map_err(|error| unanswered(&format!("group {group}"), &error))?;
        let members = groups.groups().iter().filter(|found| found.name() == group).flat_map(|found| found.members());
        Ok(members.map(|member| format!("{} from {}", member.client_id(), member.client_host())).collect())
    }

    /// Makes a topic. What the broker says when it does not.
    pub(super) fn create(
        &self,
        name: &str,
        partitions: u32,
        replicas: u32,
        settings: &[(&str, String)],
    ) -> Result<Result<(), Code>, Error> {
        let count = errors::number;
        let mut topic = NewTopic::new(name, count(partitions), TopicReplication::Fixed(count(replicas)));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        let answer = self.runtime.block_on(self.client.create_topics([&topic], &self.options()));
        let mut answer = answer.map_err(|error| unanswered(&format!("topic {name}"), &error))?;
        match answer.pop() {
            Some(Ok(_)) => Ok(Ok(())),
            Some(Err((_, code))) => Ok(Err(code)),
            None => Ok(Err(Code::Fail)),
        }
    }
}
