//! Changed rules are refused, and the refusal's way out leads to the rows by the new rules.

use std::time::Duration;

use crate::events::Events;
use crate::feed::Feed;
use crate::kill::now;
use crate::log;
use crate::stage::{Stage, Variant, same_rows, until};

const SETTLE: Duration = Duration::from_secs(120);

#[test]
fn the_way_out() {
    let stage = Stage::new("rules", None);
    let (config, mut first) = stage.begin();
    let feed = Feed::start(&stage, Events::new(7, 300, now(), None), 1_000);
    first.ready(SETTLE);
    until("some records sent", SETTLE, || feed.sent() > 3_000);
    let (_, files) = feed.finish();
    until("all records answered", SETTLE, || log::behind(&stage, "group") == 0);
    first.stop();
    let old = stage.replay(&files, &config);
    same_rows(&stage.read_rows("attributions").0, &old);

    let (code, said) = stage.run(Variant { lookback: "3d", ..stage.usual("a") }).ended(SETTLE);
    assert_eq!(code, Some(6), "{said}");
    for word in ["other rules", "new kafka.group_id", "engine.data_dir", "topics.attributions"] {
        assert!(said.contains(word), "the refusal does not speak of {word}:\n{said}");
    }
    same_rows(&stage.read_rows("attributions").0, &old);

    let out = Variant { instance: "out", group: "group-2", attributions: "attributions-2", lookback: "3d" };
    let (config, _) = stage.configure(out);
    stage.done(&["topics", "create"], &config);
    let mut second = stage.run(out);
    second.ready(SETTLE);
    until("all records answered again", SETTLE, || log::behind(&stage, "group-2") == 0);
    second.stop();
    let new = stage.replay(&files, &config);
    assert_ne!(old, new, "the rule makes no difference");
    same_rows(&stage.read_rows("attributions-2").0, &new);
    same_rows(&stage.read_rows("attributions").0, &old);
}
