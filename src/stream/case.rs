//! One conversion that a batch concerns: what the state says of it, and what the batch makes of it.

use super::apply::{Context, Counts, Error};
use super::overlay::StagedConversion;
use super::planted::Bug;
use crate::codec::record;
use crate::core::{Adjustment, Conversion, Millis, journey};
use crate::store::{Batch, ConversionKey, Stored, UserKey};

/// A conversion and its adjustments as the store has them.
#[derive(Default)]
pub struct Loaded {
    /// When it happened and its record, if it is there.
    pub conversion: Option<(Millis, Vec<u8>)>,
    /// Its adjustments, which may be there before it is.
    pub adjustments: Stored,
}

/// A conversion before and after the batch.
pub struct Case<'c> {
    /// As it stood; none where it was not there.
    pub before: Option<Conversion<'c>>,
    /// As it stands now.
    pub after: Option<Conversion<'c>>,
    /// The adjustments that stood.
    pub adjusted_before: Vec<Adjustment<'c>>,
    /// The adjustments that stand now.
    pub adjusted_after: Vec<Adjustment<'c>>,
}

impl<'c> Case<'c> {
    /// Reads a case and settles what the batch says of it.
    pub fn new<'a: 'c>(
        context: &Context<'a, '_>,
        loaded: &'c Loaded,
        staged: impl Iterator<Item = &'a StagedConversion>,
        counts: &mut Counts,
    ) -> Result<Self, Error> {
        let before = match &loaded.conversion {
            Some((occurred_at, bytes)) => Some(record::decode_conversion(*occurred_at, bytes)?),
            None => None,
        };
        let mut adjusted_before = Vec::with_capacity(loaded.adjustments.len());
        for (occurred_at, bytes) in loaded.adjustments.iter() {
            adjusted_before.push(record::decode_adjustment(occurred_at, bytes)?);
        }
        journey::settle_adjustments(&mut adjusted_before);
        let mut case = Self { before, after: before, adjusted_after: adjusted_before.clone(), adjusted_before };
        for staged in staged {
            if staged.adjusts {
                case.adjusted_after.push(context.overlay.read_adjustment(staged)?);
            } else {
                case.add(context.overlay.read_conversion(staged)?, context.planted.is(Bug::LastWriteWins), counts);
            }
        }
        counts.conflicting_adjustments += journey::settle_adjustments(&mut case.adjusted_after) as u64;
        counts.waiting += waiting(case.after.as_ref(), &case.adjusted_after);
        counts.waiting -= waiting(case.before.as_ref(), &case.adjusted_before);
        Ok(case)
    }

    /// Of two with the same identity the greater stands, so that no order of arrival can show.
    fn add(&mut self, newcomer: Conversion<'c>, last_write_wins: bool, counts: &mut Counts) {
        match self.after {
            None => {
                counts.conversions += 1;
                self.after = Some(newcomer);
            }
            Some(standing) if standing == newcomer => counts.duplicates += 1,
            Some(standing) => {
                counts.conflicting_conversions += 1;
                self.after = Some(if last_write_wins { newcomer } else { standing.max(newcomer) });
            }
        }
    }

    /// Whether the batch brought the conversion.
    pub fn is_new(&self) -> bool {
        self.before.is_none() && self.after.is_some()
    }

    /// Adds what changed to the write batch.
    pub fn write(&self, user: UserKey, key: ConversionKey, loaded: &Loaded, batch: &mut Batch) {
        let mut bytes = Vec::new();
        if let Some(conversion) = self.after.filter(|_| self.after != self.before) {
            record::encode_conversion(&conversion, &mut bytes);
            let stood_at = loaded.conversion.as_ref().map(|(occurred_at, _)| *occurred_at);
            let moved_from = stood_at.filter(|at| *at != conversion.occurred_at);
            batch.put_conversion(user, key, conversion.occurred_at, &bytes, moved_from);
        }
        for adjustment in self.adjusted_after.iter().filter(|a| !self.adjusted_before.contains(a)) {
            bytes.clear();
            record::encode_adjustment(adjustment, &mut bytes);
            batch.put_adjustment(user, key, adjustment.event_id, adjustment.occurred_at, &bytes);
        }
    }
}

/// How many adjustments wait.
fn waiting(conversion: Option<&Conversion<'_>>, adjustments: &[Adjustment<'_>]) -> i64 {
    if conversion.is_some() { 0 } else { adjustments.len() as i64 }
}
