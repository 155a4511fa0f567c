//! How often may be asked: one bucket for everybody with a key, one for each key; one for all strangers, who have no good key,
//! and one for each address they come from. So no flood of strangers takes anything from those with a key. A key that is known
//! and opens nothing (it was revoked, say) has a bucket among its like: no flood of strangers hides it.
//!
//! | file | holds |
//! | --- | --- |
//! | `bucket` | a token bucket and what it tells callers: governor's GCRA, and the `RateLimit` fields |
//! | `keyed` | what is counted of each key: its bucket, its requests and reads under way |
//! | `addresses` | buckets of addresses, in memory that does not grow with their number |
//! | `client` | which address a request comes from |
//! | `seats` | how many requests are under way |
//!
//! Limits hold for one instance; an exact limit over all of them belongs on what balances the load between them.

mod addresses;
mod bucket;
mod client;
mod keyed;
mod seats;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use addresses::Addresses;
pub(super) use addresses::network;
pub use bucket::Rate;
pub(super) use bucket::{Allowance, Bucket};
pub(super) use client::{Origin, origin};
use keyed::{Keyed, OfKey};
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
    all: Arc<Bucket>,
    keys: Arc<Keyed>,
    shut_keys: Arc<Keyed>,
    strangers: Arc<Bucket>,
    addresses: Arc<Addresses>,
}

impl Throttle {
    /// Full buckets.
    pub(super) fn new(rates: Rates) -> Self {
        let [all, strangers] = [rates.all, rates.strangers].map(|rate| Arc::new(Bucket::new(rate)));
        let ([keys, shut_keys], addresses) = (Default::default(), Arc::new(Addresses::new(rates.bad_keys)));
        Self(Arc::new(Buckets { rates, all, keys, shut_keys, strangers, addresses }))
    }

    /// The same buckets at these rates: one whose rate is the same stays as it is, of another the same share is spent. Only
    /// those of addresses begin full where their rate is another.
    pub(super) fn at(&self, rates: Rates) -> Self {
        let now = &*self.0;
        let bucket =
            |now: &Arc<Bucket>, rate| if now.rate() == rate { Arc::clone(now) } else { Arc::new(now.at(rate)) };
        let addresses = if now.rates.bad_keys == rates.bad_keys {
            Arc::clone(&now.addresses)
        } else {
            Arc::new(Addresses::new(rates.bad_keys))
        };
        Self(Arc::new(Buckets {
            rates,
            all: bucket(&now.all, rates.all),
            keys: Arc::clone(&now.keys),
            shut_keys: Arc::clone(&now.shut_keys),
            strangers: bucket(&now.strangers, rates.strangers),
            addresses,
        }))
    }

    /// One request more of somebody with a key, whoever it is.
    pub(super) fn anybody(&self) -> Result<(), TooMany> {
        self.0.all.take().map(drop)
    }

    /// One request more of a valid key, of which fewer than `most` are under way.
    pub(super) fn key(
        &self,
        id: &str,
        own: Option<Rate>,
        most: usize,
    ) -> Result<(Allowance, Seat), (Allowance, TooMany)> {
        let rate = own.unwrap_or(self.0.rates.key);
        let OfKey { bucket, busy, .. } = &*self.0.keys.of(id, rate);
        let allowance = bucket.take().map_err(|too_many| (bucket.empty(too_many), too_many))?;
        let seat = busy.take(most).ok_or((allowance, TooMany { wait: Duration::from_secs(1) }))?;
        Ok((allowance, seat))
    }

    /// The places for reads of a key that has asked.
    pub(super) fn reads(&self, id: &str) -> Option<Arc<Semaphore>> {
        self.0.keys.known(id).map(|known| Arc::clone(&known.reads))
    }

    /// One request more of a key whose secret is right and that opens nothing. It takes nothing from strangers, nor they from
    /// it: who shows a key that leaked is not to be hidden by a flood of those who show none.
    pub(super) fn shut_key(&self, id: &str) -> Result<(), TooMany> {
        self.0.shut_keys.of(id, self.0.rates.bad_keys).bucket.take().map(drop)
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
        let (all, key) = (Rate::per_second(1, 5), Rate::per_second(1, 2));
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
        assert!(throttle.key("a", own, 9).is_err(), "a new rate fills no bucket");
        assert_eq!(throttle.key("b", own, 9).unwrap().0.remaining, 4, "half of it was spent");
    }

    #[test]
    fn everybody_shares_one_bucket() {
        let throttle = throttle();
        assert_eq!((0..9).filter(|_| throttle.anybody().is_ok()).count(), 5);
    }

    #[test]
    fn strangers_share_a_bucket_from_which_no_address_takes_more_than_its_own() {
        let throttle = Throttle::new(Rates { strangers: Rate::per_second(1, 8), ..throttle().0.rates });
        let from = |last: u8| Some(IpAddr::from([203, 0, 113, last]));
        let told = |last: u8| (0..50).filter(|_| throttle.stranger(from(last)).is_ok()).count();
        assert_eq!([told(1), told(2), told(3), told(4)], [3, 3, 2, 0]);
        assert!(throttle.stranger(None).is_err());
        assert_eq!((0..9).filter(|_| throttle.anybody().is_ok()).count(), 5, "nothing from those with a key");
    }

    #[test]
    fn buckets_whose_rate_stays_are_not_filled_by_a_change_of_another() {
        let before = throttle();
        let client = Some(IpAddr::from([203, 0, 113, 7]));
        let spent = (0..9).filter(|_| before.anybody().is_ok() | before.stranger(client).is_ok()).count();
        assert!(spent == 5 && before.shut_key("a").is_ok() && before.key("b", None, 9).is_ok());
        let rates = Rates { key: Rate::per_second(1, 100), ..before.0.rates };
        let after = before.at(rates);
        assert!(after.anybody().is_err() && after.stranger(client).is_err());
        assert_eq!(after.key("b", None, 9).unwrap().0.remaining, 49, "of another rate the share is");
        let after = after.at(Rates { bad_keys: Rate::per_minute(4), ..rates });
        assert!(after.stranger(client).is_ok() && after.anybody().is_err(), "addresses begin anew, nobody else does");
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
