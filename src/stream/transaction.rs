//! One transaction of a worker: begun, produced, committed back to back, and then written.

use super::observe::{Moment, Observer};
use super::partition::Owned;
use super::planted::Bug;
use super::worker::{Error, Worker};
use crate::topics::{self, Offsets, TopicLog};

/// So many giants in a row may outlast their transaction.
const OUTLASTED_AT_MOST: u32 = 3;

impl<L: TopicLog, O: Observer> Worker<L, O> {
    /// A giant that outlasts the transaction's time once may have met a slow broker. Again and again, it is more than one
    /// transaction can carry, and would keep its partition for ever.
    pub(super) fn transact_giant(&mut self, which: usize) -> Result<(), Error> {
        let outcome = self.transact(&[which]);
        let took = (self.parts.clock)() - self.began_at;
        match outcome {
            Err(Error::Log(error)) if took >= self.options.transaction_timeout => {
                self.outlasted += 1;
                if self.outlasted < OUTLASTED_AT_MOST {
                    return Err(error.into());
                }
                let place = self.owned.get(which).map_or_else(String::new, Owned::place);
                Err(Error::Fatal(format!(
                    "{place} answers with more rows than one transaction carries: {OUTLASTED_AT_MOST} times in a row the log \
                     gave it up, the last after {took} ms ({error}); raise kafka.transaction_timeout"
                )))
            }
            outcome => {
                self.outlasted = 0;
                outcome
            }
        }
    }

    pub(super) fn transact(&mut self, which: &[usize]) -> Result<(), Error> {
        self.began_at = (self.parts.clock)();
        if self.engine.planted.is(Bug::WriteBeforeCommit) {
            self.write(which, &topics::Receipt::default())?;
        }
        self.observer.tick(true);
        let outcome = self.send(which);
        self.observer.tick(false);
        let (receipt, records) = outcome?;
        let took = (self.parts.clock)() - self.began_at;
        self.observer.notice(Moment::Committed { took, records });
        self.write(which, &receipt)
    }

    /// Begins, produces and commits, back to back.
    fn send(&mut self, which: &[usize]) -> Result<(topics::Receipt, u64), topics::Error> {
        let mut offsets = Vec::with_capacity(which.len());
        for index in which {
            offsets.extend(self.owned.get(*index).map(|owned| owned.offsets(&self.engine)));
        }
        let Some(first) = offsets.pop() else {
            return Ok((topics::Receipt::default(), 0));
        };
        self.log.begin()?;
        let mut records = 0;
        for index in which {
            let Some(owned) = self.owned.get_mut(*index) else {
                continue;
            };
            match owned.produce(&mut self.log, &self.engine, self.options.dead_letter_bytes) {
                Ok(produced) => records += produced,
                Err(error) => {
                    // A transaction that cannot be given up is one that must be settled.
                    self.log.abort().map_err(|abort| match abort {
                        topics::Error::Fatal(_) => abort,
                        other => topics::Error::Unknown(other.to_string()),
                    })?;
                    return Err(error);
                }
            }
        }
        Ok((self.log.commit(&Offsets::new(first, offsets))?, records))
    }

    fn write(&mut self, which: &[usize], receipt: &topics::Receipt) -> Result<(), Error> {
        let now = (self.parts.clock)();
        for index in which {
            let Some(owned) = self.owned.get_mut(*index) else {
                continue;
            };
            let next = receipt.dead_letters_next.iter().find(|(partition, _)| *partition == owned.number);
            owned.committed(next.map(|(_, next)| *next), now);
            if owned.prepared.taken > 0 {
                owned.count_panics(&mut self.panics);
                owned.write(&self.log, false, &mut self.observer)?;
            }
        }
        // After the writes, so that what is committed is written too.
        self.panics.verdict().map_or(Ok(()), |why| Err(Error::Fatal(why)))
    }
}
