//! Which address a request comes from. What a stranger writes into `X-Forwarded-For` is not believed: only as many entries
//! count, from the right, as there are proxies of one's own before this service.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;

const FORWARDED: &str = "x-forwarded-for";

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// What is counted and written down: the caller's address; where the proxies did not say it, the last one's own.
    pub(crate) counted: IpAddr,
    /// The caller's address, where socket or proxies vouch for it: nothing else opens a key that is bound to networks.
    pub(crate) proven: Option<IpAddr>,
}

/// The origin with so many trusted proxies before this service; none where the request came over no socket.
pub(crate) fn origin(parts: &Parts, hops: usize) -> Option<Origin> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    let peer = peer.ip().to_canonical();
    let Some(before) = hops.checked_sub(1) else {
        return Some(Origin { counted: peer, proven: Some(peer) });
    };
    // As bytes: a proxy appends to what the caller sent, whatever that is, and one entry is all that is read of it.
    let lines = parts.headers.get_all(FORWARDED).iter().rev();
    let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let proven = entries.nth(before).and_then(|entry| address(std::str::from_utf8(entry).ok()?));
    Some(Origin { counted: proven.unwrap_or(peer), proven })
}

/// An address, with or without a port.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let parsed = bare.parse::<IpAddr>().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    parsed.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn from(hops: usize, forwarded: &[&[u8]]) -> Origin {
        let mut request = Request::builder();
        for line in forwarded {
            request = request.header(FORWARDED, *line);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 5))));
        origin(&parts, hops).unwrap()
    }

    fn seen(hops: usize, forwarded: &[&str]) -> String {
        let lines: Vec<&[u8]> = forwarded.iter().map(|line| line.as_bytes()).collect();
        from(hops, &lines).counted.to_string()
    }

    /// hyper passes any byte but control characters on, and proxies append to it.
    #[test]
    fn bytes_of_a_stranger_do_not_hide_what_the_proxy_says() {
        let proxy = "198.51.100.1".parse().unwrap();
        let expected = Origin { counted: proxy, proven: Some(proxy) };
        assert_eq!(from(1, &[b"\xe9, 198.51.100.1"]), expected);
        assert_eq!(from(1, &[b"\xe9", b"198.51.100.1"]), expected);
        assert_eq!(from(2, &[b"192.0.2.66", b"\xe9, 198.51.100.1, 10.0.0.2"]), expected);
    }

    #[test]
    fn a_stranger_cannot_say_where_he_comes_from() {
        assert_eq!(seen(0, &["192.0.2.66"]), "10.0.0.1", "no proxy of ours");
        assert_eq!(seen(1, &["192.0.2.66, 198.51.100.1"]), "198.51.100.1", "the proxy's own word is the last");
        assert_eq!(seen(2, &["192.0.2.66, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(seen(2, &["192.0.2.66", "198.51.100.1", "10.0.0.2"]), "198.51.100.1", "several lines are one list");
    }

    #[test]
    fn what_is_missing_or_no_address_counts_as_the_proxy() {
        for forwarded in [&[][..], &["unknown"], &[""], &["1.2.3.4.5"], &["\u{e9}"]] {
            assert_eq!(seen(1, forwarded), "10.0.0.1", "{forwarded:?}");
            let lines: Vec<&[u8]> = forwarded.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(from(1, &lines).proven, None, "and opens no key that is bound to networks");
        }
        assert_eq!(seen(3, &["198.51.100.1, 10.0.0.2"]), "10.0.0.1", "fewer entries than proxies");
    }

    #[test]
    fn ports_and_brackets_are_passed_over() {
        assert_eq!(seen(1, &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(seen(1, &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(seen(1, &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(seen(1, &["::ffff:198.51.100.1"]), "198.51.100.1");
    }
}
