//! Bytes to drafts: whatever a record says it is, by whichever writer's schema.

use std::sync::Arc;

use apache_avro::Schema;

use crate::codec::avro::{ConversionPlan, TouchpointPlan};
use crate::codec::{Framing, framing, json};
use crate::core::Fault;
use crate::core::event::{ConversionDraft, TouchpointDraft};
use crate::registry::{Generations, Schemas};

/// How many writers' schemas are remembered for each input.
const REMEMBERED: usize = 1000;

/// Why there is no draft.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The record is bad: set it aside.
    #[error("{0}")]
    Bad(#[from] Fault),
    /// The schema registry cannot be asked, so it is not known yet whether the record is any good: wait.
    #[error("{0}")]
    Unreachable(String),
}

/// Decodes the values of one worker's records.
pub struct Decoder {
    schemas: Option<Arc<dyn Schemas>>,
    touchpoints: Plans<TouchpointPlan>,
    conversions: Plans<ConversionPlan>,
}

impl Decoder {
    /// A decoder that gets writers' schemas from there; without a registry, Avro is a fault.
    pub fn new(schemas: Option<Arc<dyn Schemas>>) -> Self {
        Self { schemas, touchpoints: Plans::new(), conversions: Plans::new() }
    }

    /// Reads a touchpoint. Blocks while a schema that was not seen before is asked for.
    pub fn touchpoint<'a>(&mut self, value: &'a [u8]) -> Result<TouchpointDraft<'a>, Failure> {
        match framing(value) {
            Framing::Json(json) => Ok(json::touchpoint(json)?),
            Framing::Avro { schema_id, datum } => {
                let plan = self.touchpoints.plan(schema_id, self.schemas.as_deref(), TouchpointPlan::compile)?;
                Ok(plan.decode(datum)?)
            }
            Framing::Unknown(reason) => Err(Fault::new("value", reason).into()),
        }
    }

    /// Reads a conversion or an adjustment. Blocks as [`Self::touchpoint`] does.
    pub fn conversion<'a>(&mut self, value: &'a [u8]) -> Result<ConversionDraft<'a>, Failure> {
        match framing(value) {
            Framing::Json(json) => Ok(json::conversion(json)?),
            Framing::Avro { schema_id, datum } => {
                let plan = self.conversions.plan(schema_id, self.schemas.as_deref(), ConversionPlan::compile)?;
                Ok(plan.decode(datum)?)
            }
            Framing::Unknown(reason) => Err(Fault::new("value", reason).into()),
        }
    }
}

/// The plans of one input by schema id, or why there is none: a schema never changes under its id.
struct Plans<P> {
    /// Nearly all records of an input have one schema.
    last: Option<(u32, Arc<P>)>,
    known: Generations<Result<Arc<P>, Fault>>,
}

impl<P> Plans<P> {
    fn new() -> Self {
        Self { last: None, known: Generations::new(REMEMBERED) }
    }

    fn plan(
        &mut self,
        id: u32,
        schemas: Option<&dyn Schemas>,
        compile: impl Fn(&Schema) -> Result<P, Fault>,
    ) -> Result<&P, Failure> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != id) {
            let plan = match self.known.get(id) {
                Some(plan) => plan.clone()?,
                None => self.learn(id, schemas, compile)?,
            };
            self.last = Some((id, plan));
        }
        match &self.last {
            Some((_, plan)) => Ok(plan),
            None => Err(Failure::Unreachable("no plan".into())), // set just above
        }
    }

    /// Asks for the schema and makes its plan. That an id is unknown is for the registry to remember, which also knows
    /// when to ask again.
    fn learn(
        &mut self,
        id: u32,
        schemas: Option<&dyn Schemas>,
        compile: impl Fn(&Schema) -> Result<P, Fault>,
    ) -> Result<Arc<P>, Failure> {
        let Some(schemas) = schemas else {
            return Err(Fault::new("value", "Avro, but no schema registry is configured (registry.url)").into());
        };
        let schema = schemas.schema(id).map_err(|error| match error {
            error if error.is_of_the_record() => Failure::Bad(Fault::new("value", error.to_string())),
            error => Failure::Unreachable(error.to_string()),
        })?;
        let plan = compile(&schema).map(Arc::new);
        self.known.insert(id, plan.clone());
        Ok(plan?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::codec::{avro, samples, schemas};
    use crate::registry::Error;

    /// A registry of our schemas (ids 1 and 2), a wrong one (3) and a silent one (4), and how often it was asked.
    fn fake() -> (Arc<AtomicUsize>, Decoder) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let answer = move |id| {
            count.fetch_add(1, Ordering::Relaxed);
            match id {
                1 => Ok(Arc::new(Schema::parse_str(schemas::TOUCHPOINT).unwrap())),
                2 => Ok(Arc::new(Schema::parse_str(schemas::CONVERSION).unwrap())),
                3 => Ok(Arc::new(Schema::String)),
                4 => Err(Error::Unreachable("connection refused".into())),
                id => Err(Error::UnknownId(id)),
            }
        };
        (asked, Decoder::new(Some(Arc::new(answer))))
    }

    fn bad(failure: Failure) -> String {
        match failure {
            Failure::Bad(fault) => fault.to_string(),
            Failure::Unreachable(why) => panic!("unreachable: {why}"),
        }
    }

    #[test]
    fn both_framings_give_the_same_draft_and_a_schema_is_asked_for_once() {
        let (asked, mut decoder) = fake();
        let touchpoint = samples::bare("e", "u");
        let mut framed = Vec::new();
        avro::write_touchpoint(1, &touchpoint, &mut framed);
        let json = br#"{"event_id":"e","user_id":"u","occurred_at":1700000000000}"#;
        for _ in 0..3 {
            assert_eq!(decoder.touchpoint(&framed).unwrap().check(), Ok(touchpoint));
            assert_eq!(decoder.touchpoint(json).unwrap().check(), Ok(touchpoint));
        }
        let draft = decoder.conversion(&[0, 0, 0, 0, 2, 2, b'c', 2, b'u', 2, 0, 0, 0, 0]).unwrap();
        assert_eq!(draft.event_id.as_deref(), Some("c"));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_bad_record_is_told_from_a_silent_registry() {
        let (asked, mut decoder) = fake();
        assert_eq!(
            bad(decoder.touchpoint(&[0, 0, 0, 0, 9]).unwrap_err()),
            "value: schema id 9 is unknown to the registry"
        );
        for _ in 0..3 {
            let fault = bad(decoder.touchpoint(&[0, 0, 0, 0, 3, 0]).unwrap_err());
            assert_eq!(fault, "value: string in the writer's schema where a record is asked");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        for _ in 0..2 {
            let failure = decoder.conversion(&[0, 0, 0, 0, 4, 0]).unwrap_err();
            assert_eq!(failure, Failure::Unreachable("schema registry not reachable: connection refused".into()));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 4, "a silent registry is asked again");
        assert_eq!(bad(decoder.touchpoint(&[0, 0, 0, 0, 1, 2]).unwrap_err()), "event_id: truncated");
    }

    #[test]
    fn what_is_neither_is_a_fault() {
        let mut decoder = Decoder::new(None);
        let fault = bad(decoder.touchpoint(&[0, 0, 0, 0, 1, 0]).unwrap_err());
        assert_eq!(fault, "value: Avro, but no schema registry is configured (registry.url)");
        let fault = bad(decoder.conversion(b"hello").unwrap_err());
        assert_eq!(fault, "value: neither Confluent-framed Avro nor a JSON object");
        assert_eq!(bad(decoder.conversion(b"{\"kind\":1}").unwrap_err()), "kind: a number where a string is asked");
        assert!(decoder.conversion(b" {}").is_ok());
    }
}
