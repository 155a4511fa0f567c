//! Buckets of addresses, in memory that does not grow with their number: a table in which addresses share places by a hash
//! that nobody outside can compute. Two that share one share its bucket, which costs a stranger at worst an answer sooner.

use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::quality::RandomState;
use governor::RateLimiter;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};

use super::{Rate, TooMany};

/// 512 KiB.
const PLACES: usize = 1 << 16;

struct Table(Vec<InMemoryState>);

impl StateStore for Table {
    type Key = usize;

    fn measure_and_replace<T, F, E>(&self, place: &usize, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        match self.0.get(place % PLACES) {
            Some(state) => state.measure_and_replace(&NotKeyed::NonKey, decide),
            None => decide(None).map(|(allowed, _)| allowed), // the remainder is always a place
        }
    }
}

type Moment = <DefaultClock as Clock>::Instant;

pub(super) struct Addresses {
    limiter: RateLimiter<usize, Table, DefaultClock, NoOpMiddleware<Moment>>,
    hasher: RandomState,
}

impl Addresses {
    pub(super) fn new(rate: Rate) -> Self {
        let places = (0..PLACES).map(|_| InMemoryState::default()).collect();
        let limiter = RateLimiter::new(rate.quota(), Table(places), DefaultClock::default());
        Self { limiter, hasher: RandomState::default() }
    }

    /// Takes one from the bucket of this address.
    pub(super) fn take(&self, client: IpAddr) -> Result<(), TooMany> {
        let place = usize::try_from(self.hasher.hash_one(network(client)) % PLACES as u64).unwrap_or(0);
        self.limiter
            .check_key(&place)
            .map_err(|until| TooMany { wait: until.wait_time_from(self.limiter.clock().now()) })
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        PLACES * size_of::<InMemoryState>()
    }
}

/// What counts as one address: who has one of IPv6 has 2^64 of them.
pub(in crate::api) fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(four) => u128::from(four.to_bits()),
        IpAddr::V6(six) => six.to_bits() & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_stranger_and_a_mapped_address_is_the_one_it_maps() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
