//! The contract's fields by number, so that JSON and Avro fill the same drafts by the same names.

use std::borrow::Cow;

use crate::core::Millis;
use crate::core::event::{ConversionDraft, TouchpointDraft};

/// Where a field's value goes, and with it what kind of value the field takes.
pub(crate) enum Slot<'s, 'a> {
    /// A string.
    Text(&'s mut Option<Cow<'a, str>>),
    /// A whole number of 64 bits.
    Whole(&'s mut Option<i64>),
    /// A moment.
    Time(&'s mut Option<Millis>),
}

/// What kind of value a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Whole,
    Time,
}

/// A draft whose fields can be filled by number.
pub(crate) trait Fields<'a>: Default {
    /// The fields' names in the contract's order; a field's number is its place here. At most 16.
    const NAMES: &'static [&'static str];

    /// The number of the field called `name`; none for a field that is not ours.
    fn number(name: &str) -> Option<u8>;

    /// Where the field of that number goes; none beyond the last.
    fn slot(&mut self, number: u8) -> Option<Slot<'_, 'a>>;

    /// The name of the field of that number.
    fn name(number: u8) -> &'static str {
        Self::NAMES.get(usize::from(number)).copied().unwrap_or("value")
    }

    /// What kind of value the field of that number takes.
    fn kind(number: u8) -> Kind {
        match Self::default().slot(number) {
            Some(Slot::Whole(_)) => Kind::Whole,
            Some(Slot::Time(_)) => Kind::Time,
            Some(Slot::Text(_)) | None => Kind::Text,
        }
    }
}

macro_rules! fields {
    ($draft:ident { $($number:literal $field:ident $slot:ident,)* }) => {
        impl<'a> Fields<'a> for $draft<'a> {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            fn number(name: &str) -> Option<u8> {
                match name {
                    $(stringify!($field) => Some($number),)*
                    _ => None,
                }
            }

            fn slot(&mut self, number: u8) -> Option<Slot<'_, 'a>> {
                match number {
                    $($number => Some(Slot::$slot(&mut self.$field)),)*
                    _ => None,
                }
            }
        }
    };
}

fields!(TouchpointDraft {
    0 event_id Text,
    1 user_id Text,
    2 occurred_at Time,
    3 channel Text,
    4 interaction Text,
    5 source Text,
    6 medium Text,
    7 campaign Text,
    8 content Text,
    9 term Text,
    10 cost_micros Whole,
    11 currency Text,
    12 milestone Text,
});

fields!(ConversionDraft {
    0 event_id Text,
    1 user_id Text,
    2 occurred_at Time,
    3 kind Text,
    4 value_micros Whole,
    5 currency Text,
    6 adjusts Text,
});

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered<'a, D: Fields<'a>>() {
        for (number, name) in (0u8..).zip(D::NAMES) {
            assert_eq!(D::number(name), Some(number));
            assert_eq!(D::name(number), *name);
            assert!(D::default().slot(number).is_some());
        }
        assert!(D::NAMES.len() <= 16);
        assert!(D::default().slot(D::NAMES.len() as u8).is_none());
        assert_eq!(D::number("Event_id"), None);
    }

    #[test]
    fn numbers_are_places_in_the_table() {
        numbered::<TouchpointDraft<'_>>();
        numbered::<ConversionDraft<'_>>();
        assert_eq!(TouchpointDraft::kind(2), Kind::Time);
        assert_eq!(TouchpointDraft::kind(10), Kind::Whole);
        assert_eq!(ConversionDraft::kind(6), Kind::Text);
    }
}
