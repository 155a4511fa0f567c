//! A worker's two transactional producers, used in turn.
//!
//! A transaction that follows at once on the same transactional id meets the last one's markers and is sent away for 20 ms and
//! more; on the other id it does not. The next one begins only when the last commit has returned, so there is never more than
//! one transaction open.
//!
//! What is known when something fails depends on how far the transaction got. Until the end of the transaction is asked for,
//! nothing of it can be in the log, so every failure is [`Error::Aborted`] (or [`Error::Fenced`], if the group has gone on
//! without this member). From then on only success is certain: everything else is [`Error::Unknown`].
//!
//! librdkafka speaks the transaction protocol from before KIP-890, in which a delayed end of a transaction could end the next
//! one of the same producer. A producer whose commit was slow, or that lost a connection, is therefore replaced before its next
//! transaction: the new one has a higher epoch, and what is still under way is refused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};

use super::super::{Error, Outgoing, Output, Receipt};
use super::errors::{self, number};
use super::queues;
use super::reach::Reach;
use super::settings::Settings;
use super::slot::{Client, Context, Slot, Topics, Verdict, judge, pause};

/// A worker's producers, and the transaction open on one of them.
pub(super) struct Producers {
    settings: Settings,
    reach: Arc<Reach>,
    first: Slot,
    second: Slot,
    turn: bool,
    open: bool,
    dead_letters: BTreeSet<u32>,
    superseded: u32,
    renewals: u64,
}

/// So many times in a row without a commit between: then it is no accident of timing.
const SUPERSEDED_AT_MOST: u32 = 5;

impl Producers {
    /// Both producers, with `init_transactions` done.
    pub(super) fn start(settings: &Settings, worker: usize, reach: &Arc<Reach>) -> Result<Self, Error> {
        let id = |which| Slot::new(format!("{}-{}-{worker}-{which}", settings.transactional_prefix, settings.instance));
        let mut producers = Self {
            settings: settings.clone(),
            reach: Arc::clone(reach),
            first: id("a"),
            second: id("b"),
            turn: false,
            open: false,
            dead_letters: BTreeSet::new(),
            superseded: 0,
            renewals: 0,
        };
        producers.recover()?;
        Ok(producers)
    }

    /// Replaces both producers.
    pub(super) fn recover(&mut self) -> Result<(), Error> {
        self.open = false;
        // Both old ones go first: nothing of theirs is sent once a new one is there.
        (self.first.client, self.second.client) = (None, None);
        self.first.start(&self.settings, &self.reach)?;
        self.second.start(&self.settings, &self.reach)
    }

    /// Both are replaced before their next transaction.
    pub(super) fn renew(&mut self) {
        (self.first.renew, self.second.renew) = (true, true);
    }

    /// How often a producer was replaced because its last transaction was slow or failed.
    pub(super) fn renewals(&self) -> u64 {
        self.renewals
    }

    /// Asks something of one of the producers' clients.
    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(&rdkafka::client::Client<Context>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let client = self.first.client.as_ref().or(self.second.client.as_ref());
        let (client, _) = client.ok_or_else(|| Error::Unreachable("no producer".into()))?;
        question(client.client())
    }

    fn slot(&mut self) -> &mut Slot {
        if self.turn { &mut self.second } else { &mut self.first }
    }

    fn open(&self) -> Result<&(Client, Topics), Error> {
        let slot = if self.turn { &self.second } else { &self.first };
        slot.client.as_ref().filter(|_| self.open).ok_or_else(|| Error::Aborted("no transaction is open".into()))
    }

    fn client(&self) -> Result<&Client, Error> {
        self.open().map(|(client, _)| client)
    }

    pub(super) fn begin(&mut self) -> Result<(), Error> {
        if self.open {
            return Err(Error::Fatal("a transaction is open already".into()));
        }
        self.turn = !self.turn;
        self.dead_letters.clear();
        let slot = if self.turn { &mut self.second } else { &mut self.first };
        if slot.broke() || slot.renew {
            self.renewals += 1;
            slot.start(&self.settings, &self.reach)?;
        }
        let (client, _) = slot.client.as_ref().ok_or_else(|| Error::Unreachable("no producer".into()))?;
        let _: Option<String> = client.client().context().take_undelivered();
        if let Err(error) = client.begin_transaction() {
            slot.renew = true;
            return Err(Error::Aborted(format!("begin: {error}")));
        }
        self.open = true;
        Ok(())
    }

    pub(super) fn produce(&mut self, outgoing: &Outgoing<'_>) -> Result<(), Error> {
        let (client, topics) = self.open()?;
        let partition = number(outgoing.partition);
        loop {
            let sent = if outgoing.headers.is_empty() {
                topics.get(outgoing.output).produce(partition, outgoing.key, outgoing.value)
            } else {
                send_with_headers(client, self.settings.topics.output(outgoing.output), outgoing)
            };
            match sent {
                Ok(()) => break,
                // A record that cannot be delivered fails in the end, so the queue does get shorter.
                Err(Code::QueueFull) => drop(queues::flushed(client.client(), Duration::from_millis(2))),
                Err(code) => return Err(self.give_up(Verdict::Abort, format!("produce: {code}"))),
            }
        }
        if outgoing.output == Output::DeadLetter {
            self.dead_letters.insert(outgoing.partition);
        }
        Ok(())
    }

    /// Commits the open transaction with these offsets, in the name of this member of the group.
    pub(super) fn commit(
        &mut self,
        offsets: &TopicPartitionList,
        member: &ConsumerGroupMetadata,
    ) -> Result<Receipt, Error> {
        let started = Instant::now();
        loop {
            match self.client()?.send_offsets_to_transaction(offsets, member, self.settings.timeouts.transaction) {
                Ok(()) => break,
                Err(error) => match judge(&error) {
                    Verdict::Again => pause(),
                    verdict => return Err(self.give_up(verdict, format!("offsets: {error}"))),
                },
            }
        }
        // A record that cannot be delivered fails when the transaction's time is over; the rest is for telling so.
        let patience = self.settings.timeouts.transaction + Duration::from_secs(5);
        let client = self.client()?;
        if !queues::flushed(client.client(), patience.saturating_sub(started.elapsed())) {
            return Err(self.give_up(Verdict::Broken, "delivery: not done in time".into()));
        }
        if let Some(reason) = client.client().context().take_undelivered() {
            return Err(self.give_up(Verdict::Abort, format!("delivery: {reason}")));
        }
        self.end(started)
    }

    /// Asks for the end of the transaction. Before this nothing of it was in the log; after it only success is certain.
    fn end(&mut self, started: Instant) -> Result<Receipt, Error> {
        let slow = self.settings.socket_timeout() / 2;
        // Asked again for as long as it may make a difference. After that the broker has decided one way or the other, and a
        // new producer finds out: waiting on would only hide that nothing moves.
        let deadline = Instant::now() + self.settings.timeouts.transaction * 2;
        let outcome = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client()?.commit_transaction(left) {
                Err(error) if judge(&error) == Verdict::Again && !left.is_zero() => pause(),
                outcome => break outcome,
            }
        };
        self.open = false;
        let slot = self.slot();
        slot.renew |= slot.broke() || started.elapsed() > slow;
        match outcome {
            Ok(()) => {
                self.superseded = 0;
                self.reach.answered();
                Ok(self.receipt())
            }
            Err(error) => {
                self.renew();
                Err(self
                    .superseded(judge(&error), &error.to_string())
                    .unwrap_or_else(|| Error::Unknown(error.to_string())))
            }
        }
    }

    /// The last stable offset of each dead-letter partition that got records: that is behind them, or where the transaction's
    /// marker is not written yet, before them; never behind a later transaction's.
    fn receipt(&self) -> Receipt {
        let slot = if self.turn { &self.second } else { &self.first };
        let topic = self.settings.topics.output(Output::DeadLetter);
        let next = |partition: &u32| {
            let (client, _) = slot.client.as_ref()?;
            let ends = client.client().fetch_watermarks(topic, number(*partition), self.settings.timeouts.request);
            ends.ok().map(|(_, end)| (*partition, end))
        };
        Receipt { dead_letters_next: self.dead_letters.iter().filter_map(next).collect() }
    }

    /// Drops the open transaction, whose end was not asked for.
    pub(super) fn abort(&mut self) -> Result<(), Error> {
        if !self.open {
            return Ok(());
        }
        let deadline = Instant::now() + self.settings.timeouts.request;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client()?.abort_transaction(left) {
                Ok(()) => break,
                Err(error) if judge(&error) == Verdict::Again && !left.is_zero() => pause(),
                Err(error) => {
                    // (An abort without a limit may never return: seen after a broker was killed under a transaction.)
                    tracing::warn!(%error, "abort failed: new producer");
                    self.open = false;
                    return self.replace();
                }
            }
        }
        self.open = false;
        Ok(())
    }

    /// The error of a transaction that failed before its end was asked for, after dropping it.
    pub(super) fn give_up_as_zombie(&mut self, why: &str) -> Error {
        self.give_up(Verdict::Zombie, why.into())
    }

    fn give_up(&mut self, verdict: Verdict, why: String) -> Error {
        if let Some(error) = self.superseded(verdict, &why) {
            self.open = false;
            return error;
        }
        let broken = matches!(verdict, Verdict::Superseded | Verdict::Broken);
        self.open &= !broken;
        let dropped = if broken { self.replace() } else { self.abort() };
        match (dropped, verdict) {
            (Err(error), _) => error,
            (Ok(()), Verdict::Zombie) => Error::Fenced(why),
            (Ok(()), _) => Error::Aborted(why),
        }
    }

    /// A new producer with the current one's id, now: as it starts it aborts what is open under that id, and until then the
    /// broker tells nobody what is committed. [`Error::Unknown`], so that it is settled later, if it cannot start now.
    fn replace(&mut self) -> Result<(), Error> {
        self.renewals += 1;
        let slot = if self.turn { &mut self.second } else { &mut self.first };
        slot.start(&self.settings, &self.reach).map_err(|error| match error {
            Error::Fatal(_) => error,
            other => Error::Unknown(other.to_string()),
        })
    }

    /// Counts how often another producer took the id. A transaction that timed out on the broker looks the same, so it is
    /// fatal only when it goes on.
    fn superseded(&mut self, verdict: Verdict, why: &str) -> Option<Error> {
        if verdict != Verdict::Superseded {
            return None;
        }
        self.superseded += 1;
        (self.superseded >= SUPERSEDED_AT_MOST).then(|| {
            Error::Fatal(format!(
                "transactional id {}: taken by another process again and again ({why}); give each instance its own name",
                self.slot().id
            ))
        })
    }
}

fn send_with_headers(client: &Client, topic: &str, outgoing: &Outgoing<'_>) -> Result<(), Code> {
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(number(outgoing.partition));
    (record.key, record.payload) = (outgoing.key, outgoing.value);
    let room = OwnedHeaders::new_with_capacity(outgoing.headers.len());
    let headers = outgoing.headers.iter();
    record.headers = Some(headers.fold(room, |all, (key, value)| all.insert(Header { key, value: Some(*value) })));
    client.send(record).map_err(|(error, _)| errors::code(&error))
}
