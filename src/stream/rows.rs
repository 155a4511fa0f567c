//! The differences of a batch as records of the output topic.

use crate::codec::{avro, json};
use crate::core::Row;
use crate::core::delta::Change;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// JSON, the columns in the contract's order.
    Json,
    /// Avro in Confluent framing, under this id of the registry.
    Avro {
        /// The id that the registry gave to the schema of rows.
        schema_id: u32,
    },
}

impl RowFormat {
    /// Appends a row's value.
    pub fn write(self, row: &Row<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write_row(row, out),
            Self::Avro { schema_id } => avro::write_row(schema_id, row, out),
        }
    }

    /// Writes a difference's key and, unless it deletes, its value after it; returns the key's length and whether there
    /// is a value.
    pub fn write_change(self, change: &Change<'_, '_>, out: &mut Vec<u8>) -> (usize, bool) {
        let start = out.len();
        match (change.after(), change.before()) {
            (Some(row), _) => {
                row.write_id(out);
                let key = out.len() - start;
                self.write(row, out);
                (key, true)
            }
            (None, before) => {
                before.into_iter().for_each(|row| row.write_id(out));
                (out.len() - start, false)
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    key: usize,
    end: usize,
    has_value: bool,
}

/// The differences of one batch, encoded one after the other.
#[derive(Debug, Default)]
pub struct Rows {
    arena: Vec<u8>,
    entries: Vec<Entry>,
}

impl Rows {
    /// Adds a difference.
    pub fn add(&mut self, format: RowFormat, change: &Change<'_, '_>) {
        let start = self.arena.len();
        let (key, has_value) = format.write_change(change, &mut self.arena);
        self.entries.push(Entry { start, key, end: self.arena.len(), has_value });
    }

    /// The bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Every difference in order: its key, and its value unless it deletes.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.entries.iter().map(|entry| {
            let record = self.arena.get(entry.start..entry.end).unwrap_or_default();
            let (key, value) = record.split_at_checked(entry.key).unwrap_or((record, &[]));
            (key, entry.has_value.then_some(value))
        })
    }

    /// Forgets all and keeps the room.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }
}
