//! How often may be asked: one bucket for everybody with a key, one for each key; one for all strangers, who have no good key,
//! and one for each address they come from. So no flood of strangers takes anything from those with a key.
//!
//! | file | holds |
//! | --- | --- |
//! | `bucket` | a token bucket and what it tells callers: governor's GCRA, and the `RateLimit` fields |
//! | `addresses` | buckets of addresses, in memory that does not grow with their number |
//! | `client` | which address a request comes from |
//! | `seats` | how many requests are under way |
//!
//! Limits hold for one instance; an exact limit over all of them belongs on what balances the load between them.

mod addresses;
mod bucket;
mod client;
mod seats;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;

use addresses::Addresses;
pub(super) use addresses::network;
pub use bucket::Rate;
pub(super) use bucket::{Allowance, Bucket};
pub(super) use client::origin;
pub(super) use seats::{Seat, Seats};

use super::problem::{Code, Problem};

/// Reads of the state at one time; further ones wait. No key has more than half of these places, however wide its reports.
pub(super) const READS: usize = 16;

/// The rates that hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of everybody with a key together.
    pub all: Rate,
    /// Of a key that has none of its own.
    pub key: Rate,
    /// Of bad keys from one address.
    pub bad_keys: Rate,
    /// Of everybody without a good key together.
    pub strangers: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            all: Rate::per_second(20_000, 20_000),
            key: Rate::per_second(500, 1_000),
            bad_keys: Rate::per_minute(30),
            strangers: Rate::per_second(200, 200),
        }
    }
}

/// Ask again after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// How long until there is room, at least.
    pub(super) wait: Duration,
}

impl TooMany {
    /// The answer that says so.
    pub(super) fn problem(self, detail: &str) -> Problem {
        Problem { retry_after: Some(bucket::seconds(self.wait)), ..Problem::new(Code::RateLimited, detail) }
    }
}

/// Every bucket of an instance. Cheap to clone; the clones are one.
#[derive(Clone)]
pub(super) struct Throttle(Arc<Buckets>);

struct Buckets {
    rates: Rates,
    all: Bucket,
    keys: RwLock<HashMap<String, Arc<OfKey>>>,
    strangers: Bucket,
    addresses: Addresses,
}

/// What is counted of one key.
struct OfKey {
    bucket: Bucket,
    /// Requests under way.
    busy: Seats,
    /// Reads of the state under way.
    reads: Arc<Semaphore>,
}

impl Throttle {
    /// Full buckets.
    pub(super) fn new(rates: Rates) -> Self {
        let [all, strangers] = [rates.all, rates.strangers].map(Bucket::new);
        Self(Arc::new(Buckets {
            rates,
            all,
            keys: RwLock::default(),
            strangers,
            addresses: Addresses::new(rates.bad_keys),
        }))
    }

    /// The rates that hold.
    pub(super) fn rates(&self) -> Rates {
        self.0.rates
    }

    /// One request more of somebody with a key, whoever it is.
    pub(super) fn anybody(&self) -> Result<(), TooMany> {
        self.0.all.take().map(drop)
    }

    /// One request more of a valid key, of which fewer than `most` are under way. There are as many buckets as valid keys have
    /// asked, at most.
    pub(super) fn key(
        &self,
        id: &str,
        own: Option<Rate>,
        most: usize,
    ) -> Result<(Allowance, Seat), (Allowance, TooMany)> {
        let rate = own.unwrap_or(self.0.rates.key);
        let OfKey { bucket, busy, .. } = &*match self.known(id).filter(|known| known.bucket.rate() == rate) {
            Some(known) => known,
            None => self.begin(id, rate),
        };
        let allowance = bucket.take().map_err(|too_many| (bucket.empty(too_many), too_many))?;
        let seat = busy.take(most).ok_or((allowance, TooMany { wait: Duration::from_secs(1) }))?;
        Ok((allowance, seat))
    }

    /// The places for reads of a key that has asked.
    pub(super) fn reads(&self, id: &str) -> Option<Arc<Semaphore>> {
        self.known(id).map(|known| Arc::clone(&known.reads))
    }

    fn known(&self, id: &str) -> Option<Arc<OfKey>> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).get(id).map(Arc::clone)
    }

    fn begin(&self, id: &str, rate: Rate) -> Arc<OfKey> {
        let reads = Arc::new(Semaphore::new(READS / 2));
        let of_key = Arc::new(OfKey { bucket: Bucket::new(rate), busy: Seats::default(), reads });
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(id.to_owned(), Arc::clone(&of_key));
        of_key
    }

    /// One request more without a good key, from this address. An address beyond its rate takes nothing from other strangers,
    /// and all strangers together nothing from those with a key: it has 256 random bits, so what these limits spare is work
    /// and log lines, not guesses.
    pub(super) fn stranger(&self, client: Option<IpAddr>) -> Result<(), TooMany> {
        client.map_or(Ok(()), |client| self.0.addresses.take(client))?;
        self.0.strangers.take().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> Throttle {
        let (all, key) = (Rate::per_second(100, 5), Rate::per_second(1, 2));
        let strangers = Rate::per_second(1, 2_000_000);
        Throttle::new(Rates { all, key, bad_keys: Rate::per_minute(3), strangers })
    }

    #[test]
    fn a_key_has_its_own_bucket_and_a_rate_of_its_own_where_it_was_given_one() {
        let throttle = throttle();
        assert!(throttle.key("a", None, 9).is_ok() && throttle.key("a", None, 9).is_ok());
        let (allowance, too_many) = throttle.key("a", None, 9).map(drop).unwrap_err();
        assert_eq!(allowance.remaining, 0);
        assert!(too_many.wait > Duration::ZERO && too_many.wait <= Duration::from_secs(1), "{too_many:?}");
        assert!(throttle.key("b", None, 9).is_ok(), "another key");
        let own = Some(Rate::per_second(1, 9));
        assert_eq!(throttle.key("a", own, 9).unwrap().0.remaining, 8, "a new rate begins with a full bucket");
        assert_eq!(throttle.key("a", own, 9).unwrap().0.remaining, 7);
    }

    #[test]
    fn everybody_shares_one_bucket() {
        let throttle = throttle();
        assert_eq!((0..9).filter(|_| throttle.anybody().is_ok()).count(), 5);
    }

    #[test]
    fn strangers_share_a_bucket_from_which_no_address_takes_more_than_its_own() {
        let throttle = Throttle::new(Rates { strangers: Rate::per_second(1, 8), ..throttle().rates() });
        let from = |last: u8| Some(IpAddr::from([203, 0, 113, last]));
        let told = |last: u8| (0..50).filter(|_| throttle.stranger(from(last)).is_ok()).count();
        assert_eq!([told(1), told(2), told(3), told(4)], [3, 3, 2, 0]);
        assert!(throttle.stranger(None).is_err());
        assert_eq!((0..9).filter(|_| throttle.anybody().is_ok()).count(), 5, "nothing from those with a key");
    }

    #[test]
    fn a_million_strangers_take_no_more_memory_than_one_and_hold_nobody_else_up() {
        let throttle = throttle();
        let bad = Some(IpAddr::from([203, 0, 113, 7]));
        assert_eq!((0..9).filter(|_| throttle.stranger(bad).is_ok()).count(), 3);
        let before = throttle.0.addresses.bytes();
        let address = |n: u32| Some(IpAddr::from(n.to_be_bytes()));
        let refused = (0..1_000_000).filter(|n| throttle.stranger(address(*n)).is_err()).count();
        assert_eq!(throttle.0.addresses.bytes(), before);
        assert!(refused > 0, "so many share buckets");
        assert!(throttle.stranger(bad).is_err());
    }
}
