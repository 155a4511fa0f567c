//! The events of one batch, checked and in their stored form, before anything is written.

use std::ops::Range;

use crate::codec::record;
use crate::core::{Adjustment, Conversion, ConversionEvent, Millis, Touchpoint};
use crate::store::{ConversionKey, Hasher, UserKey};

/// One touchpoint of the batch.
#[derive(Clone, Debug)]
pub struct StagedTouchpoint {
    /// Whose.
    pub user: UserKey,
    /// When it happened.
    pub occurred_at: Millis,
    bytes: Range<usize>,
}

/// One conversion or adjustment of the batch.
#[derive(Clone, Debug)]
pub struct StagedConversion {
    /// Whose.
    pub user: UserKey,
    /// The conversion, or the one that is adjusted.
    pub conversion: ConversionKey,
    /// When the event happened.
    pub occurred_at: Millis,
    /// Whether it is an adjustment.
    pub adjusts: bool,
    bytes: Range<usize>,
}

/// The events of a batch. A record adds all of itself or nothing.
#[derive(Debug, Default)]
pub struct Overlay {
    arena: Vec<u8>,
    touchpoints: Vec<StagedTouchpoint>,
    conversions: Vec<StagedConversion>,
    hasher: Hasher,
}

impl Overlay {
    /// An empty batch for the state of this hasher.
    pub fn of(hasher: &Hasher) -> Self {
        Self { hasher: hasher.clone(), ..Self::default() }
    }

    /// Forgets the batch and keeps the room.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.touchpoints.clear();
        self.conversions.clear();
    }

    /// Adds a touchpoint.
    pub fn touchpoint(&mut self, touchpoint: &Touchpoint<'_>) {
        let start = self.arena.len();
        record::encode_touchpoint(touchpoint, &mut self.arena);
        self.touchpoints.push(StagedTouchpoint {
            user: self.hasher.user(touchpoint.user_id),
            occurred_at: touchpoint.occurred_at,
            bytes: start..self.arena.len(),
        });
    }

    /// Adds a conversion or an adjustment.
    pub fn conversion(&mut self, event: &ConversionEvent<'_>) {
        let start = self.arena.len();
        let (id, adjusts) = match event {
            ConversionEvent::Conversion(conversion) => {
                record::encode_conversion(conversion, &mut self.arena);
                (conversion.event_id, false)
            }
            ConversionEvent::Adjustment(adjustment) => {
                record::encode_adjustment(adjustment, &mut self.arena);
                (adjustment.adjusts, true)
            }
        };
        self.conversions.push(StagedConversion {
            user: self.hasher.user(event.user_id()),
            conversion: self.hasher.conversion(id),
            occurred_at: event.occurred_at(),
            adjusts,
            bytes: start..self.arena.len(),
        });
    }

    /// The touchpoints, in the order they came.
    pub fn touchpoints(&self) -> &[StagedTouchpoint] {
        &self.touchpoints
    }

    /// The conversions and adjustments, in the order they came.
    pub fn conversions(&self) -> &[StagedConversion] {
        &self.conversions
    }

    /// The stored form of a touchpoint.
    pub fn touchpoint_record(&self, staged: &StagedTouchpoint) -> &[u8] {
        self.bytes(&staged.bytes)
    }

    /// The stored form of a conversion or an adjustment.
    pub fn conversion_record(&self, staged: &StagedConversion) -> &[u8] {
        self.bytes(&staged.bytes)
    }

    /// A touchpoint, read back.
    pub fn read_touchpoint(&self, staged: &StagedTouchpoint) -> Result<Touchpoint<'_>, record::Corrupt> {
        record::decode_touchpoint(staged.occurred_at, self.bytes(&staged.bytes))
    }

    /// A conversion, read back; only for one that does not adjust.
    pub fn read_conversion(&self, staged: &StagedConversion) -> Result<Conversion<'_>, record::Corrupt> {
        record::decode_conversion(staged.occurred_at, self.bytes(&staged.bytes))
    }

    /// An adjustment, read back; only for one that adjusts.
    pub fn read_adjustment(&self, staged: &StagedConversion) -> Result<Adjustment<'_>, record::Corrupt> {
        record::decode_adjustment(staged.occurred_at, self.bytes(&staged.bytes))
    }

    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.arena.get(range.clone()).unwrap_or_default()
    }
}
