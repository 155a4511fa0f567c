//! JSON: events in, strictly; rows out, compactly.
//!
//! Strict means that nothing is guessed: unknown fields are passed over, but one of ours named twice (also when one of
//! the two is spelled with escapes), a value of another type, a fraction or an exponent in a whole number, text that is
//! not UTF-8, or anything after the object is a [`Fault`]. `null` is absent. What is passed over may be nested to any
//! depth: it is skipped without recursion.

mod row;
#[cfg(test)]
mod tests;
pub(crate) mod time;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub use row::write_row;

use super::field::{Fields, Slot};
use crate::core::Fault;
use crate::core::event::{ConversionDraft, TouchpointDraft};

/// Reads one touchpoint, borrowing every string that has no escapes.
pub fn touchpoint(bytes: &[u8]) -> Result<TouchpointDraft<'_>, Fault> {
    document(bytes)
}

/// Reads one conversion or adjustment, borrowing every string that has no escapes.
pub fn conversion(bytes: &[u8]) -> Result<ConversionDraft<'_>, Fault> {
    document(bytes)
}

fn document<'a, D: Fields<'a>>(bytes: &'a [u8]) -> Result<D, Fault> {
    // Once for all of it, so that what is passed over is UTF-8 too; then strings need no second look.
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::new("value", "not UTF-8"))?;
    let place = Place::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document = Document { place: &place, draft: PhantomData };
    let draft = deserializer.deserialize_map(document).map_err(|error| place.fault(&error))?;
    deserializer.end().map_err(|error| place.fault(&error))?;
    Ok(draft)
}

/// Where in the document reading is, and what went wrong there: serde's errors carry text alone.
#[derive(Default)]
struct Place {
    field: Cell<Option<&'static str>>,
    fault: Cell<Option<Fault>>,
}

impl Place {
    fn refuse<E: serde::de::Error>(&self, reason: impl Into<Cow<'static, str>>) -> E {
        self.fault.set(Some(Fault::new(self.field.get().unwrap_or("value"), reason)));
        E::custom("refused")
    }

    fn fault(&self, error: &serde_json::Error) -> Fault {
        if let Some(fault) = self.fault.take() {
            return fault;
        }
        if error.is_data() {
            return Fault::new("value", "not a JSON object");
        }
        Fault::new(self.field.get().unwrap_or("value"), format!("not JSON: {error}"))
    }
}

struct Document<'p, D> {
    place: &'p Place,
    draft: PhantomData<D>,
}

impl<'a, D: Fields<'a>> Visitor<'a> for Document<'_, D> {
    type Value = D;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<D, A::Error> {
        let mut draft = D::default();
        let mut seen = 0u16;
        while let Some(number) = map.next_key_seed(Key::<D>(PhantomData))? {
            let Some((number, slot)) = number.and_then(|n| draft.slot(n).map(|slot| (n, slot))) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.place.field.set(Some(D::name(number)));
            let bit = 1u16 << number;
            if seen & bit != 0 {
                return Err(self.place.refuse("named twice"));
            }
            seen |= bit;
            map.next_value_seed(Value { slot, place: self.place })?;
            self.place.field.set(None);
        }
        Ok(draft)
    }
}

/// A field's name, read to its number.
struct Key<D>(PhantomData<D>);

impl<'a, D: Fields<'a>> DeserializeSeed<'a> for Key<D> {
    type Value = Option<u8>;

    fn deserialize<T: Deserializer<'a>>(self, deserializer: T) -> Result<Option<u8>, T::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a, D: Fields<'a>> Visitor<'a> for Key<D> {
    type Value = Option<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<u8>, E> {
        Ok(D::number(name))
    }
}

/// A field's value, read into its slot.
struct Value<'s, 'p, 'a> {
    slot: Slot<'s, 'a>,
    place: &'p Place,
}

impl Value<'_, '_, '_> {
    fn wrong<E: serde::de::Error>(&self, found: &str) -> E {
        let asked = match self.slot {
            Slot::Text(_) => "a string",
            Slot::Whole(_) => "a whole number",
            Slot::Time(_) => "a time (milliseconds as a whole number, or RFC 3339 text)",
        };
        self.place.refuse(format!("{found} where {asked} is asked"))
    }
}

impl<'a> DeserializeSeed<'a> for Value<'_, '_, 'a> {
    type Value = ();

    fn deserialize<T: Deserializer<'a>>(self, deserializer: T) -> Result<(), T::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Value<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's value")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'a str) -> Result<(), E> {
        match self.slot {
            Slot::Text(slot) => *slot = Some(Cow::Borrowed(text)),
            _ => return self.visit_str(text),
        }
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.slot {
            Slot::Text(slot) => *slot = Some(Cow::Owned(text.to_owned())),
            Slot::Time(slot) => *slot = Some(time::parse(text).map_err(|reason| self.place.refuse(reason))?),
            Slot::Whole(_) => return Err(self.wrong("a string")),
        }
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        match self.slot {
            Slot::Whole(slot) | Slot::Time(slot) => *slot = Some(number),
            Slot::Text(_) => return Err(self.wrong("a number")),
        }
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(self.wrong("a number of more than 63 bits")),
        }
    }

    /// Every number with a fraction or an exponent comes here, a whole one that 64 bits do not hold, and `-0`.
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Err(self.wrong("a number with a fraction or an exponent, or beyond 64 bits,"))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Err(self.wrong("a boolean"))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(()) // null: absent, as the slot is
    }

    fn visit_seq<A: SeqAccess<'a>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong("an array"))
    }

    fn visit_map<A: MapAccess<'a>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong("an object"))
    }
}
