//! The headers by which a dead letter says which record it was, on either log.

use super::{Input, Offset};

/// The input's name ([`Input::name`]), whatever the topic itself is called.
pub const TOPIC: &str = "tributary-origin-topic";

/// The record's own offset, in decimal. Its partition is the dead letter's own.
pub const OFFSET: &str = "tributary-origin-offset";

/// The origin that these headers name; none if they name none, as in a record that somebody else wrote there. The first
/// of each name counts: the dead record's own headers follow, and it may have been a dead letter sent in again.
pub fn of<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<(Input, Offset)> {
    let (mut input, mut offset) = (None, None);
    for (name, value) in headers {
        match name {
            TOPIC if input.is_none() => input = Input::ALL.into_iter().find(|input| input.name().as_bytes() == value),
            OFFSET if offset.is_none() => offset = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
            _ => {}
        }
    }
    Some((input?, offset?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_needs_both_headers() {
        let both: [(&str, &[u8]); 3] = [("reason", b"x"), (TOPIC, b"conversions"), (OFFSET, b"42")];
        assert_eq!(of(both.into_iter()), Some((Input::Conversions, 42)));
        assert_eq!(of(both.into_iter().take(2)), None);
        let again: [(&str, &[u8]); 2] = [(TOPIC, b"touchpoints"), (OFFSET, b"7")];
        assert_eq!(of(both.into_iter().chain(again)), Some((Input::Conversions, 42)), "sent in again");
        let unknown: [(&str, &[u8]); 2] = [(TOPIC, b"clicks"), (OFFSET, b"42")];
        assert_eq!(of(unknown.into_iter()), None);
    }
}
