//! The member of the consumer group: one worker's partitions, and reading them.
//!
//! The member subscribes to the lead topic alone. librdkafka's assignors would spread touchpoints-3 and conversions-3 over two
//! members; so the group is about the lead topic, and the same partition numbers of the other inputs are assigned by hand.
//! `rebalance` is overridden whole: rdkafka's own would assign the partitions at committed offsets by itself. Here a gained
//! partition is acknowledged and nothing of it is read before [`Member::seek`], which names every offset.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset as Position, TopicPartitionList};

use super::super::{Assignment, Bounds, Committed, Error, Head, Input, Limit, Offset, PerInput, Records};
use super::queues::{self, Message, Queue, Wake};
use super::reach::{self, Reach};

/// What the group's callback leaves for the next poll.
#[derive(Debug, Default)]
struct Share {
    owned: BTreeSet<u32>,
    started: BTreeSet<u32>,
    changes: Vec<Assignment>,
    fatal: Option<String>,
}

/// librdkafka's callbacks into a member.
pub(super) struct Context {
    topics: PerInput<String>,
    reach: Arc<Reach>,
    share: Mutex<Share>,
}

impl Context {
    fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner) // every change below is of one value
    }

    fn list(&self, partitions: impl IntoIterator<Item = u32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            for input in Input::ALL {
                list.add_partition(self.topics.get(input), number(partition));
            }
        }
        list
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &[u32]) {
        let mut share = self.share();
        let started: Vec<u32> = partitions.iter().copied().filter(|p| share.started.remove(p)).collect();
        if let Err(error) = consumer.incremental_unassign(&self.list(started)) {
            share.fatal.get_or_insert(format!("could not give partitions back to the group: {error}"));
        }
        for partition in partitions {
            if share.owned.remove(partition) {
                share.changes.push(Assignment::Lost(*partition));
            }
        }
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &[u32]) {
        let mut share = self.share();
        // An empty list acknowledges: the group goes on, and nothing is read yet.
        if let Err(error) = consumer.incremental_assign(&TopicPartitionList::new()) {
            share.fatal.get_or_insert(format!("could not take partitions from the group: {error}"));
        }
        for partition in partitions {
            if share.owned.insert(*partition) {
                share.changes.push(Assignment::Gained(*partition));
            }
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        reach::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match reach::code(&error) {
            Code::AllBrokersDown | Code::Authentication | Code::SaslAuthenticationFailed => self.reach.failed(reason),
            code => tracing::warn!(%code, reason, "kafka consumer"),
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let lead = self.topics.get(Input::Touchpoints);
        let partitions: Vec<u32> =
            list.elements_for_topic(lead).iter().filter_map(|element| u32::try_from(element.partition()).ok()).collect();
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, &partitions),
            _ => self.revoke(consumer, &partitions),
        }
    }
}

/// Reading one input of one partition.
struct Flow {
    queue: Queue<Context>,
    /// Nothing below it is handed out: what was fetched before a seek may still arrive.
    next: Offset,
}

/// A member of the group.
pub(super) struct Member {
    flows: BTreeMap<(u32, Input), Flow>,
    own: Queue<Context>,
    wake: Arc<Wake>,
    /// Whether records were handed out since the last poll: only then does what is still queued count as something to do.
    took: bool,
    probed: Instant,
    request: Duration,
    consumer: Arc<BaseConsumer<Context>>,
}

pub(super) fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX) // Kafka numbers partitions with 31 bits
}

impl Member {
    /// Joins the group. Partitions come with [`Member::poll`].
    pub(super) fn join(
        config: &ClientConfig,
        topics: PerInput<String>,
        reach: Arc<Reach>,
        request: Duration,
    ) -> Result<Self, Error> {
        let fatal = |error: KafkaError| Error::Fatal(format!("kafka consumer: {error}"));
        let lead = topics.touchpoints.clone();
        let context = Context { topics, reach, share: Mutex::default() };
        let mut consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(fatal)?;
        let wake = Arc::new(Wake::default());
        let signal = Arc::clone(&wake);
        consumer.set_nonempty_callback(move || signal.signal());
        let consumer = Arc::new(consumer);
        let own = Queue::of_consumer(&consumer).ok_or_else(|| Error::Fatal("kafka consumer without a queue".into()))?;
        consumer.subscribe(&[&lead]).map_err(fatal)?;
        Ok(Self { flows: BTreeMap::new(), own, wake, took: false, probed: Instant::now(), request, consumer })
    }

    fn context(&self) -> &Context {
        self.consumer.context()
    }

    /// See [`super::super::TopicLog::poll`].
    pub(super) fn poll(&mut self, wait: Duration) -> Result<Vec<Assignment>, Error> {
        let deadline = Instant::now() + wait;
        let mut fresh = self.wake.take() || std::mem::take(&mut self.took);
        loop {
            self.serve()?;
            let changes = self.changes()?;
            let ready = fresh && self.flows.values().any(|flow| flow.queue.len() > 0);
            if !changes.is_empty() || ready {
                return Ok(changes);
            }
            if Instant::now() >= deadline {
                return self.reachable().map(|()| changes);
            }
            fresh = self.wake.wait(deadline);
        }
    }

    /// Serves rebalances, errors and log lines.
    fn serve(&mut self) -> Result<(), Error> {
        loop {
            // Each poll serves one event, and the first one tells the group that this worker is alive.
            match self.consumer.poll(Duration::ZERO) {
                None => {}
                Some(Err(error)) => verdict(&error)?,
                Some(Ok(record)) => {
                    // Partition queues are cut off before they are assigned, so that this cannot be.
                    return Err(Error::Fatal(format!("a record of {} came past its queue", {
                        use rdkafka::Message as _;
                        record.topic()
                    })));
                }
            }
            if self.own.len() == 0 {
                return Ok(());
            }
        }
    }

    fn changes(&mut self) -> Result<Vec<Assignment>, Error> {
        let mut share = self.context().share();
        if let Some(fatal) = share.fatal.take() {
            return Err(Error::Fatal(fatal));
        }
        let changes = std::mem::take(&mut share.changes);
        drop(share);
        for change in &changes {
            if let Assignment::Lost(partition) = change {
                self.flows.retain(|(of, _), _| of != partition);
            }
        }
        Ok(changes)
    }

    /// While the brokers are down, asks now and then whether they are back.
    fn reachable(&mut self) -> Result<(), Error> {
        const BETWEEN: Duration = Duration::from_secs(1);
        let reach = Arc::clone(&self.context().reach);
        let Some(trouble) = reach.trouble() else { return Ok(()) };
        if self.probed.elapsed() >= BETWEEN {
            self.probed = Instant::now();
            let lead = self.context().topics.touchpoints.clone();
            if self.consumer.fetch_metadata(Some(&lead), Duration::from_millis(500)).is_ok() {
                reach.answered();
                return Ok(());
            }
        }
        Err(Error::Unreachable(trouble))
    }

    /// Whether the partition is this member's by all it knows: a lost session shows here before the next poll tells it.
    pub(super) fn owns(&self, partition: u32) -> bool {
        self.context().share().owned.contains(&partition) && !self.consumer.assignment_lost()
    }

    /// The group's word on this member, asked for anew: a commit with it is refused once the group has gone on without it.
    pub(super) fn credentials(&self) -> Option<ConsumerGroupMetadata> {
        queues::generation(&self.consumer)?;
        self.consumer.group_metadata()
    }

    /// See [`super::super::TopicLog::committed`]. Being a reader of committed records makes the broker hold the answer back
    /// while a transaction over these offsets is undecided.
    pub(super) fn committed(&self, partition: u32) -> Result<PerInput<Option<Committed>>, Error> {
        let context = self.context();
        let answer = self
            .consumer
            .committed_offsets(context.list([partition]), self.request)
            .map_err(|error| unreachable(&context.reach, "committed offsets", &error))?;
        context.reach.answered();
        PerInput::try_from_fn(|input| {
            let topic = context.topics.get(input);
            let unknown = || Error::Unreachable(format!("no committed offset told of {topic}-{partition}"));
            let element = answer.find_partition(topic, number(partition)).ok_or_else(unknown)?;
            element.error().map_err(|error| Error::Unreachable(format!("committed offset of {topic}-{partition}: {error}")))?;
            match element.offset() {
                Position::Offset(next) => Ok(Some(Committed { next, metadata: element.metadata().to_owned() })),
                Position::Invalid => Ok(None),
                _ => Err(unknown()),
            }
        })
    }

    /// See [`super::super::TopicLog::bounds`]. To a reader of committed records the broker tells the last stable offset as
    /// the end.
    pub(super) fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, Error> {
        let (start, end) = self
            .consumer
            .fetch_watermarks(topic, number(partition), self.request)
            .map_err(|error| unreachable(&self.context().reach, &format!("offsets of {topic}-{partition}"), &error))?;
        self.context().reach.answered();
        Ok(Bounds { start, end })
    }

    /// See [`super::super::TopicLog::known_end`].
    pub(super) fn known_end(&self, partition: u32, input: Input) -> Option<Offset> {
        queues::known_end(&self.consumer, self.context().topics.get(input), number(partition))
    }

    /// See [`super::super::TopicLog::seek`]. The partition is unassigned first: that puts a version barrier behind which
    /// librdkafka discards what it has fetched, and our own queues' rest goes with their flows.
    pub(super) fn seek(&mut self, partition: u32, next: PerInput<Offset>) -> Result<(), Error> {
        if !self.owns(partition) {
            return Err(Error::Fenced(format!("partition {partition} is not assigned to this worker")));
        }
        self.flows.retain(|(of, _), _| *of != partition);
        let fatal = |error: KafkaError| Error::Fatal(format!("kafka consumer: assigning partition {partition}: {error}"));
        if self.context().share().started.remove(&partition) {
            self.consumer.incremental_unassign(&self.context().list([partition])).map_err(fatal)?;
        }
        let mut list = TopicPartitionList::new();
        for input in Input::ALL {
            let topic = self.context().topics.get(input);
            let next = *next.get(input);
            list.add_partition_offset(topic, number(partition), Position::Offset(next)).map_err(fatal)?;
            let queue = Queue::of_partition(&self.consumer, topic, number(partition), &self.wake)
                .ok_or_else(|| Error::Fatal(format!("kafka consumer: no queue for {topic}-{partition}")))?;
            self.flows.insert((partition, input), Flow { queue, next });
        }
        self.consumer.incremental_assign(&list).map_err(fatal)?;
        self.context().share().started.insert(partition);
        Ok(())
    }

    /// See [`super::super::TopicLog::fetch`].
    pub(super) fn fetch(
        &mut self,
        partition: u32,
        input: Input,
        limit: Limit,
        into: &mut Records,
    ) -> Result<(), Error> {
        let Some(flow) = self.flows.get_mut(&(partition, input)) else { return Ok(()) };
        let (records, bytes) = (into.len(), into.bytes());
        while into.len() - records < limit.records && into.bytes() - bytes < limit.bytes {
            let Some(message) = flow.queue.next(limit.records, Duration::ZERO) else { break };
            if let Some((code, text)) = message.error() {
                if into.len() > records {
                    flow.queue.put_back(message); // told once what was read before it is safe with the caller
                    break;
                }
                let topic = self.consumer.context().topics.get(input);
                return Err(refusal(topic, partition, flow.next, code, &text));
            }
            if message.offset() >= flow.next {
                flow.next = message.offset() + 1;
                push(&message, input, into);
            }
        }
        if into.len() > records {
            self.took = true;
            self.context().reach.answered();
        }
        Ok(())
    }
}

fn push(message: &Message, input: Input, into: &mut Records) {
    let head = Head { input, offset: message.offset(), logged_at: message.timestamp() };
    into.push(head, message.key(), message.value(), &message.headers());
}

/// What an error in a partition's stream means.
fn refusal(topic: &str, partition: u32, next: Offset, code: Code, text: &str) -> Error {
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => Error::Fatal(format!(
            "{topic}-{partition}: offset {next} is not in the log any more ({text}). Retention has passed it or the topic was \
             made anew: restore a newer state, or begin with a new group, data folder and output topic"
        )),
        Code::TopicAuthorizationFailed => Error::Fatal(format!(
            "{topic}-{partition}: reading is not permitted; grant Read and Describe on the topic {topic}"
        )),
        _ => Error::Unreachable(format!("{topic}-{partition}: {text}")),
    }
}

/// What an error on the consumer's own queue means. Most are told for the log's sake: librdkafka tries again by itself.
fn verdict(error: &KafkaError) -> Result<(), Error> {
    let code = reach::code(error);
    match error {
        KafkaError::MessageConsumptionFatal(_) => {
            let way_out = match code {
                Code::FencedInstanceId => ": another process runs with this instance's name; give each its own",
                _ => "",
            };
            Err(Error::Fatal(format!("kafka consumer: {code}{way_out}")))
        }
        _ => match code {
            Code::GroupAuthorizationFailed => {
                Err(Error::Fatal("kafka consumer: grant Read and Describe on the group".into()))
            }
            Code::TopicAuthorizationFailed => {
                Err(Error::Fatal("kafka consumer: grant Read and Describe on the input topics".into()))
            }
            Code::InconsistentGroupProtocol => Err(Error::Fatal(
                "kafka consumer: the group has members of another kind; give Tributary a group of its own".into(),
            )),
            Code::InvalidSessionTimeout => Err(Error::Fatal(
                "kafka consumer: the session timeout is outside the broker's group.min/max.session.timeout.ms".into(),
            )),
            _ => Ok(()),
        },
    }
}

/// A question that was not answered: nothing changed, it can be asked again.
pub(super) fn unreachable(reach: &Reach, what: &str, error: &KafkaError) -> Error {
    let code = reach::code(error);
    match code {
        Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            Error::Fatal(format!("{what}: not permitted ({code}); see the list of permissions in docs/operations.md"))
        }
        _ => {
            if reach::is_transport(code) {
                reach.failed(&format!("{what}: {code}"));
            }
            Error::Unreachable(format!("{what}: {code}"))
        }
    }
}
