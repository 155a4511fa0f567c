//! What a batch changes: a pure function of the state before it (a snapshot) and its events.
//!
//! Touchpoints are written blindly. Only users with a conversion or an adjustment in the batch, or with a touchpoint
//! that may be late, are asked about: their journey is read once, the rows of each conversion concerned are computed
//! before and after, and the differences are emitted and folded into the rollups.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hashbrown::HashMap;

use super::case::{Case, Loaded};
use super::late::LateFilter;
use super::overlay::{Overlay, StagedConversion};
use super::planted::Planted;
use crate::codec::record::{self, Corrupt};
use crate::core::delta::{self, Change};
use crate::core::row::{self, Row, Scratch};
use crate::core::{Millis, Rules, Touchpoint, journey};
use crate::store::{self, Batch, Cell, ConversionKey, Dimension, Stored, Sum, UserKey, View};

/// Why a batch could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The state holds a record that is none of ours.
    #[error("the state holds a corrupt record: {0}")]
    Corrupt(#[from] Corrupt),
    /// The batch answers with more than its bound; apply fewer records at once.
    #[error("the batch's rows exceed its bound")]
    TooLarge,
    /// The log refused a row that was produced as it was computed.
    #[error(transparent)]
    Log(#[from] crate::topics::Error),
}

/// What a batch did, beside its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows written, new or replaced.
    pub upserts: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Conversions seen for the first time.
    pub conversions: u64,
    /// Conversions and adjustments that were there already, the same in every field.
    pub duplicates: u64,
    /// Touchpoints of the same identity and other content, where a conversion's path met them.
    pub conflicting_touchpoints: u64,
    /// Conversions of the same identity and other content.
    pub conflicting_conversions: u64,
    /// Adjustments of the same identity and other content.
    pub conflicting_adjustments: u64,
    /// Conversions whose id another user has used.
    pub contested: u64,
    /// Touchpoints for which the user's conversions had to be looked up.
    pub late: u64,
    /// How many adjustments more (or fewer) wait for their conversion.
    pub waiting: i64,
    /// The latest conversion of the batch (event time in ms); 0 without one.
    pub latest_conversion: Millis,
}

/// What applying a batch reads.
pub struct Context<'a, 'v> {
    /// The state before the batch.
    pub view: &'a View<'v>,
    /// The batch.
    pub overlay: &'a Overlay,
    /// Which touchpoints may be late.
    pub late: &'a LateFilter,
    /// The rules of credit.
    pub rules: &'a Rules,
    /// A bug that a test planted.
    pub planted: Planted,
}

/// Takes the differences as they are found.
pub type Emit<'e> = dyn FnMut(&Change<'_, '_>) -> Result<(), Error> + 'e;

/// Applies the batch: every write it makes goes to `batch`, every difference to `emit`.
pub fn apply(context: &Context<'_, '_>, batch: &mut Batch, emit: &mut Emit<'_>) -> Result<Counts, Error> {
    let overlay = context.overlay;
    for staged in overlay.touchpoints() {
        batch.put_touchpoint(staged.user, staged.occurred_at, overlay.touchpoint_record(staged));
    }
    let mut work = Work { context, batch, emit, counts: Counts::default(), scratch: Scratch::default() };
    for (user, question) in questions(context) {
        work.answer(user, &question)?;
    }
    Ok(work.counts)
}

/// What a batch asks about one user.
#[derive(Default)]
struct Question<'a> {
    conversions: Vec<&'a StagedConversion>,
    touchpoints: Vec<Touchpoint<'a>>,
    /// The times of touchpoints that may be late, in no order.
    late: Vec<Millis>,
}

/// The users to ask about, in the order of their keys (which is the store's).
fn questions<'a>(context: &Context<'a, '_>) -> BTreeMap<UserKey, Question<'a>> {
    let overlay = context.overlay;
    let mut asked: HashMap<UserKey, Question<'a>, foldhash::fast::FixedState> = HashMap::default();
    for staged in overlay.conversions() {
        asked.entry(staged.user).or_default().conversions.push(staged);
    }
    for staged in overlay.touchpoints() {
        if context.late.may_be_late(staged.user, staged.occurred_at) {
            asked.entry(staged.user).or_default().late.push(staged.occurred_at);
        }
    }
    if asked.is_empty() {
        return BTreeMap::new();
    }
    for staged in overlay.touchpoints() {
        if let Some(question) = asked.get_mut(&staged.user) {
            // What this process encoded a moment ago decodes; were it not so, the path would show it in every test.
            question.touchpoints.extend(overlay.read_touchpoint(staged).ok());
        }
    }
    asked.into_iter().collect()
}

struct Work<'w, 'a, 'v, 'e> {
    context: &'w Context<'a, 'v>,
    batch: &'w mut Batch,
    emit: &'w mut Emit<'e>,
    counts: Counts,
    scratch: Scratch,
}

impl<'a> Work<'_, 'a, '_, '_> {
    fn answer(&mut self, user: UserKey, question: &Question<'a>) -> Result<(), Error> {
        let loaded = self.load(user, question)?;
        let mut cases = Vec::with_capacity(loaded.len());
        for (key, loaded) in &loaded {
            let staged = question.conversions.iter().copied().filter(|c| c.conversion == *key);
            let case = Case::new(self.context, loaded, staged, &mut self.counts)?;
            case.write(user, *key, loaded, self.batch);
            if case.is_new() && self.context.view.owners(*key)?.iter().any(|owner| *owner != user) {
                self.counts.contested += 1;
            }
            cases.push(case);
        }
        let Some(span) = Span::of(&cases, self.context.rules) else {
            return Ok(());
        };
        let mut stored = Stored::default();
        self.context.view.touchpoints(user, span.from, span.to, &mut stored)?;
        let mut before = decode_all(&stored, span.user_id)?;
        let sighted = journey::settle(&mut before);
        let mut after = before.clone();
        after.extend(&question.touchpoints);
        let new = journey::settle(&mut after);
        let first_read = cases.iter().any(Case::is_new);
        self.counts.conflicting_touchpoints += (new + if first_read { sighted } else { 0 }) as u64;
        cases.iter().try_for_each(|case| self.credit(case, &before, &after))
    }

    /// Every conversion that the question concerns: those it names, and those that a late touchpoint belongs to.
    fn load(&mut self, user: UserKey, question: &Question<'a>) -> Result<BTreeMap<ConversionKey, Loaded>, Error> {
        let view = self.context.view;
        let mut loaded: BTreeMap<ConversionKey, Loaded> = BTreeMap::new();
        for staged in &question.conversions {
            if let Entry::Vacant(place) = loaded.entry(staged.conversion) {
                place.insert(Loaded { conversion: view.conversion(user, staged.conversion)?, ..Loaded::default() });
            }
        }
        self.load_late(user, &question.late, &mut loaded)?;
        for (key, loaded) in &mut loaded {
            view.adjustments(user, *key, &mut loaded.adjustments)?;
        }
        Ok(loaded)
    }

    fn load_late(
        &mut self,
        user: UserKey,
        late: &[Millis],
        loaded: &mut BTreeMap<ConversionKey, Loaded>,
    ) -> Result<(), Error> {
        let mut late = late.to_vec();
        late.sort_unstable();
        self.counts.late += late.len() as u64;
        let (Some(first), Some(last)) = (late.first(), late.last()) else {
            return Ok(());
        };
        let lookback = self.context.rules.lookback_ms();
        let mut found = Stored::default();
        self.context.view.conversions(user, *first, last.saturating_add(lookback), &mut found)?;
        for (occurred_at, bytes) in found.iter() {
            let oldest = late.partition_point(|t| *t < occurred_at.saturating_sub(lookback));
            if late.get(oldest).is_some_and(|t| *t <= occurred_at) {
                let event_id = record::decode_conversion(occurred_at, bytes)?.event_id;
                let key = self.context.view.hasher().conversion(event_id);
                loaded.entry(key).or_default().conversion = Some((occurred_at, bytes.to_vec()));
            }
        }
        Ok(())
    }

    /// Emits and folds what differs in the rows of one conversion.
    fn credit(&mut self, case: &Case<'_>, before: &[Touchpoint<'_>], after: &[Touchpoint<'_>]) -> Result<(), Error> {
        let rules = self.context.rules;
        let (mut old, mut new) = (Vec::new(), Vec::new());
        if let Some(conversion) = &case.before {
            row::credit(conversion, &case.adjusted_before, before, rules, &mut self.scratch, &mut old);
        }
        if let Some(conversion) = &case.after {
            row::credit(conversion, &case.adjusted_after, after, rules, &mut self.scratch, &mut new);
            self.counts.latest_conversion = self.counts.latest_conversion.max(conversion.occurred_at);
        }
        let mut outcome = Ok(());
        delta::diff(&mut old, &mut new, |change| {
            if outcome.is_ok() {
                fold(self.batch, &change);
                *if change.after().is_some() { &mut self.counts.upserts } else { &mut self.counts.deletes } += 1;
                outcome = (self.emit)(&change);
            }
        });
        outcome
    }
}

/// The journey that the cases of one user need.
struct Span<'c> {
    user_id: &'c str,
    from: Millis,
    to: Millis,
}

impl<'c> Span<'c> {
    fn of(cases: &[Case<'c>], rules: &Rules) -> Option<Self> {
        let conversions = || cases.iter().flat_map(|case| case.before.iter().chain(&case.after));
        let first = conversions().map(|c| c.occurred_at).min()?;
        let to = conversions().map(|c| c.occurred_at).max()?;
        let user_id = conversions().next()?.user_id;
        Some(Self { user_id, from: first.saturating_sub(rules.lookback_ms()), to })
    }
}

/// Keys hold a hash of the user: whoever shares it by chance is told apart here.
fn decode_all<'s>(stored: &'s Stored, user_id: &str) -> Result<Vec<Touchpoint<'s>>, Corrupt> {
    let mut touchpoints = Vec::with_capacity(stored.len());
    for (occurred_at, bytes) in stored.iter() {
        let touchpoint = record::decode_touchpoint(occurred_at, bytes)?;
        if touchpoint.user_id == user_id {
            touchpoints.push(touchpoint);
        }
    }
    Ok(touchpoints)
}

/// Rollups are folds of row differences, so they equal the sum of the rows whatever was batched, replayed or repeated.
fn fold(batch: &mut Batch, change: &Change<'_, '_>) {
    if let Some(row) = change.before() {
        add(batch, row, -1);
    }
    if let Some(row) = change.after() {
        add(batch, row, 1);
    }
}

fn add(batch: &mut Batch, row: &Row<'_>, sign: i128) {
    let sum = Sum {
        credit_micros: sign * i128::from(row.credit_micros),
        credited_micros: sign * i128::from(row.credited_micros),
    };
    let names = [
        (Dimension::Channel, Some(row.channel)),
        (Dimension::Campaign, row.campaign),
        (Dimension::Kind, Some(row.kind)),
    ];
    for (dimension, name) in names {
        let cell = Cell {
            dimension,
            model: row.model,
            bucket: Cell::bucket_of(row.converted_at),
            name,
            unattributed: row.is_unattributed(),
            currency: row.currency,
        };
        batch.add_rollup(&cell, sum);
    }
}
