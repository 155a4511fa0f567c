//! The schemas of the wire, as committed in `schemas/`, and the subjects that a registry keeps them under.

/// The schema of touchpoints.
pub const TOUCHPOINT: &str = include_str!("../../schemas/touchpoint.avsc");
/// The schema of conversions and adjustments.
pub const CONVERSION: &str = include_str!("../../schemas/conversion.avsc");
/// The schema of attribution rows.
pub const ATTRIBUTION: &str = include_str!("../../schemas/attribution.avsc");

/// A schema and the subject it is registered under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The subject: a topic's name with `-value` after it (the topic name strategy).
    pub name: String,
    /// The schema's text.
    pub schema: &'static str,
}

/// The subjects of these topics: touchpoints, conversions, attributions.
pub fn subjects(touchpoints: &str, conversions: &str, attributions: &str) -> [Subject; 3] {
    let subject = |topic: &str, schema| Subject { name: format!("{topic}-value"), schema };
    [subject(touchpoints, TOUCHPOINT), subject(conversions, CONVERSION), subject(attributions, ATTRIBUTION)]
}

#[cfg(test)]
mod tests {
    use apache_avro::Schema;

    use super::*;
    use crate::codec::field::Fields;
    use crate::core::event::{ConversionDraft, TouchpointDraft};

    fn fields(text: &str) -> Vec<apache_avro::schema::RecordField> {
        let Schema::Record(record) = Schema::parse_str(text).unwrap() else { panic!("no record") };
        assert_eq!(record.name.namespace(), Some("tributary"));
        assert!(record.doc.is_some());
        record.fields
    }

    #[test]
    fn events_have_the_contracts_fields_in_its_order() {
        let names = |text| fields(text).into_iter().map(|f| f.name).collect::<Vec<_>>();
        assert_eq!(names(TOUCHPOINT), TouchpointDraft::NAMES);
        assert_eq!(names(CONVERSION), ConversionDraft::NAMES);
    }

    #[test]
    fn every_field_is_documented_and_every_optional_one_defaults_to_null() {
        for field in [TOUCHPOINT, CONVERSION, ATTRIBUTION].into_iter().flat_map(fields) {
            assert!(field.doc.is_some_and(|doc| !doc.is_empty()), "{} has no doc", field.name);
            let Schema::Union(union) = &field.schema else { continue };
            assert!(matches!(union.variants(), [Schema::Null, _]), "{}", field.name);
            assert_eq!(field.default, Some(serde_json::Value::Null), "{}", field.name);
        }
    }

    #[test]
    fn subjects_go_by_topic() {
        let names = subjects("t", "c", "a").map(|s| s.name);
        assert_eq!(names, ["t-value", "c-value", "a-value"]);
    }
}
