//! The worker: one thread, its own consumer and producers, the partitions that the group gives it.
//!
//! A turn is: what the group gave or took; then every partition one step on its way to live; then one transaction over
//! what the live ones have prepared, and after its commit the writes. Nothing is prepared across turns, so a partition
//! that comes or goes between two turns finds nothing half done.

use std::sync::Arc;
use std::time::Duration;

use super::observe::{Moment, Observer};
use super::options::{Options, Parts};
use super::panics::Panics;
use super::partition::{Owned, Phase};
use super::prepare::Engine;
use crate::core::Millis;
use crate::store::{self, Holder};
use crate::topics::{self, Assignment, LogIdentity, TopicLog};

/// How long a worker that ends waits for queries that still read what it gives up.
const DRAIN: Duration = Duration::from_secs(2);

/// How long one turn may wait for the log to have something.
const IDLE: Duration = Duration::from_millis(100);
/// As [`IDLE`], while there is something to be sealed anew.
const RESEALING: Duration = Duration::from_millis(5);
/// Rows that one turn looks at for a partition that is to be sealed anew: two milliseconds, or three.
const RESEAL: usize = 2_000;

/// How often the lag is told, in milliseconds.
const TELL_LAG: Millis = 1_000;

/// Why a worker ended; each ends the process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// State, offsets and log do not belong together.
    #[error("{0}")]
    Refused(String),
    /// The state cannot be trusted or used any more.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Anything else that cannot be survived.
    #[error("{0}")]
    Fatal(String),
    /// The log said no.
    #[error(transparent)]
    Log(#[from] topics::Error),
}

/// A partition that was gained.
#[derive(Debug)]
struct Waiting {
    number: u32,
    /// Since when it is known to be read here still, by whom it was given up.
    since: Option<Millis>,
}

/// One worker.
pub struct Worker<L, O> {
    pub(super) log: L,
    pub(super) engine: Engine,
    pub(super) options: Options,
    pub(super) parts: Parts,
    pub(super) observer: O,
    identity: Option<LogIdentity>,
    pub(super) owned: Vec<Owned>,
    /// Partitions that were gained but whose state could not be opened yet.
    waiting: Vec<Waiting>,
    /// When the last transaction began.
    pub(super) began_at: Millis,
    /// Whether the last batch was full, so that the next one need not wait.
    full: bool,
    /// Where the next preparation starts.
    prepared_last: usize,
    /// Whether an earlier transaction may be open.
    unsettled: bool,
    reachable: bool,
    pub(super) panics: Panics,
    /// How many giants in a row outlasted their transaction.
    pub(super) outlasted: u32,
    /// When the lag was told last.
    lag_told_at: Millis,
}

impl<L: TopicLog, O: Observer> Worker<L, O> {
    /// A worker over its own view of the log.
    pub fn new(log: L, engine: Engine, options: Options, parts: Parts, observer: O) -> Self {
        Self {
            log,
            engine,
            options,
            parts,
            observer,
            identity: None,
            owned: Vec::new(),
            waiting: Vec::new(),
            began_at: 0,
            full: false,
            prepared_last: 0,
            unsettled: false,
            reachable: true,
            panics: Panics::default(),
            outlasted: 0,
            lag_told_at: 0,
        }
    }

    /// The partitions that this worker answers live.
    pub fn live(&self) -> impl Iterator<Item = u32> {
        self.owned.iter().filter(|owned| matches!(owned.phase, Phase::Live)).map(|owned| owned.number)
    }

    /// Runs until `stop` says so, then gives every partition up with its state on disk.
    pub fn run(&mut self, stop: impl Fn() -> bool) -> Result<(), Error> {
        let mut busy = false;
        while !stop() {
            let pace = self.pace();
            std::thread::sleep(pace);
            let idle = if self.owned.iter().any(|owned| owned.store().is_resealing()) { RESEALING } else { IDLE };
            let wait = if busy || !pace.is_zero() { Duration::ZERO } else { idle };
            busy = self.turn(wait)?;
        }
        self.close()
    }

    /// How long the next batch may still grow: transactions that are not full begin at a distance.
    fn pace(&self) -> Duration {
        if self.full {
            return Duration::ZERO;
        }
        let next = self.began_at + self.options.batch_latency - (self.parts.clock)();
        Duration::from_millis(next.clamp(0, self.options.batch_latency).unsigned_abs())
    }

    /// Flushes and gives up every partition.
    pub fn close(&mut self) -> Result<(), Error> {
        for owned in std::mem::take(&mut self.owned) {
            owned.store().flush()?;
            self.give_up(owned, DRAIN)?;
        }
        Ok(())
    }

    /// One turn, which first waits up to `wait` for something to do. Returns whether anything was done.
    pub fn turn(&mut self, wait: Duration) -> Result<bool, Error> {
        match self.try_turn(wait) {
            Ok(busy) => {
                self.log_answered();
                Ok(busy)
            }
            Err(Error::Log(error)) => self.survive(error).map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// What the log's verdicts ask for. Whatever was prepared is dropped: its records are taken from the log again, from
    /// what the group has committed, which is the truth.
    fn survive(&mut self, error: topics::Error) -> Result<(), Error> {
        match error {
            topics::Error::Fatal(_) => return Err(error.into()),
            topics::Error::Unreachable(why) => {
                self.reachable = false;
                self.observer.notice(Moment::LogUnreachable(&why));
                return Ok(());
            }
            topics::Error::Aborted(_) => {}
            topics::Error::Unknown(_) | topics::Error::Fenced(_) => self.unsettled = true,
        }
        self.observer.notice(Moment::Failed(&error));
        self.owned.iter_mut().for_each(Owned::retake);
        Ok(())
    }

    fn log_answered(&mut self) {
        if !self.reachable {
            self.reachable = true;
            self.observer.notice(Moment::LogReachable);
        }
    }

    fn try_turn(&mut self, wait: Duration) -> Result<bool, Error> {
        self.observer.tick(true);
        self.settle()?;
        let assignments = self.log.poll(wait)?;
        self.observer.tick(false);
        for assignment in assignments {
            match assignment {
                Assignment::Gained(number) => self.gain(number),
                Assignment::Lost(number) => self.lose(number)?,
            }
        }
        self.observer.notice(Moment::Member(self.log.is_member())); // after what it gained, or it would look as if it had none
        self.open_waiting()?;
        let mut busy = self.advance()?;
        busy |= self.answer()?;
        self.keep()?;
        Ok(busy)
    }

    fn gain(&mut self, number: u32) {
        self.observer.notice(Moment::Gained { partition: number });
        match self.owned.iter_mut().find(|owned| owned.number == number) {
            Some(owned) => owned.retake(),
            None if self.waiting.iter().any(|waiting| waiting.number == number) => {}
            None => self.waiting.push(Waiting { number, since: None }),
        }
    }

    fn lose(&mut self, number: u32) -> Result<(), Error> {
        self.observer.notice(Moment::Lost { partition: number });
        self.waiting.retain(|waiting| waiting.number != number);
        if let Some(at) = self.owned.iter().position(|owned| owned.number == number) {
            let owned = self.owned.swap_remove(at);
            // The other partitions do not wait for who still reads it; whoever gains it does.
            self.give_up(owned, Duration::ZERO)?;
        }
        Ok(())
    }

    fn give_up(&self, owned: Owned, wait: Duration) -> Result<(), Error> {
        let number = owned.number;
        match self.parts.partitions.withdraw(number, owned.into_store(), wait) {
            Ok(()) | Err(store::Error::InUse { .. }) => Ok(()), // it closes when the last query ends
            Err(error) => Err(error.into()),
        }
    }

    fn open_waiting(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let identity = match &self.identity {
            Some(identity) => identity.clone(),
            None => self.identity.insert(self.log.identity()?).clone(),
        };
        for waiting in std::mem::take(&mut self.waiting) {
            match self.open(waiting.number, &identity)? {
                Some(owned) => {
                    self.parts.partitions.publish(owned.number, Arc::clone(owned.store()));
                    self.owned.push(owned);
                }
                None => self.wait_for_holder(waiting)?,
            }
        }
        Ok(())
    }

    /// Opens a state, unless it is still open in this process.
    fn open(&self, number: u32, log: &LogIdentity) -> Result<Option<Owned>, Error> {
        let holder = self.parts.partitions.holder(number);
        if matches!(holder, Some(Holder::Owner | Holder::Readers(1..))) {
            return Ok(None); // not even tried: RocksDB begins a new log file before it looks
        }
        let dir = self.options.dir.join(format!("p-{number:05}"));
        match Owned::open(&self.parts.shared, &dir, number, log.clone(), &self.engine) {
            Err(Error::Store(store::Error::Locked { .. })) if holder.is_some() => Ok(None), // it is just being closed
            opened => opened.map(Some),
        }
    }

    /// Another worker of this process is about to give it up, in its next turn; or queries and compactions still read what
    /// was given up, and have a time to end in.
    fn wait_for_holder(&mut self, mut waiting: Waiting) -> Result<(), Error> {
        if let Some(Holder::Readers(readers)) = self.parts.partitions.holder(waiting.number) {
            let (partition, now) = (waiting.number, (self.parts.clock)());
            if waiting.since.is_none() {
                self.observer.notice(Moment::StillRead { partition, readers });
            }
            let waited = now - *waiting.since.get_or_insert(now);
            if waited > self.options.read_for {
                return Err(store::Error::InUse { partition, readers, waited_ms: waited.unsigned_abs() }.into());
            }
        }
        self.waiting.push(waiting);
        Ok(())
    }

    /// Takes and replays what is not live yet, one step each.
    fn advance(&mut self) -> Result<bool, Error> {
        let (now, limit) = ((self.parts.clock)(), self.options.batch.shared_by(self.owned.len()));
        let mut busy = false;
        for owned in &mut self.owned {
            let outcome = match owned.phase {
                Phase::Live => Ok(false),
                Phase::Taking { .. } => owned.take(&mut self.log, &self.engine, now, &mut self.observer).map(|()| true),
                Phase::Replaying(_) => owned.replay(&mut self.log, &mut self.engine, limit, now, &mut self.observer),
            };
            busy |= outcome?;
            if owned.waits_for_registry() {
                break; // one question a turn: a registry that is silent takes its time
            }
        }
        Ok(busy)
    }

    /// Transactions over what the live partitions have to say: one for all of them, and one for each giant.
    fn answer(&mut self) -> Result<bool, Error> {
        let now = (self.parts.clock)();
        let (ready, giants) = self.prepare(now)?;
        if !ready.is_empty() {
            self.transact(&ready)?;
        }
        for giant in &giants {
            self.transact_giant(*giant)?;
        }
        Ok(!ready.is_empty() || !giants.is_empty())
    }

    /// Prepares the live partitions until the rows fill the bound; whoever had no turn is first next time.
    fn prepare(&mut self, now: Millis) -> Result<(Vec<usize>, Vec<usize>), Error> {
        let (mut ready, mut giants) = (Vec::new(), Vec::new());
        let (limit, mut bytes) = (self.options.batch.shared_by(self.owned.len()), 0);
        self.full = false;
        let first = self.prepared_last.min(self.owned.len());
        self.owned.rotate_left(first);
        self.prepared_last = 0;
        for (index, owned) in self.owned.iter_mut().enumerate() {
            if !matches!(owned.phase, Phase::Live) {
                continue;
            }
            if bytes > self.engine.rows_bytes {
                self.full = true;
                self.prepared_last = index;
                break;
            }
            let (log, engine, observer) = (&mut self.log, &mut self.engine, &mut self.observer);
            if owned.prepare_live(log, engine, limit, now, observer)? {
                bytes += owned.prepared.rows.bytes();
                self.full |= owned.prepared.taken > limit.records / 2;
                let list = if owned.prepared.giant { &mut giants } else { &mut ready };
                list.push(index);
            } else if owned.needs_keepalive(now, self.options.offsets_keepalive) {
                ready.push(index);
            }
            if owned.waits_for_registry() {
                self.prepared_last = index + 1; // the others first, next time
                break;
            }
        }
        Ok((ready, giants))
    }

    /// Settles what an earlier transaction left open; nothing else happens before.
    fn settle(&mut self) -> Result<(), Error> {
        if self.unsettled {
            self.log.recover()?;
            self.unsettled = false;
        }
        Ok(())
    }

    /// Bounds the tail that would have to be read again, tells how far there is to go, and goes on with a rotation of keys.
    fn keep(&mut self) -> Result<(), Error> {
        let now = (self.parts.clock)();
        if now - self.lag_told_at >= TELL_LAG {
            self.lag_told_at = now;
            self.owned.iter().for_each(|owned| owned.tell_lag(&self.log, &mut self.observer));
        }
        for owned in &self.owned {
            owned.flush_if_older(now, self.options.flush_interval, &mut self.observer)?;
            if matches!(owned.phase, Phase::Live) && owned.store().is_resealing() {
                owned.store().reseal(RESEAL)?;
            }
        }
        Ok(())
    }
}
