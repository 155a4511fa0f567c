//! What `/readyz` says over time, as a load balancer hears it that asks again and again.

use std::time::{Duration, Instant};

use crate::stage::{Stage, until};

/// Until long after the last worker of a process has its share.
const SETTLED: Duration = Duration::from_secs(8);

fn is_ready(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200")
}

#[test]
fn ready_does_not_come_and_go_while_the_workers_share_out() {
    let stage = Stage::new("ready", None);
    let (_, mut instance) = stage.begin();
    let began = Instant::now();
    let mut ready: Option<Instant> = None;
    while ready.is_none_or(|ready| ready.elapsed() < SETTLED) {
        let answer = instance.readiness();
        match ready {
            None if is_ready(&answer) => ready = Some(Instant::now()),
            None => assert!(began.elapsed() < Duration::from_secs(60), "{answer}"),
            Some(since) => assert!(is_ready(&answer), "ready for {:?}, and then: {answer}", since.elapsed()),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let took = ready.map(|ready| ready - began).unwrap_or_default();
    println!("ready {:.1} s after the start, and from then on", took.as_secs_f64());
    instance.holds_all(Duration::from_secs(1));
    instance.stop();
}

#[test]
fn keys_that_cannot_be_known_are_stale_after_a_patience() {
    let stage = Stage::new("stale", None);
    let (_, mut instance) = stage.begin();
    instance.ready(Duration::from_secs(60));
    std::thread::sleep(Duration::from_secs(12));
    assert!(is_ready(&instance.readiness()), "that nothing changes is known, not guessed");
    stage.broker.act("pause");
    let stale = until("stale keys", Duration::from_secs(30), || instance.readiness().contains("keys_stale"));
    stage.broker.act("resume");
    assert!(stale > Duration::from_secs(7), "a blink: {stale:?}");
    instance.ready(Duration::from_secs(60));
    instance.stop();
}

/// Its session is over then, and it asks twice to be let in again; and a lone broker that its controller has not let in again yet
/// names nobody in its metadata, after which a client of librdkafka's has nobody left to ask.
#[test]
fn a_broker_that_was_silent_for_a_session_is_found_again_and_no_instance_ends() {
    let stage = Stage::new("silent", None);
    let (_, mut instance) = stage.begin();
    instance.ready(Duration::from_secs(60));
    for _ in 0..4 {
        stage.broker.act("pause");
        std::thread::sleep(Duration::from_secs(11));
        stage.broker.act("resume");
        std::thread::sleep(Duration::from_secs(3)); // a fence comes with the first answers
        instance.ready(Duration::from_secs(90));
    }
    instance.stop();
}
