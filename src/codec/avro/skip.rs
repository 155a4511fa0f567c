//! Passing over the writer's fields that are not ours.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, NamesRef, NamespaceRef, RecordSchema, UuidSchema};

use super::primitive::{self, Reason, TRUNCATED};
use crate::codec::bytes::Cursor;

/// How deep types may be nested, in a schema and in a datum (a type may contain itself): a bound on the stack.
const MAX_DEPTH: usize = 100;

/// How to pass over a value of one type.
#[derive(Clone, Debug)]
pub(super) enum Skip {
    /// Takes no bytes.
    Nothing,
    Boolean,
    Int,
    Long,
    /// So many bytes.
    Fixed(usize),
    /// A length, and so many bytes.
    Bytes,
    /// One of so many symbols.
    Symbol(usize),
    Array(Box<Skip>),
    Map(Box<Skip>),
    Record(Box<[Skip]>),
    Union(Box<[Skip]>),
    /// The record at that place of [`Types`].
    Named(usize),
}

/// The records of a schema, which values may refer to by name.
#[derive(Debug)]
pub(super) struct Types(Box<[Skip]>);

/// Makes the [`Skip`]s of one schema.
pub(super) struct Compiler<'s> {
    names: &'s NamesRef<'s>,
    places: HashMap<Name, usize>,
    records: Vec<Option<Skip>>,
}

impl<'s> Compiler<'s> {
    pub(super) fn new(names: &'s NamesRef<'s>) -> Self {
        Self { names, places: HashMap::new(), records: Vec::new() }
    }

    /// The type that `name` stands for.
    pub(super) fn definition(&self, name: &Name, space: NamespaceRef<'_>) -> Result<&'s Schema, String> {
        let name = name.fully_qualified_name(space);
        self.names
            .get(&*name)
            .copied()
            .ok_or_else(|| format!("the writer's schema does not define {}", name.fullname(None)))
    }

    /// How to pass over a value of `schema`; `space` is the namespace that its names are in, `depth` how deep it lies.
    pub(super) fn skip(&mut self, schema: &'s Schema, space: NamespaceRef<'_>, depth: usize) -> Result<Skip, String> {
        if depth > MAX_DEPTH {
            return Err(format!("the writer's schema is nested deeper than {MAX_DEPTH} types"));
        }
        Ok(match schema {
            Schema::Null => Skip::Nothing,
            Schema::Boolean => Skip::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Skip::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Skip::Long,
            Schema::Float => Skip::Fixed(4),
            Schema::Double => Skip::Fixed(8),
            Schema::Bytes | Schema::String | Schema::BigDecimal => Skip::Bytes,
            Schema::Uuid(UuidSchema::Bytes | UuidSchema::String) => Skip::Bytes,
            Schema::Uuid(UuidSchema::Fixed(fixed)) | Schema::Fixed(fixed) | Schema::Duration(fixed) => {
                sized(fixed.size)
            }
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Skip::Bytes,
                InnerDecimalSchema::Fixed(fixed) => sized(fixed.size),
            },
            Schema::Enum(symbols) => Skip::Symbol(symbols.symbols.len()),
            Schema::Array(array) => Skip::Array(Box::new(self.skip(&array.items, space, depth + 1)?)),
            Schema::Map(map) => Skip::Map(Box::new(self.skip(&map.types, space, depth + 1)?)),
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.skip(branch, space, depth + 1));
                Skip::Union(branches.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => self.record(record, space, depth)?,
            Schema::Ref { name } => match self.definition(name, space)? {
                Schema::Ref { .. } => return Err("the writer's schema has a name that stands for a name".into()),
                definition => self.skip(definition, space, depth + 1)?,
            },
        })
    }

    /// Each record is made once, however often the schema refers to it: a schema of a few lines can spell a tree of
    /// billions of fields.
    fn record(&mut self, record: &'s RecordSchema, space: NamespaceRef<'_>, depth: usize) -> Result<Skip, String> {
        let name = record.name.fully_qualified_name(space).into_owned();
        if let Some(place) = self.places.get(&name).copied() {
            return Ok(self.named(place));
        }
        let place = self.records.len();
        self.records.push(None);
        self.places.insert(name.clone(), place);
        let mut fields = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            match self.skip(&field.schema, name.namespace(), depth + 1)? {
                Skip::Nothing => {}
                skip => fields.push(skip),
            }
        }
        let skip = if fields.is_empty() { Skip::Nothing } else { Skip::Record(fields.into()) };
        if let Some(made) = self.records.get_mut(place) {
            *made = Some(skip);
        }
        Ok(self.named(place))
    }

    fn named(&self, place: usize) -> Skip {
        match self.records.get(place) {
            Some(Some(Skip::Nothing)) => Skip::Nothing,
            _ => Skip::Named(place),
        }
    }

    pub(super) fn finish(self) -> Types {
        Types(self.records.into_iter().map(|record| record.unwrap_or(Skip::Nothing)).collect())
    }
}

fn sized(size: usize) -> Skip {
    if size == 0 { Skip::Nothing } else { Skip::Fixed(size) }
}

impl Skip {
    /// Passes over one value.
    pub(super) fn pass(&self, cursor: &mut Cursor<'_>, types: &Types) -> Result<(), Reason> {
        self.pass_at(cursor, types, 0)
    }

    fn pass_at(&self, cursor: &mut Cursor<'_>, types: &Types, depth: usize) -> Result<(), Reason> {
        if depth > MAX_DEPTH {
            return Err("nested deeper than 100 values");
        }
        match self {
            Self::Nothing => Ok(()),
            Self::Boolean => primitive::boolean(cursor).map(drop),
            Self::Int => primitive::int(cursor).map(drop),
            Self::Long => primitive::long(cursor).map(drop),
            Self::Fixed(size) => cursor.take(*size).map(drop).ok_or(TRUNCATED),
            Self::Bytes => primitive::bytes(cursor).map(drop),
            Self::Symbol(count) => {
                if primitive::index(cursor)? < *count {
                    Ok(())
                } else {
                    Err("an enum symbol that does not exist")
                }
            }
            Self::Array(item) => blocks(cursor, |cursor| item.pass_at(cursor, types, depth + 1)),
            Self::Map(value) => blocks(cursor, |cursor| {
                primitive::bytes(cursor)?;
                value.pass_at(cursor, types, depth + 1)
            }),
            Self::Record(fields) => fields.iter().try_for_each(|field| field.pass_at(cursor, types, depth + 1)),
            Self::Union(branches) => {
                let branch = branches.get(primitive::index(cursor)?).ok_or("a union branch that does not exist")?;
                branch.pass_at(cursor, types, depth + 1)
            }
            Self::Named(place) => match types.0.get(*place) {
                Some(record) => record.pass_at(cursor, types, depth + 1),
                None => Err("a type that does not exist"),
            },
        }
    }
}

/// Passes over the blocks of an array or a map. A negative count comes with the block's size in bytes, which is then
/// jumped over. The work is bounded by the bytes: items that take none end a block at once, whatever its count.
fn blocks<'a>(
    cursor: &mut Cursor<'a>,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    loop {
        match primitive::long(cursor)? {
            0 => return Ok(()),
            ..0 => {
                primitive::bytes(cursor)?;
            }
            count => {
                for _ in 0..count {
                    let before = cursor.left();
                    item(cursor)?;
                    if cursor.left() == before {
                        break;
                    }
                }
            }
        }
    }
}
