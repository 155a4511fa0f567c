//! The embedded log with everything going wrong that may go wrong in a log: it is not reached, transactions abort, the
//! answers of commits are lost, the group moves on unheard, and processes die at any of its calls.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tributary::store;
use tributary::topics::embedded::Member;
use tributary::topics::{
    Assignment, Bounds, Committed, Error, Input, Limit, LogIdentity, Offset, Offsets, Outgoing, Output, PerInput,
    Receipt, Records, TopicLog,
};

use crate::plan::Faults;
use crate::situations::Situation;
use crate::stage::{Scene, Who, applied};
use crate::watcher::Life;

/// How long the group's offsets may be said to be missing: less than a worker's patience.
const MISSING: i64 = 8_000;

/// A commit that nobody has decided yet.
struct Undecided {
    offsets: Offsets,
    applied: bool,
}

/// One worker's view of the log.
pub struct SimLog {
    member: Member,
    scene: Scene,
    who: Who,
    partitions: Arc<store::Partitions>,
    life: Rc<Life>,
    /// Polls that will hear nothing of the group.
    deaf: u64,
    /// Whether it heard nothing since it last polled.
    zombie: bool,
    /// Whether somebody was given a partition in the middle of this turn.
    stolen: bool,
    open: bool,
    produced: usize,
    undecided: Option<Undecided>,
    missing_since: Option<i64>,
}

impl SimLog {
    /// The log as `who` sees it.
    pub fn new(member: Member, scene: Scene, who: Who, partitions: Arc<store::Partitions>, life: Rc<Life>) -> Self {
        Self {
            member,
            scene,
            who,
            partitions,
            life,
            deaf: 0,
            zombie: false,
            stolen: false,
            open: false,
            produced: 0,
            undecided: None,
            missing_since: None,
        }
    }

    fn say(&self, what: String) {
        self.scene.borrow_mut().say(self.who, what);
    }

    fn meet(&self, situation: Situation) {
        self.scene.borrow_mut().meet(situation);
    }

    fn strikes(&self, per_mille: impl Fn(&Faults) -> u64) -> bool {
        self.scene.borrow_mut().strikes(per_mille)
    }

    fn die(&self, place: &str) -> Error {
        self.say(format!("dies {place}"));
        self.life.dead.set(true);
        Error::Fatal("the process died".into())
    }

    /// What may happen at any call.
    fn enter(&mut self, call: &'static str) -> Result<(), Error> {
        if self.life.dead.get() {
            return Err(Error::Fatal("the process died".into()));
        }
        if self.undecided.is_some() && !matches!(call, "poll" | "recover" | "abort") {
            let what = format!("{call} before the lost transaction is settled");
            self.scene.borrow_mut().violate(what);
        }
        if self.strikes(|faults| faults.crash) {
            if self.open {
                self.meet(Situation::CrashInTransaction);
            }
            return Err(self.die(&format!("at {call}")));
        }
        if self.strikes(|faults| faults.stolen) {
            self.steal();
        }
        if self.strikes(|faults| faults.unreachable) {
            self.meet(Situation::LogUnreachable);
            self.say(format!("{call}: not reachable"));
            return Err(Error::Unreachable(call.into()));
        }
        Ok(())
    }

    /// The group gives a partition to somebody at once.
    fn steal(&mut self) {
        let mut stage = self.scene.borrow_mut();
        let members = stage.broker.members();
        if members.is_empty() {
            return;
        }
        let partitions = u64::from(stage.plan.partitions);
        let partition = stage.dice.below(partitions) as u32;
        let member = stage.dice.pick(&members).clone();
        if member == "auditor" {
            return;
        }
        stage.broker.assign(partition, &member).unwrap();
        stage.say(self.who, format!("meanwhile p{partition} is given to {member}"));
        self.stolen = true;
    }

    fn begin_checks(&self) {
        self.scene.borrow_mut().never_ahead(&self.partitions);
    }

    /// The transaction goes through, as far as the group's generation lets it.
    fn apply(&mut self, offsets: &Offsets) -> Result<Receipt, Error> {
        let committed = self.member.commit(offsets);
        let mut stage = self.scene.borrow_mut();
        let text: Vec<_> = offsets
            .iter()
            .map(|of| format!("p{} [{} {}]", of.partition, of.next.touchpoints, of.next.conversions))
            .collect();
        match &committed {
            Ok(_) => {
                match stage.ledger.commit(offsets) {
                    Err(what) => stage.violate(what),
                    Ok(entry) => {
                        stage.say(
                            self.who,
                            format!("commits {} {} rows {} letters", text.join(" "), entry.rows, entry.letters),
                        );
                        let giant = self.is_giant(offsets);
                        self.life.unwritten.set(entry.partitions);
                        let met = [
                            (Situation::Giant, giant),
                            (Situation::TakenBack, entry.news.taken_back),
                            (Situation::Truncated, entry.news.truncated),
                            (Situation::Unattributed, entry.news.unattributed),
                            (Situation::SetAside, entry.letters > 0),
                            (Situation::SetAsideByPointer, entry.by_pointer),
                            (Situation::TwoPartitions, text.len() > 1),
                            (Situation::Keepalive, entry.moved == 0 && text.len() == 1),
                        ];
                        met.into_iter().filter(|(_, met)| *met).for_each(|(situation, _)| stage.meet(situation));
                    }
                }
                for of in offsets.iter() {
                    stage.last_owner[of.partition as usize] = Some(self.who.0);
                }
            }
            Err(error) => {
                stage.say(self.who, format!("does not commit {}: {error}", text.join(" ")));
                if matches!(error, Error::Fenced(_)) {
                    let zombie = if self.zombie { Situation::ZombieFenced } else { Situation::StolenFenced };
                    stage.meet(zombie);
                } else {
                    stage.violate(format!("a commit fails: {error}"));
                }
            }
        }
        committed
    }

    /// The commit's answer is lost.
    fn lose_answer(&mut self, offsets: &Offsets) -> Error {
        let fate = self.scene.borrow_mut().dice.below(4);
        match fate {
            0 => {
                self.say("loses an answer: not applied".into());
                self.meet(Situation::UnknownNotApplied);
                self.member.abort().unwrap();
            }
            1 => {
                self.say("loses an answer: applied".into());
                if self.apply(offsets).is_ok() {
                    self.meet(Situation::UnknownApplied);
                }
            }
            _ => {
                self.say("loses an answer: undecided".into());
                let mut stage = self.scene.borrow_mut();
                stage.undecided.extend(offsets.iter().map(|of| (of.partition, self.who)));
                self.undecided = Some(Undecided { offsets: offsets.clone(), applied: fate == 2 });
            }
        }
        Error::Unknown("the answer was lost".into())
    }

    /// Decides what was undecided.
    fn decide(&mut self) {
        let Some(Undecided { offsets, applied }) = self.undecided.take() else { return };
        if applied {
            if self.apply(&offsets).is_ok() {
                self.meet(Situation::UndecidedApplied);
            }
        } else {
            self.say("its undecided transaction aborts".into());
            self.member.abort().unwrap();
            self.meet(Situation::UndecidedAborted);
        }
        let who = self.who;
        self.scene.borrow_mut().undecided.retain(|_, of| *of != who);
    }

    fn is_giant(&self, offsets: &Offsets) -> bool {
        let mut all = offsets.iter();
        let first = all.next().map(|of| of.partition);
        all.next().is_none() && first == self.life.giant.get()
    }

    fn commit_faults(&mut self, offsets: &Offsets) -> Result<(), Error> {
        if self.strikes(|faults| faults.crash * 4) {
            self.member.abort()?;
            self.meet(Situation::CrashBeforeCommit);
            return Err(self.die("before a commit"));
        }
        if self.strikes(|faults| faults.stolen * 3) {
            self.steal();
        }
        if self.strikes(|faults| faults.aborted) {
            self.member.abort()?;
            self.meet(Situation::Aborted);
            if self.is_giant(offsets) {
                self.meet(Situation::GiantAborted);
            }
            self.say("its transaction aborts".into());
            return Err(Error::Aborted("by chance".into()));
        }
        if self.strikes(|faults| faults.unknown) {
            return Err(self.lose_answer(offsets));
        }
        Ok(())
    }
}

impl TopicLog for SimLog {
    fn poll(&mut self, wait: Duration) -> Result<Vec<Assignment>, Error> {
        self.enter("poll")?;
        if self.open {
            self.scene.borrow_mut().violate("poll inside a transaction".into());
        }
        self.stolen = false;
        self.life.giant.set(None);
        if self.deaf == 0 && self.strikes(|faults| faults.deaf) {
            self.deaf = 1 + self.scene.borrow_mut().dice.below(8);
        }
        if self.deaf > 0 && !self.scene.borrow().calm {
            self.deaf -= 1;
            self.zombie = true;
            return Ok(Vec::new());
        }
        self.deaf = 0;
        self.zombie = false;
        self.member.poll(wait)
    }

    fn is_member(&self) -> bool {
        self.member.is_member()
    }

    fn identity(&mut self) -> Result<LogIdentity, Error> {
        self.enter("identity")?;
        self.member.identity()
    }

    fn committed(&mut self, partition: u32) -> Result<PerInput<Option<Committed>>, Error> {
        self.enter("committed")?;
        if self.scene.borrow().undecided.get(&partition).is_some_and(|of| *of != self.who) {
            self.meet(Situation::UndecidedAsked);
            return Err(Error::Unreachable("a transaction is undecided".into()));
        }
        let now = self.scene.borrow().now();
        let may = now - self.missing_since.unwrap_or(now) < MISSING;
        let has_state = self.partitions.get(partition).is_some_and(|open| applied(&open).is_some());
        if may && has_state && self.strikes(|faults| faults.missing) {
            self.missing_since.get_or_insert(now);
            self.meet(Situation::OffsetsMissing);
            self.say(format!("offsets of p{partition} are missing"));
            return Ok(PerInput::default());
        }
        if !may {
            self.missing_since = None;
        }
        self.member.committed(partition)
    }

    fn bounds(&mut self, partition: u32, input: Input) -> Result<Bounds, Error> {
        self.enter("bounds")?;
        self.member.bounds(partition, input)
    }

    fn known_end(&self, partition: u32, input: Input) -> Option<Offset> {
        self.member.known_end(partition, input)
    }

    fn set_aside(&mut self, partition: u32, from: Offset) -> Result<(Vec<(Input, Offset)>, Offset), Error> {
        self.enter("set_aside")?;
        self.member.set_aside(partition, from)
    }

    fn seek(&mut self, partition: u32, next: PerInput<Offset>) -> Result<(), Error> {
        self.enter("seek")?;
        self.life.read.borrow_mut().remove(&partition);
        let now = self.scene.borrow().now();
        for input in Input::ALL {
            self.life.fetched.borrow_mut().insert((partition, input), (*next.get(input), now));
        }
        self.member.seek(partition, next)
    }

    fn fetch(&mut self, partition: u32, input: Input, limit: Limit, into: &mut Records) -> Result<(), Error> {
        self.enter("fetch")?;
        let mut limit = limit;
        if self.strikes(|faults| faults.slow) {
            limit.records = self.scene.borrow_mut().dice.index(3);
        }
        if limit.records > 0 {
            self.member.fetch(partition, input, limit, into)?;
            *self.life.read.borrow_mut().entry(partition).or_default() += into.len();
            if let Some(last) = into.iter().next_back() {
                let fetched = (last.head.offset + 1, self.scene.borrow().now());
                self.life.fetched.borrow_mut().insert((partition, input), fetched);
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.enter("begin")?;
        self.begin_checks();
        self.member.begin()?;
        self.open = true;
        self.produced = 0;
        Ok(())
    }

    fn produce(&mut self, record: Outgoing<'_>) -> Result<(), Error> {
        // One call in four may go wrong, or large transactions never came through.
        if self.life.dead.get() || self.produced % 4 == 3 {
            self.enter("produce")?;
        }
        self.produced += 1;
        if record.output == Output::Attributions && record.value.is_none() && record.key.is_none() {
            self.scene.borrow_mut().violate("a row without a key".into());
        }
        self.member.produce(record)
    }

    fn commit(&mut self, offsets: &Offsets) -> Result<Receipt, Error> {
        self.open = false;
        if let Err(error) = self.enter("commit") {
            self.member.abort()?;
            return Err(error);
        }
        self.begin_checks();
        self.commit_faults(offsets)?;
        let receipt = self.apply(offsets)?;
        if self.strikes(|faults| faults.crash * 4) {
            self.meet(Situation::CrashAfterCommit);
            return Err(self.die("after a commit, before the write"));
        }
        Ok(receipt)
    }

    fn abort(&mut self) -> Result<(), Error> {
        if let Err(error) = self.enter("abort") {
            if matches!(error, Error::Unreachable(_)) {
                self.meet(Situation::AbortUnreachable);
            }
            return Err(error);
        }
        self.open = false;
        self.say("aborts".into());
        self.member.abort()
    }

    fn recover(&mut self) -> Result<(), Error> {
        self.enter("recover")?;
        self.open = false;
        self.decide();
        self.member.recover()
    }
}

impl Drop for SimLog {
    /// Whoever comes next finds everything decided: the coordinator does that by itself in time.
    fn drop(&mut self) {
        self.decide();
    }
}
