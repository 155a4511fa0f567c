//! A token bucket, and what it tells callers: the fields of draft-ietf-httpapi-ratelimit-headers-11.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::TooMany;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// So many at once, and one more after each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    burst: NonZeroU32,
    period: Duration,
}

impl Rate {
    /// `rate` a second, `burst` at once; 0 counts as 1.
    pub fn per_second(rate: u32, burst: u32) -> Self {
        Self { burst: at_least_one(burst), period: Duration::from_secs(1) / at_least_one(rate).get() }
    }

    /// `rate` a minute, as many at once; 0 counts as 1.
    pub fn per_minute(rate: u32) -> Self {
        let burst = at_least_one(rate);
        Self { burst, period: Duration::from_secs(60) / burst.get() }
    }

    pub(super) fn quota(self) -> Quota {
        // There is none for a period of zero: more than 10^9 a second.
        let period = self.period.max(Duration::from_nanos(1));
        Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MAX)).allow_burst(self.burst)
    }

    /// How long an empty bucket takes to be full again.
    fn window(self) -> Duration {
        self.period.saturating_mul(self.burst.get())
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// What a caller has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    rate: Rate,
    /// So many at once.
    pub(crate) remaining: u32,
    /// How long until there is more.
    wait: Duration,
}

impl Allowance {
    /// Says so in an answer's head.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let (quota, window) = (self.rate.burst, seconds(self.rate.window()));
        let fields = [
            (POLICY, format!("\"key\";q={quota};w={window}")),
            (LIMIT, format!("\"key\";r={};t={}", self.remaining, seconds(self.wait))),
        ];
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Whole seconds, at least one: who comes after them is not too early.
pub(super) fn seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// A bucket.
pub(crate) struct Bucket {
    rate: Rate,
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, limiter: RateLimiter::direct(rate.quota()).with_middleware() }
    }

    /// One of another rate, of which the same share is spent. This one is not used any longer.
    pub(super) fn at(&self, rate: Rate) -> Self {
        let next = Self::new(rate);
        let (burst, next_burst) = (u64::from(self.rate.burst.get()), u64::from(rate.burst.get()));
        let left = self.take().map_or(0, |allowance| u64::from(allowance.remaining) + 1);
        let spent = burst.saturating_sub(left) * next_burst / burst;
        if let Some(spent) = u32::try_from(spent).ok().and_then(NonZeroU32::new) {
            drop(next.limiter.check_n(spent)); // never more than there are
        }
        next
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one.
    pub(super) fn take(&self) -> Result<Allowance, TooMany> {
        match self.limiter.check() {
            Ok(left) => {
                let remaining = left.remaining_burst_capacity();
                let missing = self.rate.burst.get().saturating_sub(remaining);
                Ok(Allowance { rate: self.rate, remaining, wait: self.rate.period.saturating_mul(missing) })
            }
            Err(until) => Err(TooMany { wait: until.wait_time_from(self.limiter.clock().now()) }),
        }
    }

    /// What a caller has left who was refused.
    pub(super) fn empty(&self, TooMany { wait }: TooMany) -> Allowance {
        Allowance { rate: self.rate, remaining: 0, wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_tells_what_is_left_and_when_to_come_back() {
        let bucket = Bucket::new(Rate::per_second(10, 20));
        let mut headers = HeaderMap::new();
        bucket.take().unwrap().tell(&mut headers);
        assert_eq!(headers.get(POLICY).unwrap(), "\"key\";q=20;w=2");
        assert_eq!(headers.get(LIMIT).unwrap(), "\"key\";r=19;t=1");
        let refused = (0..30).find_map(|_| bucket.take().err()).unwrap();
        assert!(refused.wait <= Duration::from_millis(100), "{refused:?}");
        bucket.empty(refused).tell(&mut headers);
        assert_eq!(headers.get(LIMIT).unwrap(), "\"key\";r=0;t=1");
    }

    #[test]
    fn a_new_rate_begins_with_the_share_that_is_left_of_the_old_one() {
        let bucket = Bucket::new(Rate::per_minute(8));
        for _ in 0..2 {
            bucket.take().unwrap();
        }
        let wider = bucket.at(Rate::per_second(1, 400));
        assert_eq!(wider.take().unwrap().remaining, 299);
        let spent = Bucket::new(Rate::per_minute(1));
        spent.take().unwrap();
        assert!(spent.at(Rate::per_minute(10)).take().is_err());
        assert_eq!(Bucket::new(Rate::per_minute(3)).at(Rate::per_minute(5)).take().unwrap().remaining, 4);
    }

    #[test]
    fn no_rate_is_out_of_range() {
        for rate in [Rate::per_second(0, 0), Rate::per_second(u32::MAX, u32::MAX), Rate::per_minute(u32::MAX)] {
            assert!(Bucket::new(rate).take().is_ok(), "{rate:?}");
        }
    }
}
