//! The plan of one writer's schema: made once, run for every record.

use std::borrow::Cow;

use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, NamespaceRef, RecordField, ResolvedSchema, UuidSchema};

use super::primitive::{self, Reason};
use super::skip::{Compiler, Skip, Types};
use crate::codec::bytes::Cursor;
use crate::codec::field::{Fields, Kind, Slot};
use crate::core::Fault;

/// The writer's fields in the order of its schema, and the records that skipped ones may contain.
#[derive(Debug)]
pub(super) struct Plan {
    steps: Box<[Step]>,
    types: Types,
}

/// What to do with one of the writer's fields.
#[derive(Debug)]
enum Step {
    /// It is our field of that number.
    Take(u8, Read),
    /// It is none of ours.
    Pass(Box<str>, Skip),
}

/// How to read a value into a slot.
#[derive(Debug)]
enum Read {
    /// No bytes, no value.
    Null,
    /// A string, or bytes that are to be one (the promotion that Avro allows).
    Text,
    /// One of these symbols, as a string.
    Symbol(Box<[Box<str>]>),
    /// A long.
    Long,
    /// An int, promoted.
    Int,
    /// A moment in so many parts of a millisecond.
    Moment(i64),
    /// One of these.
    Union(Box<[Read]>),
    /// A union branch that our field cannot be.
    Refused(Box<str>),
}

impl Plan {
    /// The plan for a writer's schema that is to fill a `D`.
    pub(super) fn compile<'a, D: Fields<'a>>(writer: &Schema) -> Result<Self, Fault> {
        let of_value = |reason: String| Fault::new("value", reason);
        let Schema::Record(record) = writer else {
            return Err(of_value(format!("{} in the writer's schema where a record is asked", named(writer))));
        };
        let resolved = ResolvedSchema::new(writer).map_err(|e| of_value(format!("the writer's schema: {e}")))?;
        let mut compiler = Compiler::new(resolved.get_names());
        let name = record.name.fully_qualified_name(None);
        let mut steps = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            steps.push(match D::number(&field.name) {
                Some(number) => {
                    let read = take(field, D::kind(number), &compiler, name.namespace());
                    Step::Take(number, read.map_err(|reason| Fault::new(D::name(number), reason))?)
                }
                None => match compiler.skip(&field.schema, name.namespace(), 1).map_err(of_value)? {
                    Skip::Nothing => continue,
                    skip => Step::Pass(field.name.as_str().into(), skip),
                },
            });
        }
        Ok(Self { steps: steps.into(), types: compiler.finish() })
    }

    /// Reads one datum, all of it.
    pub(super) fn decode<'a, D: Fields<'a>>(&self, datum: &'a [u8]) -> Result<D, Fault> {
        let mut cursor = Cursor::new(datum);
        let mut draft = D::default();
        for step in &self.steps {
            match step {
                Step::Take(number, read) => {
                    let Some(slot) = draft.slot(*number) else { continue };
                    read.fill(&mut cursor, slot).map_err(|reason| Fault::new(D::name(*number), reason))?;
                }
                Step::Pass(name, skip) => skip
                    .pass(&mut cursor, &self.types)
                    .map_err(|reason| Fault::new("value", format!("the writer's field {name}: {reason}")))?,
            }
        }
        match cursor.left() {
            0 => Ok(draft),
            left => Err(Fault::new("value", format!("{left} bytes left over"))),
        }
    }
}

impl Read {
    fn fill<'a>(&self, cursor: &mut Cursor<'a>, slot: Slot<'_, 'a>) -> Result<(), Cow<'static, str>> {
        match (self, slot) {
            (Self::Null, _) => Ok(()),
            (Self::Union(branches), slot) => match branches.get(primitive::index(cursor)?) {
                Some(read) => read.fill(cursor, slot),
                None => Err("a union branch that does not exist".into()),
            },
            (Self::Text, Slot::Text(slot)) => {
                *slot = Some(Cow::Borrowed(primitive::text(cursor)?));
                Ok(())
            }
            (Self::Symbol(symbols), Slot::Text(slot)) => {
                let symbol = symbols.get(primitive::index(cursor)?).ok_or("an enum symbol that does not exist")?;
                *slot = Some(Cow::Owned(symbol.to_string()));
                Ok(())
            }
            (Self::Refused(reason), _) => Err(reason.to_string().into()),
            (number, Slot::Whole(slot) | Slot::Time(slot)) => {
                *slot = Some(number.number(cursor)?);
                Ok(())
            }
            (_, Slot::Text(_)) => Err("a number where a string is asked".into()),
        }
    }

    fn number(&self, cursor: &mut Cursor<'_>) -> Result<i64, Reason> {
        match self {
            Self::Long => primitive::long(cursor),
            Self::Int => primitive::int(cursor),
            Self::Moment(parts) => primitive::long(cursor).map(|moment| moment.div_euclid(*parts)),
            _ => Err("a string where a number is asked"),
        }
    }
}

/// How to read one of our fields from what the writer's schema says it is.
fn take(field: &RecordField, kind: Kind, compiler: &Compiler<'_>, space: NamespaceRef<'_>) -> Result<Read, String> {
    // A logical type beside the type instead of inside it is a common slip, which every Avro library ignores. For a time
    // it would hide the unit.
    if kind == Kind::Time
        && let Some(unit) = field.custom_attributes.get("logicalType")
        && unit != "timestamp-millis"
    {
        return Err(format!("the writer's schema has logicalType {unit} beside the type, where Avro does not see it"));
    }
    let Schema::Union(union) = &field.schema else {
        return value(&field.schema, kind, compiler, space);
    };
    let mut reads = Vec::with_capacity(union.variants().len());
    let mut refused = None;
    for branch in union.variants() {
        reads.push(value(branch, kind, compiler, space).unwrap_or_else(|reason| {
            refused.get_or_insert_with(|| reason.clone());
            Read::Refused(reason.into())
        }));
    }
    match refused {
        Some(reason) if reads.iter().all(|read| matches!(read, Read::Refused(_))) => Err(reason),
        _ => Ok(Read::Union(reads.into())),
    }
}

/// How to read a value that is no union.
fn value(schema: &Schema, kind: Kind, compiler: &Compiler<'_>, space: NamespaceRef<'_>) -> Result<Read, String> {
    let schema = match schema {
        Schema::Ref { name } => compiler.definition(name, space)?,
        schema => schema,
    };
    match (schema, kind) {
        (Schema::Null, _) => Ok(Read::Null),
        (Schema::String | Schema::Bytes | Schema::Uuid(UuidSchema::String), Kind::Text) => Ok(Read::Text),
        (Schema::Enum(symbols), Kind::Text) => Ok(Read::Symbol(texts(symbols))),
        (Schema::Long, Kind::Whole | Kind::Time) => Ok(Read::Long),
        (Schema::Int, Kind::Whole | Kind::Time) => Ok(Read::Int),
        (Schema::TimestampMillis, Kind::Time) => Ok(Read::Long),
        (Schema::TimestampMicros, Kind::Time) => Ok(Read::Moment(1_000)),
        (Schema::TimestampNanos, Kind::Time) => Ok(Read::Moment(1_000_000)),
        (schema, kind) => {
            let asked = match kind {
                Kind::Text => "a string",
                Kind::Whole => "an int or a long",
                Kind::Time => "a timestamp (millis, micros or nanos) or a plain long of milliseconds",
            };
            Err(format!("{} in the writer's schema where {asked} is asked", named(schema)))
        }
    }
}

fn texts(symbols: &EnumSchema) -> Box<[Box<str>]> {
    symbols.symbols.iter().map(|symbol| symbol.as_str().into()).collect()
}

/// A type as the specification spells it.
fn named(schema: &Schema) -> &'static str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean => "boolean",
        Schema::Int => "int",
        Schema::Long => "long",
        Schema::Float => "float",
        Schema::Double => "double",
        Schema::Bytes => "bytes",
        Schema::String => "string",
        Schema::Array(_) => "array",
        Schema::Map(_) => "map",
        Schema::Union(_) => "union",
        Schema::Record(_) => "record",
        Schema::Enum(_) => "enum",
        Schema::Fixed(_) => "fixed",
        Schema::Decimal(_) => "decimal",
        Schema::BigDecimal => "big-decimal",
        Schema::Uuid(_) => "uuid (of bytes)",
        Schema::Date => "date",
        Schema::TimeMillis => "time-millis",
        Schema::TimeMicros => "time-micros",
        Schema::TimestampMillis => "timestamp-millis",
        Schema::TimestampMicros => "timestamp-micros",
        Schema::TimestampNanos => "timestamp-nanos",
        Schema::LocalTimestampMillis => "local-timestamp-millis",
        Schema::LocalTimestampMicros => "local-timestamp-micros",
        Schema::LocalTimestampNanos => "local-timestamp-nanos",
        Schema::Duration(_) => "duration",
        Schema::Ref { .. } => "name",
    }
}
