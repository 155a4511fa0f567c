//! Whether the brokers, and the group, still know a member, and what it does where they do not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::{queues, reach};
use super::{Error, Member};

impl Member {
    /// Whether "fenced", which is said to a member whose name another process has taken, may mean that the group has forgotten
    /// this member. librdkafka forgets its member id when the session ends unheard, and beats its heart without one. And a
    /// broker that is stopped while the group rebalances has not written down whom it let in: once back it knows the name under
    /// an earlier id. The same a broker that was silent for a session: it hears a member ask twice to be let in again, and the
    /// second time puts out the first. So it is forgiven until it has its share again, and once a minute after connections have
    /// failed: where another process does run under this name, one of the two is fenced again, and ends.
    pub(super) fn forgotten(&self) -> bool {
        const SHAKEN: Duration = Duration::from_secs(30);
        let forgiven = self.forgiven.is_some_and(|at| at.elapsed() < 2 * SHAKEN);
        let context = self.context();
        let unheard = context.share().unheard;
        unheard || queues::generation(&self.consumer).is_none() || (!forgiven && context.reach.shaken(SHAKEN))
    }

    /// After a connection failed, and while the brokers are away, asks now and then whether one answers.
    pub(super) fn reachable(&mut self) -> Result<(), Error> {
        const BETWEEN: Duration = Duration::from_secs(1);
        let reach = Arc::clone(&self.context().reach);
        let wanted = reach.trouble().is_some() || self.context().suspect.load(Ordering::Relaxed) || !self.told();
        if wanted && self.probed.elapsed() >= BETWEEN {
            self.context().suspect.store(false, Ordering::Relaxed);
            let lead = self.context().topics.touchpoints.clone();
            if reach.probe(&self.consumer, &lead) {
                self.silent = None;
            } else {
                self.look_for_brokers()?;
            }
            self.probed = Instant::now();
        }
        reach.trouble().map_or(Ok(()), |trouble| Err(Error::Unreachable(trouble)))
    }

    /// Goes on as a new client where nobody has answered for long: see [`reach::LOST`]. Each time it waits longer for the next,
    /// for brokers may just be away.
    fn look_for_brokers(&mut self) -> Result<(), Error> {
        const AT_MOST: Duration = Duration::from_secs(300);
        let (since, patience) = *self.silent.get_or_insert_with(|| (Instant::now(), reach::LOST));
        if since.elapsed() < patience {
            return Ok(());
        }
        tracing::warn!("no broker has answered for long: looking for them anew");
        self.silent = Some((Instant::now(), (patience * 2).min(AT_MOST)));
        self.looked_anew = true;
        self.close();
        self.renew()
    }

    /// Whether it has become a new client to look for brokers, since this was last asked.
    pub(in super::super) fn has_looked_anew(&mut self) -> bool {
        std::mem::take(&mut self.looked_anew)
    }
}
