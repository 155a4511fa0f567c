//! SIGTERM and SIGINT: the first stops cleanly, the second at once. SIGHUP: the configuration is read again.

use std::sync::mpsc::Sender;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Error, Event};

/// Cancels `interrupted` at the first signal and tells `events`. After it a second one ends the process where it stands: all it loses is lost in a
/// crash too, and is read again from the log.
pub fn watch(runtime: &Runtime, events: Sender<Event>, interrupted: CancellationToken) -> Result<(), Error> {
    let _context = runtime.enter();
    let failed = |error: std::io::Error| Error::Failed(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    runtime.spawn(async move {
        let mut told = false;
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
            if told {
                tracing::warn!(signal = name, "told to stop twice, leaving at once");
                std::process::exit(1);
            }
            told = true;
            interrupted.cancel();
            if events.send(Event::Signal(name)).is_err() {
                return; // stopping already
            }
        }
    });
    Ok(())
}
