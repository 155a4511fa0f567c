//! Waiting at the start for whoever does not answer yet: the log, the registry. Readiness says what is waited for.

use std::time::Duration;

use super::Error;

/// Between two attempts.
const AGAIN: Duration = Duration::from_secs(1);

/// How long to wait, and who is told why.
pub struct Patience<'a> {
    /// Whether to ask once more.
    pub go_on: &'a dyn Fn() -> bool,
    /// Hears what is waited for.
    pub tell: &'a dyn Fn(&str),
}

impl Patience<'_> {
    /// Asks again for as long as there is no answer, or gives up where the process was told to stop.
    pub fn ask<T>(&self, mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match ask() {
                Err(Error::Unreachable(_)) if !(self.go_on)() => return Err(Error::Stopped),
                Err(Error::Unreachable(why)) => {
                    tracing::warn!(why, "waiting");
                    (self.tell)(&why);
                    std::thread::sleep(AGAIN);
                }
                answer => return answer,
            }
        }
    }
}
