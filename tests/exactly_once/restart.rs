//! How soon a killed process is ready again.

use std::path::Path;
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
    let (config, mut instance) = stage.begin();
    instance.ready(Duration::from_secs(60));
    let feed = Feed::start(&stage, Events::new(11, 1_000, now(), None), 500);
    for _ in 0..3 {
        let sent = feed.sent();
        until("more records sent", Duration::from_secs(60), || feed.sent() > sent + 1_500);
        instance.kill9();
        instance.start_again();
        let ready = instance.holds_all(Duration::from_secs(60));
        println!("all partitions live {:.1} s after a kill", ready.as_secs_f64());
        assert!(ready < LIMIT, "live only after {ready:?}");
    }
    feed.finish();
    let refused = stage.tributary(&["verify"], &config);
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(6) && words.contains("stop it"), "verify beside it: {words}");
    elsewhere(&stage, &config);
    instance.still_alive();
    instance.stop();
}

/// `verify` with the same instance's name, and no state: it must not put the running one out.
fn elsewhere(stage: &Stage, config: &Path) {
    let nowhere = stage.path("nowhere");
    let output = stage.command(&["verify"], config).env("TRIBUTARY__ENGINE__DATA_DIR", &nowhere).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(6) && words.contains("is not in"), "verify elsewhere: {words}");
}
