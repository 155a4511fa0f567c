//! At most so many log lines in a while, whatever strangers send.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Lets `limit` through in each period and counts what it held back.
#[derive(Debug)]
pub(super) struct Throttle {
    limit: u32,
    period: Duration,
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    passed: u32,
    held: u64,
}

impl Throttle {
    /// At most `limit` in each `period`.
    pub(super) fn new(limit: u32, period: Duration) -> Self {
        Self { limit, period, window: Mutex::new(Window { began: Instant::now(), passed: 0, held: 0 }) }
    }

    /// Whether one more may pass now; if so, how many were held back since the last that passed.
    pub(super) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if now.saturating_duration_since(window.began) >= self.period {
            window.began = now;
            window.passed = 0;
        }
        if window.passed >= self.limit {
            window.held += 1;
            return None;
        }
        window.passed += 1;
        Some(std::mem::take(&mut window.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_back_beyond_the_limit_and_says_how_many() {
        let throttle = Throttle::new(2, Duration::from_secs(1));
        let now = Instant::now();
        let passed: Vec<_> = (0..5).map(|_| throttle.pass_at(now)).collect();
        assert_eq!(passed, [Some(0), Some(0), None, None, None]);
        assert_eq!(throttle.pass_at(now + Duration::from_secs(2)), Some(3));
    }
}
