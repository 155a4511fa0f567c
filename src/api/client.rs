//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::Extensions;

/// The caller's address, for a layer to put into the request's extensions that knows it better than the socket does:
/// behind trusted proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// The caller's address: what a layer found, else the other end of the connection. An IPv4 address counts as one, however
/// the socket writes it.
pub(super) fn address(extensions: &Extensions) -> Option<IpAddr> {
    let found = extensions.get::<ClientAddress>().map(|client| client.0);
    let peer = || extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    found.or_else(peer).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_knows_better_than_the_socket() {
        let mut extensions = Extensions::new();
        assert_eq!(address(&extensions), None);
        extensions.insert(ConnectInfo("[::ffff:10.0.0.1]:80".parse::<SocketAddr>().unwrap()));
        assert_eq!(address(&extensions), Some("10.0.0.1".parse().unwrap()));
        extensions.insert(ClientAddress("192.0.2.1".parse().unwrap()));
        assert_eq!(address(&extensions), Some("192.0.2.1".parse().unwrap()));
    }
}
