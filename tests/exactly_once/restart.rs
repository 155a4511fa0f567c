//! How soon a killed process is ready again.

use std::time::Duration;

use crate::events::Events;
use crate::feed::Feed;
use crate::kill::now;
use crate::stage::{Stage, until};

/// Five seconds is what is promised; a busy machine that also compiles may take longer.
const LIMIT: Duration = Duration::from_secs(15);

#[test]
fn ready_soon_after_a_kill() {
    let stage = Stage::new("restart", None);
    let usual = stage.usual("a");
    let (config, _) = stage.configure(usual);
    stage.done(&["topics", "create"], &config);
    let mut instance = stage.run(usual);
    instance.ready(Duration::from_secs(60));
    let feed = Feed::start(&stage, Events::new(11, 1_000, now(), None), 500);
    for _ in 0..3 {
        let sent = feed.sent();
        until("more records sent", Duration::from_secs(60), || feed.sent() > sent + 1_500);
        instance.kill9();
        instance.start_again();
        let ready = instance.ready(Duration::from_secs(60));
        println!("ready {:.1} s after a kill", ready.as_secs_f64());
        assert!(ready < LIMIT, "ready only after {ready:?}");
    }
    feed.finish();
    instance.stop();
}
