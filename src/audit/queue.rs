//! Between those who have something to tell and the one thread that writes it: bounded, in order, and never dropping.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::entry::Draft;
use super::{Observer, Unavailable};
use crate::core::Millis;

/// Changes that wait to be durable, at most; each holds a caller, so there are never many.
const MOST_CHANGES: usize = 1_024;

/// Hears that an entry is durable, or why it is not known to be. Holds one answer, so that who gives it waits for nobody.
pub(super) type Answer = SyncSender<Result<(), Unwritten>>;

/// An entry is not known to be durable, so what it tells of must not happen.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// It is in no log, and comes into none.
    Never(Unavailable),
    /// It may be in the log, or come to be: how what it tells of ended has to follow it.
    Perhaps(Unavailable),
}

impl Unwritten {
    /// Why.
    #[cfg(test)]
    pub(super) fn why(self) -> Unavailable {
        let (Self::Never(why) | Self::Perhaps(why)) = self;
        why
    }
}

/// A change that waits to be durable.
pub(super) struct Waiting {
    number: u64,
    pub(super) answer: Answer,
}

/// An entry on its way.
pub(super) struct Item {
    pub(super) draft: Draft,
    pub(super) at: Millis,
    pub(super) kind: Kind,
}

/// What becomes of an entry that cannot be written just now.
pub(super) enum Kind {
    /// Something that was decided: it waits. It takes room in the queue, and gives it back when it is taken out.
    Decision { _room: OwnedSemaphorePermit },
    /// Something that is about to be changed: whoever waits for this is told, and there is no entry.
    Change(Waiting),
    /// How a change ended: it waits. There are no more of them than of changes under way.
    Ending,
}

/// The queue.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// Something was put in, or the process stops.
    news: Condvar,
    /// A change has ended.
    ended: Condvar,
    /// One permit for each decision that may still come in.
    room: Arc<Semaphore>,
    /// The same for what was decided of strangers, who can flood us: they take no room from anybody.
    strangers: Arc<Semaphore>,
    /// The same for what was decided of keys that are known and open nothing: no flood of strangers hides them.
    shut_keys: Arc<Semaphore>,
}

#[derive(Default)]
struct Inner {
    items: VecDeque<Item>,
    /// How many of them are changes.
    changes: usize,
    /// How many changes have come so far.
    numbered: u64,
    /// How many changes are between their two entries.
    under_way: usize,
    /// No further change begins.
    closed: bool,
    /// Why nothing can be written just now.
    away: Option<String>,
    stopping: bool,
}

/// A change between its two entries, until this is dropped.
pub(super) struct UnderWay<'q>(&'q Queue);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        inner.under_way = inner.under_way.saturating_sub(1);
        self.0.ended.notify_all();
    }
}

impl Queue {
    /// With room for so many decisions, so many of strangers, and so many of keys that open nothing.
    pub(super) fn new(room: usize, strangers: usize, shut_keys: usize) -> Self {
        let room_for = |entries: usize| Arc::new(Semaphore::new(entries.clamp(1, 1 << 20)));
        let [room, strangers, shut_keys] = [room, strangers, shut_keys].map(room_for);
        Self { inner: Mutex::default(), news: Condvar::new(), ended: Condvar::new(), room, strangers, shut_keys }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change begins, if changes still do.
    pub(super) fn begin(&self) -> Result<UnderWay<'_>, Unavailable> {
        let mut inner = self.inner();
        if inner.closed {
            return Err(Unavailable::stopping());
        }
        inner.under_way += 1;
        Ok(UnderWay(self))
    }

    /// Lets no further change begin, and waits up to `wait` for those under way. How many have not ended.
    pub(super) fn close(&self, wait: Duration) -> usize {
        let mut inner = self.inner();
        inner.closed = true;
        let waited = self.ended.wait_timeout_while(inner, wait, |inner| inner.under_way > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.under_way
    }

    /// Puts a decision in, waiting for room.
    pub(super) async fn wait_and_put(&self, draft: Draft, at: Millis, wait: Duration) -> Result<(), Unavailable> {
        match tokio::time::timeout(wait, Arc::clone(&self.room).acquire_owned()).await {
            Err(_) => Err(self.full()),
            Ok(Err(_)) => Err(Unavailable::stopping()),
            Ok(Ok(room)) => self.push(Item { draft, at, kind: Kind::Decision { _room: room } }),
        }
    }

    /// Puts in what was decided of a stranger, where there is room for it now.
    pub(super) fn put_of_stranger(&self, draft: Draft, at: Millis) -> Result<(), Unavailable> {
        self.put_at_once(&self.strangers, draft, at)
    }

    /// The same, of a key that is known and opens nothing.
    pub(super) fn put_of_shut_key(&self, draft: Draft, at: Millis) -> Result<(), Unavailable> {
        self.put_at_once(&self.shut_keys, draft, at)
    }

    fn put_at_once(&self, room: &Arc<Semaphore>, draft: Draft, at: Millis) -> Result<(), Unavailable> {
        match Arc::clone(room).try_acquire_owned() {
            Err(TryAcquireError::NoPermits) => Err(self.full()),
            Err(TryAcquireError::Closed) => Err(Unavailable::stopping()),
            Ok(room) => self.push(Item { draft, at, kind: Kind::Decision { _room: room } }),
        }
    }

    fn full(&self) -> Unavailable {
        Unavailable(self.inner().away.clone().unwrap_or_else(|| "the audit log is behind".into()))
    }

    /// Puts an entry in that somebody waits for; refused at once where it could not be written now. Returns its number.
    pub(super) fn put(&self, draft: Draft, at: Millis, answer: Answer) -> Result<u64, Unavailable> {
        let mut inner = self.inner();
        if let Some(why) = &inner.away {
            return Err(Unavailable(why.clone()));
        }
        if inner.changes >= MOST_CHANGES {
            return Err(Unavailable("too many changes wait for the audit log".into()));
        }
        let number = inner.numbered + 1;
        self.push_to(&mut inner, Item { draft, at, kind: Kind::Change(Waiting { number, answer }) })?;
        inner.changes += 1;
        inner.numbered = number;
        Ok(number)
    }

    /// Takes a change out that nobody waits for any longer. Whether it was still there: if not, it is being written.
    pub(super) fn withdraw(&self, number: u64) -> bool {
        let mut inner = self.inner();
        let is_it = |item: &Item| matches!(&item.kind, Kind::Change(waiting) if waiting.number == number);
        let place = inner.items.iter().position(is_it);
        let taken = place.and_then(|place| inner.items.remove(place));
        inner.changes = inner.changes.saturating_sub(usize::from(taken.is_some()));
        taken.is_some()
    }

    /// Puts in how a change ended.
    pub(super) fn put_ending(&self, draft: Draft, at: Millis) -> Result<(), Unavailable> {
        self.push(Item { draft, at, kind: Kind::Ending })
    }

    fn push(&self, item: Item) -> Result<(), Unavailable> {
        self.push_to(&mut self.inner(), item)
    }

    fn push_to(&self, inner: &mut Inner, item: Item) -> Result<(), Unavailable> {
        if inner.stopping {
            return Err(Unavailable::stopping());
        }
        inner.items.push_back(item);
        self.news.notify_one();
        Ok(())
    }

    /// Takes up to `most` entries out, waiting for the first; none once the process stops and all are out.
    pub(super) fn take(&self, most: usize, observer: &dyn Observer) -> Vec<Item> {
        let idle = |inner: &mut Inner| inner.items.is_empty() && !inner.stopping;
        let mut inner = self.news.wait_while(self.inner(), idle).unwrap_or_else(PoisonError::into_inner);
        let count = most.min(inner.items.len());
        let taken: Vec<Item> = inner.items.drain(..count).collect();
        let changes = taken.iter().filter(|item| matches!(item.kind, Kind::Change(_))).count();
        inner.changes = inner.changes.saturating_sub(changes);
        observer.waiting(inner.items.len());
        taken
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inner().items.is_empty()
    }

    /// Nothing can be written for now: who waits for a change is told so, and the change has no entry. All else waits: so
    /// many entries.
    pub(super) fn away(&self, why: &str) -> usize {
        let mut inner = self.inner();
        inner.away = Some(why.to_owned());
        inner.changes = 0;
        for item in std::mem::take(&mut inner.items) {
            match item.kind {
                Kind::Change(waiting) => {
                    drop(waiting.answer.try_send(Err(Unwritten::Never(Unavailable(why.to_owned())))));
                }
                _ => inner.items.push_back(item),
            }
        }
        inner.items.len()
    }

    /// It can be written again.
    pub(super) fn back(&self) {
        self.inner().away = None;
    }

    /// Why nothing can be written just now.
    pub(super) fn trouble(&self) -> Option<String> {
        self.inner().away.clone()
    }

    /// Puts a last entry in; nothing comes in after it.
    pub(super) fn stop(&self, last: Option<(Draft, Millis)>) {
        let mut inner = self.inner();
        if !std::mem::replace(&mut inner.stopping, true) {
            inner.items.extend(last.map(|(draft, at)| Item { draft, at, kind: Kind::Ending }));
        }
        self.room.close();
        self.strangers.close();
        self.shut_keys.close();
        self.news.notify_all();
    }

    /// Waits for `time`, or until the process stops; says whether it does.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut inner = self.inner();
        while !inner.stopping {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (inner, _) = self.news.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}
