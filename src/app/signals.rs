//! SIGTERM and SIGINT: the first stops cleanly, a later one at once. SIGHUP: the configuration is read again.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Error, Event};

/// Signals that come so soon after the first are the same request: `timeout` and terminals send one to the process and one to
/// its group.
const SAME: Duration = Duration::from_secs(1);

/// Cancels `interrupted` at the first signal and tells `events`. A later one ends the process where it stands: all it loses is
/// lost in a crash too, and is read again from the log.
pub fn watch(runtime: &Runtime, events: Sender<Event>, interrupted: CancellationToken) -> Result<(), Error> {
    let _context = runtime.enter();
    let failed = |error: std::io::Error| Error::Failed(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    runtime.spawn(async move {
        let mut told: Option<Instant> = None;
        loop {
            let name = tokio::select! {
                got = terminate.recv() => got.map(|()| "SIGTERM"),
                got = interrupt.recv() => got.map(|()| "SIGINT"),
                got = hangup.recv() => {
                    if got.is_none() || events.send(Event::Reload).is_err() {
                        return;
                    }
                    continue;
                }
            };
            let Some(name) = name else { return };
            match told {
                Some(first) if first.elapsed() >= SAME => {
                    tracing::warn!(signal = name, "told to stop twice, leaving at once");
                    std::process::exit(1);
                }
                Some(_) => continue,
                None => told = Some(Instant::now()),
            }
            interrupted.cancel();
            if events.send(Event::Signal(name)).is_err() {
                return; // stopping already
            }
        }
    });
    Ok(())
}
