//! The group: who has which partition, and that the inputs of one number stay together.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tributary::topics::kafka::Settings;
use tributary::topics::{Input, Output, TopicLog};

use crate::broker::Broker;
use crate::worker::{METADATA, Worker, append, bare_settings, eventually, offsets, rows, settings};

#[test]
fn two_members_and_a_rebalance_between_answer_every_record_once() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "two-members", 4);
    for input in Input::ALL {
        for partition in 0..4 {
            append(&settings, input, partition, 100);
        }
    }
    let mut first = Worker::with_partitions(&settings, 0, 4);
    eventually("half of the records", Duration::from_secs(30), || {
        first.step().unwrap();
        (first.handled >= 400).then_some(())
    });

    let mut second = Worker::join(&settings, 1);
    eventually("two partitions each", Duration::from_secs(30), || {
        first.step().unwrap();
        second.step().unwrap();
        (first.next.len() == 2 && second.next.len() == 2).then_some(())
    });
    for input in Input::ALL {
        for partition in 0..4 {
            append(&settings, input, partition, 100);
        }
    }
    eventually("all records", Duration::from_secs(30), || {
        first.step().unwrap();
        second.step().unwrap();
        (first.handled + second.handled >= 1600).then_some(())
    });
    assert!(second.handled >= 400, "the second member answered only {}", second.handled);

    let rows = rows(&settings, Output::Attributions);
    assert_eq!(rows.len(), 1600);
    for input in Input::ALL {
        for partition in 0..4 {
            for n in 0..100 {
                let value = format!("{}-{partition}-{n}", input.name());
                let there = rows.iter().filter(|row| **row == (partition, value.clone())).count();
                assert_eq!(there, 2, "{value}"); // it was appended twice
            }
        }
    }
    let parts: BTreeSet<u32> = first.next.keys().chain(second.next.keys()).copied().collect();
    assert_eq!(parts.len(), 4, "no partition has two owners");
}

#[test]
fn a_member_without_a_partition_is_told_so() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "told", 1);
    let mut first = Worker::join(&settings, 0);
    assert!(!first.log.is_member(), "nobody has told it anything");
    eventually("the only partition", Duration::from_secs(30), || {
        first.take(Duration::from_millis(20));
        assert!(!first.log.is_member() || first.next.len() == 1, "told before it knew its partition");
        first.log.is_member().then_some(())
    });
    let mut second = Worker::join(&settings, 1);
    assert!(!second.log.is_member());
    eventually("the word that there is none left", Duration::from_secs(30), || {
        first.take(Duration::from_millis(20));
        second.take(Duration::from_millis(20));
        second.log.is_member().then_some(())
    });
    assert_eq!((first.next.len() + second.next.len(), first.log.is_member()), (1, true));
}

#[test]
fn a_member_that_comes_back_under_its_name_goes_on_where_it_was() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "comes-back", 2);
    for input in Input::ALL {
        append(&settings, input, 0, 10);
    }
    let mut worker = Worker::with_partitions(&settings, 0, 2);
    eventually("all records", Duration::from_secs(30), || {
        worker.step().unwrap();
        (worker.handled == 20).then_some(())
    });
    drop(worker);

    append(&settings, Input::Conversions, 0, 5);
    let mut again = Worker::with_partitions(&settings, 0, 2);
    let committed = again.log.committed(0).unwrap();
    for input in Input::ALL {
        let at = committed.get(input).clone().unwrap();
        assert_eq!((at.next, at.metadata.as_str()), (10, METADATA));
    }
    assert_eq!(again.log.committed(1).unwrap().touchpoints, None, "nothing was ever committed there");
    eventually("the new records", Duration::from_secs(30), || {
        again.step().unwrap();
        (again.handled >= 5).then_some(())
    });
    assert_eq!(rows(&settings, Output::Attributions).len(), 25);
}

/// Two members with two partitions each.
fn two_of_four(settings: &Settings) -> [Worker; 2] {
    let mut both = [Worker::with_partitions(settings, 0, 4), Worker::join(settings, 1)];
    eventually("two partitions each", Duration::from_secs(30), || {
        both.iter_mut().for_each(|worker| worker.take(Duration::from_millis(20)));
        both.iter().all(|worker| worker.next.len() == 2).then_some(())
    });
    both
}

#[test]
fn a_member_that_is_stopped_and_back_in_time_finds_its_partitions_and_nobody_else_had_them() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "restarted", 4);
    let [first, mut second] = two_of_four(&settings);
    let [mine, others] = [&first, &second].map(|worker| worker.next.keys().copied().collect::<Vec<_>>());
    drop(first);
    let stopped = Instant::now();
    while stopped.elapsed() < settings.timeouts.session / 3 {
        second.take(Duration::from_millis(50));
        assert!(second.next.keys().eq(&others), "{:?}", second.next);
    }
    let mut again = Worker::join(&settings, 0);
    eventually("its partitions", Duration::from_secs(10), || {
        again.take(Duration::from_millis(20));
        second.take(Duration::from_millis(20));
        assert!(second.next.keys().eq(&others), "{:?}", second.next);
        again.next.keys().eq(&mine).then_some(())
    });
}

#[test]
fn a_member_that_leaves_hands_its_partitions_over_at_once() {
    let broker = Broker::shared();
    let mut settings = settings(broker.address(), "leaves", 4);
    (settings.leave, settings.timeouts.session) = (true, Duration::from_secs(30));
    let [first, mut second] = two_of_four(&settings);
    drop(first);
    eventually("all partitions, long before the session's end", Duration::from_secs(20), || {
        second.take(Duration::from_millis(50));
        (second.next.len() == 4).then_some(())
    });
}

#[test]
fn a_partition_that_is_not_ones_own_cannot_be_committed() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "not-ones-own", 1);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    worker.log.begin().unwrap();
    let refused = worker.log.commit(&offsets(7, worker.next[&0])).unwrap_err();
    assert!(matches!(refused, tributary::topics::Error::Fenced(_)), "{refused}");
    // The producer is as good as before.
    worker.log.begin().unwrap();
    worker.log.commit(&offsets(0, worker.next[&0])).unwrap();
}

const BROKERS: &str = "TRIBUTARY_TEST_FIRST";

/// A process that has all partitions, stops polling, and is killed.
#[test]
fn first_process() {
    let Ok(brokers) = std::env::var(BROKERS) else {
        return; // only `partitions_that_lost_their_owner_between_two_rounds_are_shared_out` has work for it
    };
    let settings = session_of_two_seconds(bare_settings(&brokers, "between"));
    let _first = Worker::with_partitions(&settings, 0, 4);
    println!("first: has them");
    std::thread::sleep(Duration::from_secs(60));
}

fn session_of_two_seconds(mut settings: Settings) -> Settings {
    settings.timeouts.session = Duration::from_secs(2);
    settings
}

/// The owner of what is to move dies before it has given it up, and is back under its name before its session ends.
#[test]
fn partitions_that_lost_their_owner_between_two_rounds_are_shared_out() {
    let broker = Broker::shared();
    let settings = session_of_two_seconds(settings(broker.address(), "between", 4));
    let mut first = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "group::first_process", "--nocapture"])
        .env(BROKERS, broker.address())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(first.stdout.take().unwrap());
    assert!(said.lines().map_while(Result::ok).any(|line| line.contains("has them")), "it ended too early");

    // The second is told its share of the first round: nothing yet.
    let mut second = Worker::join(&settings, 1);
    eventually("the first round", Duration::from_secs(30), || {
        second.take(Duration::from_millis(20));
        second.log.is_member().then_some(())
    });
    assert_eq!(second.next.len(), 0);
    first.kill().unwrap();
    first.wait().unwrap();
    let mut again = Worker::join(&settings, 0);
    eventually("its share of the first round", Duration::from_secs(10), || {
        again.take(Duration::from_millis(20));
        second.take(Duration::from_millis(20));
        again.log.is_member().then_some(())
    });
    assert_eq!((again.next.len(), second.next.len()), (2, 0), "two partitions have no member");

    eventually("two partitions each", Duration::from_secs(30), || {
        again.try_take(Duration::from_millis(20)).ok();
        second.try_take(Duration::from_millis(20)).ok();
        ((again.next.len(), second.next.len()) == (2, 2)).then_some(())
    });
}
