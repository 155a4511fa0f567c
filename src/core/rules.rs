//! Every setting that bears on results, and the digest that is kept beside state and offsets.

use super::{CORE_VERSION, Millis, Model};

const DAY: Millis = 86_400_000;

/// The rules of credit. Two runs with equal rules and equal events give equal rows; a different digest means different
/// rows, so state of one is never continued under the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    lookback_ms: Millis,
    half_life_ms: Millis,
    max_path: usize,
    models: Vec<Model>,
}

impl Default for Rules {
    /// 30 days of lookback, a half-life of 7 days, paths of at most 256 touchpoints, all six models.
    fn default() -> Self {
        Self { lookback_ms: 30 * DAY, half_life_ms: 7 * DAY, max_path: 256, models: Model::ALL.to_vec() }
    }
}

/// A rule that cannot be used: which setting, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {reason}")]
pub struct RulesError {
    /// The setting's name.
    pub setting: &'static str,
    /// Why it cannot be used.
    pub reason: String,
}

impl Rules {
    /// Rules from their settings. `lookback_ms` 1 ms to 3650 days, `half_life_ms` 1 ms to 3650 days, `max_path` 1 to
    /// 10 000, at least one model, none twice. Models are put into their canonical order, which shows in no row.
    pub fn new(
        lookback_ms: Millis,
        half_life_ms: Millis,
        max_path: usize,
        mut models: Vec<Model>,
    ) -> Result<Self, RulesError> {
        let refuse = |setting, reason: String| Err(RulesError { setting, reason });
        for (setting, value) in [("lookback", lookback_ms), ("half_life", half_life_ms)] {
            if !(1..=3650 * DAY).contains(&value) {
                return refuse(setting, format!("{value} ms is not between 1 ms and 3650 days"));
            }
        }
        if !(1..=10_000).contains(&max_path) {
            return refuse("max_path", format!("{max_path} is not between 1 and 10000"));
        }
        if models.is_empty() {
            return refuse("models", "at least one model is needed".into());
        }
        models.sort_unstable();
        let named = models.len();
        models.dedup();
        if models.len() != named {
            return refuse("models", "a model is named twice".into());
        }
        Ok(Self { lookback_ms, half_life_ms, max_path, models })
    }

    /// How long before a conversion a touchpoint may still earn credit, in milliseconds.
    pub fn lookback_ms(&self) -> Millis {
        self.lookback_ms
    }

    /// After how long before the path's last touchpoint a touchpoint weighs half under time decay, in milliseconds.
    pub fn half_life_ms(&self) -> Millis {
        self.half_life_ms
    }

    /// The greatest number of touchpoints that one conversion credits.
    pub fn max_path(&self) -> usize {
        self.max_path
    }

    /// The models, in canonical order.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The rules as one line of text, kept beside the digest so that a refusal can say what differs.
    pub fn canonical(&self) -> String {
        let mut text = format!(
            "core={CORE_VERSION} lookback_ms={} half_life_ms={} max_path={} models=",
            self.lookback_ms, self.half_life_ms, self.max_path
        );
        for (index, model) in self.models.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            text.push_str(comma);
            text.push_str(model.name());
        }
        text
    }

    /// The digest of [`Self::canonical`]: 32 hexadecimal digits of XXH3-128.
    pub fn digest(&self) -> String {
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(self.canonical().as_bytes()))
    }
}
