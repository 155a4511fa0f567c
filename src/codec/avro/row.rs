//! Rows to Avro by `schemas/attribution.avsc`, and back.

use super::primitive::{self, Reason, put_long, put_option_long, put_option_text, put_text};
use crate::codec::bytes::{Cursor, put_varint};
use crate::codec::framing::{Framing, framing, put_frame};
use crate::codec::json;
use crate::core::{Fault, Row};

/// Appends a row, framed with the id that its schema has in the registry.
pub fn write_row(schema_id: u32, row: &Row<'_>, out: &mut Vec<u8>) {
    put_frame(schema_id, out);
    put_row_id(row, out);
    put_text(row.conversion_id, out);
    put_text(row.model.name(), out);
    put_option_long(row.model_version.map(i64::from), out);
    put_text(row.touchpoint_id, out);
    put_text(row.user_id, out);
    put_text(row.kind, out);
    put_long(row.converted_at, out);
    put_option_long(row.touched_at, out);
    put_text(row.channel, out);
    for text in [row.interaction, row.source, row.medium, row.campaign, row.content, row.term] {
        put_option_text(text, out);
    }
    put_long(i64::from(row.position), out);
    put_long(i64::from(row.path_length), out);
    put_long(row.credit_micros, out);
    put_long(row.credited_micros, out);
    put_long(row.conversion_micros, out);
    put_option_text(row.currency, out);
    put_long(row.revision, out);
    out.push(u8::from(row.truncated));
    out.push(u8::from(row.removed));
}

/// The id is a string whose length is known only when it is written: it goes first, its length is put before it.
fn put_row_id(row: &Row<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    row.write_id(out);
    let end = out.len();
    put_varint(((end - start) as u64) << 1, out);
    let length_bytes = out.len() - end;
    if let Some(written) = out.get_mut(start..) {
        written.rotate_right(length_bytes);
    }
}

/// Reads a framed row of our own schema back: its schema id, and the row. The `row_id` in it must be the row's.
pub fn read_row(framed: &[u8]) -> Result<(u32, Row<'_>), Fault> {
    let Framing::Avro { schema_id, datum } = framing(framed) else {
        return Err(Fault::new("value", "no Confluent-framed Avro"));
    };
    let mut columns = Columns { cursor: Cursor::new(datum) };
    let row_id = columns.text("row_id")?;
    let row = columns.row()?;
    if columns.cursor.left() != 0 {
        return Err(Fault::new("value", format!("{} bytes left over", columns.cursor.left())));
    }
    let mut expected = Vec::with_capacity(row_id.len());
    row.write_id(&mut expected);
    if expected != row_id.as_bytes() {
        return Err(Fault::new("row_id", "not the id of this row"));
    }
    Ok((schema_id, row))
}

/// Appends a framed row of our own schema as the JSON of [`json::write_row`].
pub fn row_to_json(framed: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let (_, row) = read_row(framed)?;
    json::write_row(&row, out);
    Ok(())
}

struct Columns<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Columns<'a> {
    fn row(&mut self) -> Result<Row<'a>, Fault> {
        Ok(Row {
            conversion_id: self.text("conversion_id")?,
            model: self
                .text("model")?
                .parse()
                .map_err(|e: crate::core::models::UnknownModel| Fault::new("model", e.to_string()))?,
            model_version: self.option("model_version", small)?,
            touchpoint_id: self.text("touchpoint_id")?,
            user_id: self.text("user_id")?,
            kind: self.text("kind")?,
            converted_at: self.read("converted_at", primitive::long)?,
            touched_at: self.option("touched_at", primitive::long)?,
            channel: self.text("channel")?,
            interaction: self.option("interaction", primitive::text)?,
            source: self.option("source", primitive::text)?,
            medium: self.option("medium", primitive::text)?,
            campaign: self.option("campaign", primitive::text)?,
            content: self.option("content", primitive::text)?,
            term: self.option("term", primitive::text)?,
            position: self.read("position", small)?,
            path_length: self.read("path_length", small)?,
            credit_micros: self.read("credit_micros", primitive::long)?,
            credited_micros: self.read("credited_micros", primitive::long)?,
            conversion_micros: self.read("conversion_micros", primitive::long)?,
            currency: self.option("currency", primitive::text)?,
            revision: self.read("revision", primitive::long)?,
            truncated: self.read("truncated", primitive::boolean)?,
            removed: self.read("removed", primitive::boolean)?,
        })
    }

    fn read<T>(
        &mut self,
        column: &'static str,
        read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Reason>,
    ) -> Result<T, Fault> {
        read(&mut self.cursor).map_err(|reason| Fault::new(column, reason))
    }

    fn text(&mut self, column: &'static str) -> Result<&'a str, Fault> {
        self.read(column, primitive::text)
    }

    fn option<T>(
        &mut self,
        column: &'static str,
        read: impl FnOnce(&mut Cursor<'a>) -> Result<T, Reason>,
    ) -> Result<Option<T>, Fault> {
        match self.read(column, primitive::index)? {
            0 => Ok(None),
            1 => self.read(column, read).map(Some),
            _ => Err(Fault::new(column, "a union branch that does not exist")),
        }
    }
}

fn small(cursor: &mut Cursor<'_>) -> Result<i32, Reason> {
    i32::try_from(primitive::long(cursor)?).map_err(|_| "an int of more than 32 bits")
}
