//! The models: each turns a path into integer weights, one file a model.

mod first_touch;
mod last_non_direct_touch;
mod last_touch;
mod linear;
mod position_based;
mod time_decay;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use super::{Rules, Touchpoint};

/// A rule that turns a path into credits. The order is the canonical one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Model {
    /// All to the first touchpoint.
    FirstTouch,
    /// All to the last touchpoint.
    LastTouch,
    /// All to the last touchpoint whose channel is not `direct`, else to the last.
    LastNonDirectTouch,
    /// The same to each.
    Linear,
    /// 40 % to the first, 40 % to the last, 20 % shared by the others.
    PositionBased,
    /// Half as much for each half-life before the last touchpoint.
    TimeDecay,
}

impl Model {
    /// Every model, in canonical order.
    pub const ALL: [Self; 6] = [
        Self::FirstTouch,
        Self::LastTouch,
        Self::LastNonDirectTouch,
        Self::Linear,
        Self::PositionBased,
        Self::TimeDecay,
    ];

    /// The model's name in rows, rules and queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstTouch => "first_touch",
            Self::LastTouch => "last_touch",
            Self::LastNonDirectTouch => "last_non_direct_touch",
            Self::Linear => "linear",
            Self::PositionBased => "position_based",
            Self::TimeDecay => "time_decay",
        }
    }

    /// The model's number in stored keys. It never changes its meaning.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The model of a stored number.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.number() == number)
    }

    /// Writes one weight for each touchpoint of `path` (oldest first, not empty) into `weights`, which is cleared first.
    pub fn weigh(self, path: &[Touchpoint<'_>], rules: &Rules, weights: &mut Vec<u64>) {
        weights.clear();
        match self {
            Self::FirstTouch => first_touch::weigh(path, weights),
            Self::LastTouch => last_touch::weigh(path, weights),
            Self::LastNonDirectTouch => last_non_direct_touch::weigh(path, weights),
            Self::Linear => linear::weigh(path, weights),
            Self::PositionBased => position_based::weigh(path, weights),
            Self::TimeDecay => time_decay::weigh(path, rules.half_life_ms(), weights),
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no model's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no model is named {0:?}; there are first_touch, last_touch, last_non_direct_touch, linear, position_based, time_decay"
)]
pub struct UnknownModel(pub String);

impl FromStr for Model {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        Self::ALL.into_iter().find(|model| model.name() == name).ok_or_else(|| UnknownModel(name.into()))
    }
}

/// All to the touchpoint at `index`, nothing to the others of `length`.
fn all_to(index: usize, length: usize, weights: &mut Vec<u64>) {
    weights.extend((0..length).map(|i| u64::from(i == index)));
}
