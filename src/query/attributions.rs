//! The rows of one conversion, computed from the state by the same core as the stream's own.

use serde::Serialize;
use utoipa::ToSchema;

use super::journey::settled_adjustments;
use super::{Answer, Error, Freshness, Reader, Status};
use crate::codec::record;
use crate::core::row::{Scratch, credit};
use crate::core::{Row, journey};
use crate::store::{ConversionKey, Stored, UserKey, View};

/// Who earned a conversion, under every model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attributions {
    /// The conversion.
    pub conversion_id: String,
    /// Who converted.
    pub user_id: String,
    /// Whether it counts. A retracted conversion has no rows.
    pub status: Status,
    /// The rows, as they stand on the output topic.
    pub rows: Vec<AttributionRow>,
}

/// One attribution row: (conversion, model, touchpoint) -> credit and credited value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AttributionRow {
    /// conversion_id, model and touchpoint_id, joined by `|`.
    pub row_id: String,
    /// The conversion.
    pub conversion_id: String,
    /// The model that gave the credit.
    pub model: String,
    /// The version of a trained model.
    #[schema(required)]
    pub model_version: Option<i32>,
    /// The touchpoint; empty when unattributed.
    pub touchpoint_id: String,
    /// Who converted.
    pub user_id: String,
    /// The conversion's kind.
    pub kind: String,
    /// When the conversion happened, in milliseconds since 1970.
    pub converted_at: i64,
    /// When the touchpoint happened, in milliseconds since 1970.
    #[schema(required)]
    pub touched_at: Option<i64>,
    /// The touchpoint's channel, `(other)` or `(unattributed)`.
    pub channel: String,
    /// The kind of contact.
    #[schema(required)]
    pub interaction: Option<String>,
    /// UTM source.
    #[schema(required)]
    pub source: Option<String>,
    /// UTM medium.
    #[schema(required)]
    pub medium: Option<String>,
    /// UTM campaign.
    #[schema(required)]
    pub campaign: Option<String>,
    /// UTM content.
    #[schema(required)]
    pub content: Option<String>,
    /// UTM term.
    #[schema(required)]
    pub term: Option<String>,
    /// The touchpoint's place in the path, 1 the oldest; 0 when unattributed.
    pub position: i32,
    /// Touchpoints of the path, as credited.
    pub path_length: i32,
    /// This touchpoint's share of 1 000 000.
    pub credit_micros: i64,
    /// This touchpoint's share of the value, in micros of `currency`.
    pub credited_micros: i64,
    /// The conversion's whole value, in micros of `currency`.
    pub conversion_micros: i64,
    /// The currency of the value.
    #[schema(required)]
    pub currency: Option<String>,
    /// How many distinct inputs bear on the conversion.
    pub revision: i64,
    /// Whether the path was longer than `max_path`.
    pub truncated: bool,
    /// Always false today.
    pub removed: bool,
}

impl Reader {
    /// The rows of a conversion, whichever user it belongs to.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] where it is in none of the partitions and all are held here, else [`Error::Partly`].
    pub fn attributions(&self, conversion_id: &str) -> Result<Answer<Attributions>, Error> {
        let mut all = Freshness::default();
        let mut held = 0;
        for (number, partition) in self.each() {
            self.in_time()?;
            held += 1;
            let view = partition.view();
            let key = view.hasher().conversion(conversion_id);
            for user in view.owners(key)? {
                if let Some(value) = self.of_owner(&view, (user, key), conversion_id)? {
                    let mut freshness = Freshness::default();
                    freshness.add(number, &view)?;
                    return Ok(Answer { value, freshness });
                }
            }
            all.add(number, &view)?;
        }
        let of = self.count.get();
        if held < of { Err(Error::Partly { held, of }) } else { Err(Error::NotFound(all)) }
    }

    fn of_owner(
        &self,
        view: &View<'_>,
        (user, key): (UserKey, ConversionKey),
        conversion_id: &str,
    ) -> Result<Option<Attributions>, Error> {
        let Some((occurred_at, bytes)) = view.conversion(user, key)? else {
            return Ok(None);
        };
        let conversion = record::decode_conversion(occurred_at, &bytes)?;
        if conversion.event_id != conversion_id {
            return Ok(None); // two ids of one hash
        }
        let mut stored = Stored::new();
        view.adjustments(user, key, &mut stored)?;
        let adjustments = settled_adjustments(&stored, &conversion)?;
        let mut path = Stored::new();
        view.touchpoints(user, occurred_at - self.rules.lookback_ms(), occurred_at, &mut path)?;
        let mut touchpoints = Vec::with_capacity(path.len());
        for (at, bytes) in path.iter() {
            touchpoints.push(record::decode_touchpoint(at, bytes)?);
        }
        touchpoints.retain(|touchpoint| touchpoint.user_id == conversion.user_id);
        journey::settle(&mut touchpoints);
        let mut rows = Vec::new();
        credit(&conversion, &adjustments, &touchpoints, &self.rules, &mut Scratch::default(), &mut rows);
        let retracted = matches!(journey::standing(&conversion, &adjustments), journey::Standing::Retracted);
        Ok(Some(Attributions {
            conversion_id: conversion_id.to_owned(),
            user_id: conversion.user_id.to_owned(),
            status: if retracted { Status::Retracted } else { Status::Counts },
            rows: rows.iter().map(AttributionRow::of).collect(),
        }))
    }
}

impl AttributionRow {
    fn of(row: &Row<'_>) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let mut row_id = Vec::new();
        row.write_id(&mut row_id);
        Self {
            row_id: String::from_utf8_lossy(&row_id).into_owned(),
            conversion_id: row.conversion_id.to_owned(),
            model: row.model.name().to_owned(),
            model_version: row.model_version,
            touchpoint_id: row.touchpoint_id.to_owned(),
            user_id: row.user_id.to_owned(),
            kind: row.kind.to_owned(),
            converted_at: row.converted_at,
            touched_at: row.touched_at,
            channel: row.channel.to_owned(),
            interaction: owned(row.interaction),
            source: owned(row.source),
            medium: owned(row.medium),
            campaign: owned(row.campaign),
            content: owned(row.content),
            term: owned(row.term),
            position: row.position,
            path_length: row.path_length,
            credit_micros: row.credit_micros,
            credited_micros: row.credited_micros,
            conversion_micros: row.conversion_micros,
            currency: owned(row.currency),
            revision: row.revision,
            truncated: row.truncated,
            removed: row.removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::json;
    use crate::query::samples::{Shop, touchpoint};

    #[test]
    fn rows_are_those_of_the_core_and_of_the_output_topic() {
        let shop = Shop::open();
        shop.touch(&touchpoint("t1", "ann", 10, "email"));
        shop.touch(&touchpoint("t|2", "ann", 20, "ads"));
        shop.touch(&touchpoint("after", "ann", 40, "ads"));
        shop.convert("c1", "ann", 30, Some(101));
        let answer = shop.reader.attributions("c1").unwrap();
        assert_eq!((answer.value.user_id.as_str(), answer.value.status), ("ann", Status::Counts));
        let linear: Vec<_> = answer.value.rows.iter().filter(|row| row.model == "linear").collect();
        let credits: Vec<_> = linear.iter().map(|r| (r.row_id.as_str(), r.credit_micros, r.credited_micros)).collect();
        assert_eq!(credits, [("c1|linear|t1", 500_000, 51), ("c1|linear|t\\|2", 500_000, 50)]);
        assert_eq!(answer.freshness.position(), format!("{}:7:3", shop.partition("ann")));

        let (t, c) = (touchpoint("t1", "ann", 10, "email"), shop.conversion("c1", "ann", 30, Some(101)));
        let mut rows = Vec::new();
        credit(&c, &[], &[t], &shop.rules(), &mut Scratch::default(), &mut rows);
        let mut topic = Vec::new();
        json::write_row(&rows[0], &mut topic);
        assert_eq!(serde_json::to_vec(&AttributionRow::of(&rows[0])).unwrap(), topic);
    }

    #[test]
    fn retracted_is_found_without_rows_and_unknown_is_not_found() {
        let shop = Shop::open();
        shop.convert("c1", "ann", 30, Some(101));
        shop.adjust("a1", "c1", "ann", 31, None);
        let answer = shop.reader.attributions("c1").unwrap().value;
        assert_eq!((answer.status, answer.rows.len()), (Status::Retracted, 0));
        assert!(matches!(shop.reader.attributions("c2"), Err(Error::NotFound(_))));
        let partly = Reader::new(shop.partitions(), shop.rules(), std::num::NonZeroU32::new(9).unwrap());
        assert!(matches!(partly.attributions("c2"), Err(Error::Partly { held: 2, of: 9 })));
    }
}
