//! A panic is logged like everything else, whether it is caught (one record) or ends the process.

use std::panic;

/// Takes the place of the standard hook, which writes several lines that no log reader understands.
pub fn hook() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        let message = text.unwrap_or("no message");
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        if tracing::dispatcher::has_been_set() {
            tracing::error!(place, thread, message, "panic");
        } else {
            eprintln!("tributary: panic in thread {thread} at {place}: {message}");
        }
    }));
}
