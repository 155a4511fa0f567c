//! Two processes under load, killed, paused, and left without a broker.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::dice::Dice;
use crate::events::Events;
use crate::feed::{Feed, Sent};
use crate::instance::Instance;
use crate::log;
use crate::servers::Registry;
use crate::stage::{SESSION, Stage, same_rows, until};

const KILLS: u32 = 22;
/// After which kill a process is paused, and after which kills the broker is restarted.
const PAUSE: u32 = 7;
const RESTARTS: [u32; 7] = [3, 6, 9, 12, 15, 18, 21];
/// How long both may take to settle on a busy machine.
const SETTLE: Duration = Duration::from_secs(120);

/// `TRIBUTARY_SEED` repeats a run's events and moments, as far as threads and processes can be repeated.
fn seed() -> u64 {
    let given = std::env::var("TRIBUTARY_SEED").ok().map(|seed| seed.parse().expect("TRIBUTARY_SEED: a number"));
    given.unwrap_or_else(|| now() as u64 % 1_000_000)
}

/// Milliseconds since 1970.
#[allow(clippy::disallowed_methods)] // records are stamped with the time of day
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[test]
fn kill_and_recover() {
    let registry = Registry::start();
    let stage = Stage::new("kill", Some(registry.url.clone()));
    let seed = seed();
    println!("TRIBUTARY_SEED={seed}");
    let (config, _) = stage.configure(stage.usual("a"));
    stage.done(&["topics", "create"], &config);
    let registered = stage.done(&["schemas", "register"], &config);
    let schemas = Some(["touchpoints", "conversions"].map(|name| schema_id(&registered, &stage.topic(name))));

    let began = Instant::now();
    let feed = Feed::start(&stage, Events::new(seed, 3_000, now(), schemas), 600);
    let mut both = [stage.run(stage.usual("a")), stage.run(stage.usual("b"))];
    for instance in &mut both {
        instance.ready(SETTLE);
    }
    let under_chaos = Instant::now();
    chaos(&stage, &mut both, &mut Dice::new(seed, 2));
    println!("{KILLS} kills in {:.0} s, {} records sent", under_chaos.elapsed().as_secs_f64(), feed.sent());
    let (sent, files) = feed.finish();
    let drained = until("all records answered", SETTLE, || {
        both.iter_mut().for_each(Instance::still_alive);
        log::behind(&stage, "group") == 0
    });
    for mut instance in both {
        instance.ready(SETTLE);
        instance.stop();
    }
    println!(
        "drained in {:.1} s; {:.0} s since the first record",
        drained.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    judge(&stage, sent, &stage.replay(&files, &config));
}

/// Kills a process at a random moment, again and again.
fn chaos(stage: &Stage, both: &mut [Instance; 2], dice: &mut Dice) {
    let pause = |dice: &mut Dice, least, most| {
        std::thread::sleep(Duration::from_millis(dice.between(least, most).unsigned_abs()));
    };
    for kill in 1..=KILLS {
        pause(dice, 100, 4_000);
        both.iter_mut().for_each(Instance::still_alive);
        let chosen = dice.index(2);
        both[chosen].kill9();
        if dice.chance(500) {
            pause(dice, 0, 1_999);
        }
        both[chosen].start_again();
        if kill == PAUSE {
            both[chosen].ready(SETTLE);
            both[chosen].pause();
            std::thread::sleep(SESSION + Duration::from_secs(3));
            both[chosen].resume();
        }
        if RESTARTS.contains(&kill) {
            pause(dice, 0, 2_000);
            restart_broker(stage, both);
        }
    }
}

/// Takes the broker away from processes with open transactions, and brings it back.
///
/// They hold still while it stops, so that it ends none of their transactions meanwhile: a broker without replicas that
/// is stopped at that moment may note a commit as complete whose marker it never wrote to the group's offsets (seen on
/// Kafka 4.4 in both topics), and these offsets are then undecided for ever, whoever asks for them.
fn restart_broker(stage: &Stage, both: &[Instance; 2]) {
    both.iter().for_each(Instance::pause);
    std::thread::sleep(Duration::from_millis(500));
    stage.broker.act("stop");
    both.iter().for_each(Instance::resume);
    stage.broker.start_again();
}

/// The topics against the batch pass, and the state of a process that lost its disk against the topics.
fn judge(stage: &Stage, sent: Sent, replayed: &[u8]) {
    let (rows, records) = stage.read_rows("attributions");
    let count = replayed.iter().filter(|byte| **byte == b'\n').count();
    println!("{} records in ({} bad), {records} out, {count} rows", sent.records, sent.bad);
    same_rows(&rows, replayed);

    let (bad, letters) = (log::bad_records(stage), log::dead_letters(stage));
    assert_eq!(bad.len() as u64, sent.bad);
    assert!(sent.bad > 0, "no bad record was sent");
    assert_eq!(letters, bad, "the dead letters are not the bad records");

    // A third process takes all partitions with an empty folder, and says nothing that was said before.
    let usual = stage.usual("c");
    let mut third = stage.run(usual);
    let ready = third.holds_all(SETTLE);
    println!("a lost disk: all partitions live after {:.1} s", ready.as_secs_f64());
    third.stop();
    assert_eq!(stage.read_rows("attributions"), (rows, records), "the rebuilt state was answered again");
    let (config, _) = stage.configure(usual);
    let verified = stage.tributary(&["verify"], &config);
    let words = String::from_utf8_lossy(&verified.stderr);
    assert_eq!(verified.status.code(), Some(0), "verify: {words}");
    assert!(words.contains(&format!("{count} rows of 4 partitions: 0 differences")), "verify: {words}");
}

/// The id that `schemas register` says it got for a topic's values.
fn schema_id(registered: &str, topic: &str) -> u32 {
    let line = registered.lines().find(|line| line.contains(&format!("{topic}-value")));
    let id = line.and_then(|line| line.rsplit(' ').next()).and_then(|id| id.parse().ok());
    id.unwrap_or_else(|| panic!("no id for {topic} in {registered}"))
}
