//! From picked records to everything that one transaction and one write need: decoded, checked, applied and encoded,
//! before anything begins.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hashbrown::HashSet;

use super::apply::{self, Context, Counts};
use super::decode::{Decoder, Failure};
use super::intake::{self, Intake};
use super::late::LateFilter;
use super::meta::Meta;
use super::overlay::Overlay;
use super::planted::{Bug, Planted};
use super::rows::{RowFormat, Rows};
use crate::core::{Fault, Millis, Rules, event};
use crate::store::{self, Batch, Hasher, View};
use crate::topics::{Input, Offset, PerInput, Record, partitioner};

/// The field that the fault of a record names which made our code panic.
pub const PANIC: &str = "panic";

/// What every batch of a worker needs.
pub struct Engine {
    /// Bytes to events.
    pub decoder: Decoder,
    /// The rules of credit.
    pub rules: Rules,
    /// Rows to bytes.
    pub format: RowFormat,
    /// The most bytes of rows that a batch of several records may answer with.
    pub rows_bytes: usize,
    /// A bug that a test planted.
    pub planted: Planted,
}

/// A record that cannot be used.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Which pick of the batch.
    pub pick: usize,
    /// Why.
    pub fault: Fault,
}

/// Where a record of a partition lies.
pub type Place = (Input, Offset);

/// The records of a replay that are not to be used, because they were set aside when they were live.
pub type Skip = HashSet<Place>;

/// How a batch is treated.
#[derive(Clone, Copy)]
pub enum Mode<'a> {
    /// It is answered.
    Live {
        /// A record whose rows made our code panic when they were produced: it is not to be tried again.
        poisoned: Option<Place>,
    },
    /// It is applied again, its output suppressed, except for what was set aside.
    Replay(&'a Skip),
}

/// A prepared batch; its room is kept from batch to batch.
#[derive(Default)]
pub struct Prepared {
    overlay: Overlay,
    /// The writes.
    pub batch: Batch,
    /// The rows.
    pub rows: Rows,
    /// The records to set aside.
    pub dead: Vec<DeadLetter>,
    /// What it changed.
    pub counts: Counts,
    /// How many picks it covers.
    pub taken: usize,
    /// Records by input.
    pub records: PerInput<u64>,
    /// Records on another partition than murmur2 gives their key.
    pub misplaced: u64,
    /// The oldest and newest log timestamp.
    pub logged: Option<(Millis, Millis)>,
    /// Whether its rows did not fit and must be produced as they are computed; then it covers one record.
    pub giant: bool,
    /// The state's account after it, but for what only [`Prepared::account`] adds.
    pub meta: Option<Meta>,
}

/// Why a batch could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The batch must be tried again with fewer records.
    #[error("too much at once")]
    Halve {
        /// Whether a panic is the reason.
        panicked: bool,
    },
    /// The registry cannot be asked just now.
    #[error("schema registry not reachable: {0}")]
    Registry(String),
    /// The process must end.
    #[error("{0}")]
    Fatal(String),
}

impl Prepared {
    /// Nothing prepared yet, for the state of this hasher.
    pub fn of(hasher: &Hasher) -> Self {
        Self { overlay: Overlay::of(hasher), batch: Batch::of(hasher), ..Self::default() }
    }

    /// Forgets the batch and keeps the room.
    pub fn clear(&mut self) {
        self.overlay.clear();
        self.batch.clear();
        self.rows.clear();
        self.dead.clear();
        self.counts = Counts::default();
        self.taken = 0;
        self.records = PerInput::default();
        self.misplaced = 0;
        self.logged = None;
        self.giant = false;
        self.meta = None;
    }

    /// Prepares the first `count` picks of the intake.
    pub fn fill(
        &mut self,
        engine: &mut Engine,
        source: &Source<'_, '_>,
        count: usize,
        mode: Mode<'_>,
    ) -> Result<(), Trouble> {
        self.clear();
        let suppressed = matches!(mode, Mode::Replay(_)) && !engine.planted.is(Bug::SuppressionOff);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.stage(engine, source, count, mode)?;
            self.apply(engine, source, suppressed)
        }));
        match outcome {
            Ok(outcome) => outcome,
            Err(_) if count > 1 => Err(Trouble::Halve { panicked: true }),
            Err(panic) => self.bury(source, mode, &said(&*panic)),
        }
    }

    /// Decodes and checks the picks; what cannot be used becomes a dead letter.
    fn stage(
        &mut self,
        engine: &mut Engine,
        source: &Source<'_, '_>,
        count: usize,
        mode: Mode<'_>,
    ) -> Result<(), Trouble> {
        for (index, pick) in source.intake.picks().iter().take(count).enumerate() {
            let Some(record) = source.intake.record(*pick) else {
                break;
            };
            let place = (record.head.input, record.head.offset);
            let staged = match mode {
                Mode::Replay(skip) if skip.contains(&place) => Ok(()),
                Mode::Live { poisoned } if poisoned == Some(place) => {
                    Err(Failure::Bad(Fault::new(PANIC, "while its rows were produced")))
                }
                _ => self.stage_record(&mut engine.decoder, &record),
            };
            match staged {
                Ok(()) => {}
                Err(Failure::Bad(fault)) => self.set_aside(index, fault, &record, mode)?,
                Err(Failure::Unreachable(why)) if index == 0 => return Err(Trouble::Registry(why)),
                Err(Failure::Unreachable(_)) => break, // what came before it goes ahead
            }
            self.count(&record, source.partitions, source.partition);
            self.taken = index + 1;
        }
        Ok(())
    }

    fn stage_record(&mut self, decoder: &mut Decoder, record: &Record<'_>) -> Result<(), Failure> {
        let value = record.value.ok_or_else(|| Failure::Bad(Fault::new("value", "null")))?;
        match record.head.input {
            Input::Touchpoints => {
                let draft = decoder.touchpoint(value)?;
                let touchpoint = draft.check().map_err(Failure::Bad)?;
                check_record(record, touchpoint.user_id, touchpoint.occurred_at)?;
                #[cfg(feature = "planted")]
                super::planted::trip(touchpoint.event_id, "decoding");
                self.overlay.touchpoint(&touchpoint);
            }
            Input::Conversions => {
                let draft = decoder.conversion(value)?;
                let conversion = draft.check().map_err(Failure::Bad)?;
                check_record(record, conversion.user_id(), conversion.occurred_at())?;
                #[cfg(feature = "planted")]
                if let event::ConversionEvent::Conversion(conversion) = &conversion {
                    super::planted::trip(conversion.event_id, "decoding");
                }
                self.overlay.conversion(&conversion);
            }
        }
        Ok(())
    }

    /// A verdict is made once: on replay, a record that was not set aside when it was live must be usable.
    fn set_aside(&mut self, pick: usize, fault: Fault, record: &Record<'_>, mode: Mode<'_>) -> Result<(), Trouble> {
        if let Mode::Replay(_) = mode {
            let (input, offset) = (record.head.input.name(), record.head.offset);
            return Err(Trouble::Fatal(format!(
                "{input} at offset {offset} was used before and now fails: {fault}; run the version that applied it"
            )));
        }
        self.dead.push(DeadLetter { pick, fault });
        Ok(())
    }

    fn count(&mut self, record: &Record<'_>, partitions: u32, partition: u32) {
        *self.records.get_mut(record.head.input) += 1;
        let at = record.head.logged_at;
        self.logged = Some(self.logged.map_or((at, at), |(oldest, newest)| (oldest.min(at), newest.max(at))));
        let placed = record.key.zip(NonZeroU32::new(partitions)).map(|(key, n)| partitioner::partition_of(key, n));
        self.misplaced += u64::from(placed.is_some_and(|placed| placed != partition));
    }

    fn apply(&mut self, engine: &Engine, source: &Source<'_, '_>, suppressed: bool) -> Result<(), Trouble> {
        let Self { overlay, batch, rows, .. } = self;
        #[cfg(feature = "planted")]
        super::planted::trip_over(overlay, "applying");
        let context = source.context(engine, overlay);
        let bound = if self.taken > 1 { engine.rows_bytes } else { engine.rows_bytes.saturating_mul(2) };
        let outcome = apply::apply(&context, batch, &mut |change| {
            if !suppressed {
                rows.add(engine.format, change);
            }
            if rows.bytes() > bound { Err(apply::Error::TooLarge) } else { Ok(()) }
        });
        match outcome {
            Ok(counts) => {
                #[cfg(feature = "planted")]
                super::planted::trip_over(overlay, "producing"); // no giant, so there is nothing to wait for
                self.counts = counts;
            }
            Err(apply::Error::TooLarge) if self.taken > 1 => return Err(Trouble::Halve { panicked: false }),
            Err(apply::Error::TooLarge) => {
                self.rows.clear();
                self.batch.clear();
                self.giant = true;
            }
            Err(error) => return Err(Trouble::Fatal(error.to_string())),
        }
        Ok(())
    }

    /// Applies a giant: every row goes out as it is computed, and only the writes are kept.
    pub fn apply_giant(
        &mut self,
        engine: &Engine,
        source: &Source<'_, '_>,
        produce: &mut Produce<'_>,
    ) -> Result<(), apply::Error> {
        let mut record = Vec::new();
        let context = source.context(engine, &self.overlay);
        self.counts = apply::apply(&context, &mut self.batch, &mut |change| {
            #[cfg(feature = "planted")]
            super::planted::trip_over(&self.overlay, "producing");
            record.clear();
            let (key, has_value) = engine.format.write_change(change, &mut record);
            let (key, value) = record.split_at_checked(key).unwrap_or((&record, &[]));
            Ok(produce(key, has_value.then_some(value))?)
        })?;
        Ok(())
    }

    /// The one record of this batch made our code panic: it is set aside, whole.
    fn bury(&mut self, source: &Source<'_, '_>, mode: Mode<'_>, message: &str) -> Result<(), Trouble> {
        self.clear();
        let Some(record) = source.intake.picks().first().and_then(|pick| source.intake.record(*pick)) else {
            return Err(Trouble::Fatal(format!("a panic outside any record: {message}")));
        };
        self.set_aside(0, Fault::new(PANIC, message.to_owned()), &record, mode)?;
        self.count(&record, source.partitions, source.partition);
        self.taken = 1;
        Ok(())
    }

    /// Notes the state's account after this batch, for the offsets to commit.
    pub fn advance(&mut self, meta: &Meta, intake: &Intake) {
        let mut meta = meta.clone();
        for input in Input::ALL {
            let last = intake.picks().iter().take(self.taken).rev().filter_map(|pick| intake.record(*pick));
            if let Some(record) = last.into_iter().find(|record| record.head.input == input) {
                *meta.applied.get_mut(input) = record.head.offset + 1;
                *meta.last.get_mut(input) = Some(intake::hash(&record));
            }
        }
        self.meta = Some(meta);
    }

    /// The whole account, for the write. What a giant changed is known only when its rows have been produced.
    pub fn account(&mut self) -> Option<Meta> {
        let mut meta = self.meta.take()?;
        meta.as_of = meta.as_of.max(self.logged.map_or(0, |(_, newest)| newest));
        meta.latest_conversion = meta.latest_conversion.max(self.counts.latest_conversion);
        meta.waiting += self.counts.waiting;
        Some(meta)
    }

    /// Tells the filter of the conversions that the state holds now.
    pub fn teach(&self, late: &mut LateFilter) {
        for staged in self.overlay.conversions().iter().filter(|staged| !staged.adjusts) {
            late.add(staged.user, staged.occurred_at);
        }
    }
}

/// Takes a row's key, and its value unless it deletes.
pub type Produce<'p> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), crate::topics::Error> + 'p;

/// Where a batch comes from.
pub struct Source<'a, 'v> {
    /// The records.
    pub intake: &'a Intake,
    /// The state before the batch.
    pub view: &'a View<'v>,
    /// Which touchpoints may be late.
    pub late: &'a LateFilter,
    /// The partition.
    pub partition: u32,
    /// How many partitions the topics have.
    pub partitions: u32,
}

impl<'v> Source<'_, 'v> {
    fn context<'c>(&'c self, engine: &'c Engine, overlay: &'c Overlay) -> Context<'c, 'v> {
        Context { view: self.view, overlay, late: self.late, rules: &engine.rules, planted: engine.planted }
    }
}

/// The rules of the contract that bear on the record rather than on its value.
fn check_record(record: &Record<'_>, user_id: &str, occurred_at: Millis) -> Result<(), Failure> {
    match record.key {
        Some(key) if key == user_id.as_bytes() => {}
        Some(_) => return Err(Failure::Bad(Fault::new("key", "not the user_id"))),
        None => return Err(Failure::Bad(Fault::new("key", "required: the user_id"))),
    }
    event::not_in_future(occurred_at, record.head.logged_at).map_err(Failure::Bad)
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().filter(|c| !c.is_control()).take(200).collect()
}

/// A state that cannot be read ends the process.
impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        Self::Fatal(error.to_string())
    }
}
