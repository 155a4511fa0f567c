//! The member of the consumer group: one worker's partitions, and reading them.
//!
//! The member subscribes to the lead topic alone. librdkafka's assignors would spread touchpoints-3 and conversions-3 over two
//! members; so the group is about the lead topic, and the same partition numbers of the other inputs are assigned by hand, when
//! [`Member::seek`] names their offsets.

mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset as Position, TopicPartitionList};

use super::super::{Assignment, Bounds, Committed, Error, Head, Input, Limit, Offset, PerInput, Records};
use super::coverage::Coverage;
use super::errors::{self, number, refusal, unreachable, verdict};
use super::group::Context;
use super::queues::{self, Message, Queue, Wake};
use super::reach::Reach;

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
    coverage: Coverage,
    /// Since when no broker has answered, or there is a new client for it; and for how long it then waits for the next.
    silent: Option<(Instant, Duration)>,
    looked_anew: bool,
    /// When it last went on though it was told that another process has its name.
    forgiven: Option<Instant>,
    request: Duration,
    /// Whether it leaves the group when it is dropped.
    leaves: bool,
    config: ClientConfig,
    consumer: Arc<BaseConsumer<Context>>,
}

impl Member {
    /// Joins the group. Partitions come with [`Member::poll`].
    pub(super) fn join(
        config: ClientConfig,
        topics: PerInput<String>,
        coverage: Coverage,
        reach: Arc<Reach>,
        request: Duration,
        leaves: bool,
    ) -> Result<Self, Error> {
        let wake = Arc::new(Wake::default());
        let (consumer, own) = subscribe(&config, Context::new(topics, reach), &wake)?;
        let (flows, probed) = (BTreeMap::new(), Instant::now());
        Ok(Self {
            flows,
            own,
            wake,
            took: false,
            probed,
            coverage,
            silent: None,
            looked_anew: false,
            forgiven: None,
            request,
            leaves,
            config,
            consumer,
        })
    }

    /// Goes on as a new client: everything owned is lost.
    fn renew(&mut self) -> Result<(), Error> {
        let old = self.context();
        let context = Context::new(old.topics.clone(), Arc::clone(&old.reach));
        {
            let (mut before, mut after) = (old.share(), context.share());
            after.changes = std::mem::take(&mut before.changes);
            after.changes.extend(before.owned.iter().copied().map(Assignment::Lost));
            after.unheard = before.unheard;
        }
        let (consumer, own) = subscribe(&self.config, context, &self.wake)?;
        self.own = own;
        self.consumer = consumer;
        Ok(())
    }

    /// Gives everything back and leaves the group. Closing does not: a member with a name is taken to come back. So what there is
    /// is waited for until librdkafka has forgotten its member id, which it does as it asks to leave. And closed with a rebalance
    /// not yet served, librdkafka ends the group's state machine at the first answer to it and waits for ever for the second; so
    /// what there is is served while that still runs.
    fn leave(&mut self) {
        self.flows.clear();
        self.consumer.unsubscribe();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            drop(self.consumer.poll(Duration::ZERO));
            let left = queues::generation(&self.consumer).is_none();
            if left && self.own.len() == 0 && self.context().share().owned.is_empty() {
                return;
            }
            self.wake.wait(deadline.min(Instant::now() + Duration::from_millis(20)));
        }
        self.close();
    }

    /// Ends without leaving: the group keeps the partitions of a member that has a name until its session is over. For what
    /// [`Self::leave`] says this may never end by itself; then the client is left to the end of the process.
    fn close(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        self.flows.clear();
        let deadline = Instant::now() + PATIENCE;
        while self.own.len() > 0 && Instant::now() < deadline {
            drop(self.consumer.poll(Duration::ZERO));
        }
        if let Err(error) = self.consumer.close_queue() {
            tracing::warn!(%error, "kafka consumer: not closed");
            return;
        }
        while !self.consumer.closed() {
            if Instant::now() >= deadline {
                tracing::warn!("kafka consumer: not closed in {PATIENCE:?}");
                std::mem::forget(Arc::clone(&self.consumer));
                return;
            }
            drop(self.consumer.poll(Duration::from_millis(20)));
        }
    }

    fn context(&self) -> &Context {
        self.consumer.context()
    }

    /// See [`super::super::TopicLog::poll`].
    pub(super) fn poll(&mut self, wait: Duration) -> Result<Vec<Assignment>, Error> {
        let deadline = Instant::now() + wait;
        let mut fresh = self.wake.take() || std::mem::take(&mut self.took);
        if self.told() && self.context().reach.trouble().is_none() && self.coverage.wants_another_round(&self.consumer)
        {
            tracing::warn!(
                "partitions have no member though the group is settled: joining it again, so that it shares them out"
            );
            self.leave();
            self.renew()?;
        }
        loop {
            self.serve()?;
            let changes = self.changes()?;
            let ready = fresh && self.flows.values_mut().any(|flow| flow.queue.ready());
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
                Some(Err(KafkaError::MessageConsumptionFatal(Code::FencedInstanceId))) if self.forgotten() => {
                    tracing::warn!("the group does not know this member any more: joining it again");
                    // Fenced by its id there is nothing to leave, and no rebalance is served any more that could be waited for.
                    match queues::generation(&self.consumer) {
                        Some(_) => {
                            self.forgiven = Some(Instant::now());
                            self.flows.clear();
                        }
                        None => self.leave(),
                    }
                    return self.renew();
                }
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

    /// Whether the partition is this member's by all it knows: a lost session shows here before the next poll tells it.
    pub(super) fn owns(&self, partition: u32) -> bool {
        self.context().share().owned.contains(&partition) && !self.consumer.assignment_lost()
    }

    /// Whether the group has told this member its share, and the last poll has passed all of it on.
    pub(super) fn told(&self) -> bool {
        let share = self.context().share();
        share.told && share.changes.is_empty()
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
        let answer = self.consumer.committed_offsets(context.list([partition]), self.request);
        let answer = answer.map_err(|error| match errors::code(&error) {
            // The brokers may well be there.
            Code::OperationTimedOut => Error::Unreachable(format!(
                "committed offsets of partition {partition}: no answer in {:?}; if it stays so, a transaction over them hangs: \
                 see `kafka-transactions.sh find-hanging`",
                self.request
            )),
            _ => unreachable(&context.reach, "committed offsets", &error),
        })?;
        context.reach.answered();
        PerInput::try_from_fn(|input| {
            let topic = context.topics.get(input);
            let unknown = || Error::Unreachable(format!("no committed offset told of {topic}-{partition}"));
            let element = answer.find_partition(topic, number(partition)).ok_or_else(unknown)?;
            element
                .error()
                .map_err(|error| Error::Unreachable(format!("committed offset of {topic}-{partition}: {error}")))?;
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
        let fatal =
            |error: KafkaError| Error::Fatal(format!("kafka consumer: assigning partition {partition}: {error}"));
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
        let Some(flow) = self.flows.get_mut(&(partition, input)) else {
            return Ok(());
        };
        let (records, bytes) = (into.len(), into.bytes());
        while into.len() - records < limit.records && into.bytes() - bytes < limit.bytes {
            let Some(message) = flow.queue.next(limit.records, Duration::ZERO) else {
                break;
            };
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

impl Drop for Member {
    fn drop(&mut self) {
        if self.leaves {
            self.leave();
        } else {
            self.close();
        }
    }
}

/// A consumer that is subscribed to the lead topic, and its own queue.
fn subscribe(
    config: &ClientConfig,
    context: Context,
    wake: &Arc<Wake>,
) -> Result<(Arc<BaseConsumer<Context>>, Queue<Context>), Error> {
    let fatal = |error: KafkaError| Error::Fatal(format!("kafka consumer: {error}"));
    let lead = context.topics.touchpoints.clone();
    let mut consumer: BaseConsumer<Context> =
        config.create_with_context(context).map_err(|error| errors::unmade("consumer", &error))?;
    let signal = Arc::clone(wake);
    consumer.set_nonempty_callback(move || signal.signal());
    let consumer = Arc::new(consumer);
    let own = Queue::of_consumer(&consumer).ok_or_else(|| Error::Fatal("kafka consumer without a queue".into()))?;
    consumer.subscribe(&[&lead]).map_err(fatal)?;
    Ok((consumer, own))
}

fn push(message: &Message, input: Input, into: &mut Records) {
    let head = Head { input, offset: message.offset(), logged_at: message.timestamp() };
    into.push(head, message.key(), message.value(), &message.headers());
}
