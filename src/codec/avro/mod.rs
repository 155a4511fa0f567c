//! Avro: events by a plan made once for each writer's schema, rows and events to Avro.
//!
//! A plan is the writer's record schema walked once into a flat list of steps: each of its fields either goes to a slot
//! of the draft (with how to read it: which union branch is what, which unit a time has) or is skipped. Decoding is then
//! one pass over the bytes with no tree of values, no lookup by name and no allocation. Resolution follows the Avro
//! specification (fields by name in any order, added and dropped ones, unions, promotion of int and of bytes), with two
//! rules of the contract above it: a time in another unit is converted or refused, never misread, and a whole number is
//! never read from a floating one.
//!
//! apache-avro is what parses schemas, and what the tests compare with.

mod event;
mod plan;
mod primitive;
mod row;
mod skip;
#[cfg(test)]
mod tests;

use apache_avro::Schema;

pub use event::{write_conversion, write_touchpoint};
pub use row::{read_row, row_to_json, write_row};

use crate::core::Fault;
use crate::core::event::{ConversionDraft, TouchpointDraft};

/// Caps what apache-avro may allocate for one value at 1 MiB (its own default is 512 MiB). Takes effect once a process,
/// before the first use; returns whether it is in force.
pub fn limit_allocations() -> bool {
    const LIMIT: usize = 1 << 20;
    apache_avro::util::max_allocation_bytes(LIMIT) == LIMIT
}

/// How to read touchpoints that one writer's schema wrote.
#[derive(Debug)]
pub struct TouchpointPlan(plan::Plan);

impl TouchpointPlan {
    /// The plan for a writer's schema, or why no record of it can be a touchpoint.
    pub fn compile(writer: &Schema) -> Result<Self, Fault> {
        plan::Plan::compile::<TouchpointDraft<'_>>(writer).map(Self)
    }

    /// Reads one datum (what comes after the frame), borrowing its strings.
    pub fn decode<'a>(&self, datum: &'a [u8]) -> Result<TouchpointDraft<'a>, Fault> {
        self.0.decode(datum)
    }
}

/// How to read conversions and adjustments that one writer's schema wrote.
#[derive(Debug)]
pub struct ConversionPlan(plan::Plan);

impl ConversionPlan {
    /// The plan for a writer's schema, or why no record of it can be a conversion.
    pub fn compile(writer: &Schema) -> Result<Self, Fault> {
        plan::Plan::compile::<ConversionDraft<'_>>(writer).map(Self)
    }

    /// Reads one datum (what comes after the frame), borrowing its strings.
    pub fn decode<'a>(&self, datum: &'a [u8]) -> Result<ConversionDraft<'a>, Fault> {
        self.0.decode(datum)
    }
}
