//! A broker that is slow, away, killed, or that gives a transaction up. Each test has a broker of its own.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use tributary::topics::{Error, Input, Output, PerInput, TopicLog};

use crate::broker::Broker;
use crate::proxy::Proxy;
use crate::worker::{Worker, append, both, eventually, offsets, row, rows, settings};

#[test]
fn a_slow_commit_gets_its_answer_and_its_producer_is_replaced() {
    let broker = Broker::start("slow");
    let mut settings = settings(broker.address(), "slow", 1);
    settings.timeouts.transaction = Duration::from_secs(4);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    let commit = |worker: &mut Worker, next: i64, pause: Duration| {
        worker.log.begin().unwrap();
        worker.log.produce(row(0, next.to_string().as_bytes())).unwrap();
        if !pause.is_zero() {
            broker.act("pause");
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(pause);
                if !pause.is_zero() {
                    broker.act("resume");
                }
            });
            worker.log.commit(&offsets(0, both(next))).unwrap();
        });
    };
    for next in 1..=4 {
        commit(&mut worker, next, Duration::ZERO);
    }
    assert_eq!(worker.log.renewals(), 0);
    commit(&mut worker, 5, Duration::from_millis(2500));
    commit(&mut worker, 6, Duration::ZERO);
    assert_eq!(worker.log.renewals(), 0, "the other producer was not slow");
    commit(&mut worker, 7, Duration::ZERO);
    assert_eq!(worker.log.renewals(), 1);
    let values: Vec<String> = rows(&settings, Output::Attributions).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, (1..=7).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_transaction_that_the_broker_gave_up_is_aborted_and_the_next_one_works() {
    let broker = Broker::start("timed-out");
    let mut settings = settings(broker.address(), "timed-out", 1);
    settings.timeouts.transaction = Duration::from_secs(1);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    worker.log.begin().unwrap();
    worker.log.produce(row(0, b"given up")).unwrap();
    thread::sleep(Duration::from_secs(4)); // the broker looks every second
    let error = worker.log.commit(&offsets(0, both(1))).unwrap_err();
    assert!(matches!(error, Error::Aborted(_)), "{error:?}");
    assert_eq!(worker.log.committed(0).unwrap().touchpoints, None);
    for next in 1..=4 {
        worker.log.begin().unwrap();
        worker.log.produce(row(0, b"kept")).unwrap();
        worker.log.commit(&offsets(0, both(next))).unwrap();
    }
    let rows = rows(&settings, Output::Attributions);
    assert_eq!(rows, vec![(0, "kept".to_owned()); 4]);
}

#[test]
fn a_broker_that_is_away_is_told_of_and_found_again() {
    let broker = Broker::start("away");
    let mut settings = settings(broker.address(), "away", 1);
    settings.timeouts.request = Duration::from_secs(2);
    let mut worker = Worker::with_partitions(&settings, 0, 1);
    let reach = worker.log.reach();
    assert_eq!(reach.trouble(), None);
    broker.act("kill9");
    let error = eventually("an error", Duration::from_secs(20), || worker.try_take(Duration::from_millis(100)).err());
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(reach.trouble().is_some());
    let error = worker.log.committed(0).unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    let error = worker.log.bounds(0, Input::Touchpoints).unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");

    broker.start_again();
    eventually("the broker found again", Duration::from_secs(30), || {
        drop(worker.try_take(Duration::from_millis(100)));
        reach.trouble().is_none().then_some(())
    });
    append(&settings, Input::Conversions, 0, 10);
    eventually("records read again", Duration::from_secs(30), || {
        if worker.try_take(Duration::from_millis(20)).is_ok() {
            drop(worker.answer_some(100));
        }
        (worker.handled == 10).then_some(())
    });
}

#[test]
fn a_session_that_ends_while_no_broker_answers_is_joined_again() {
    let broker = Broker::start("session");
    let mut settings = settings(broker.address(), "session", 2);
    settings.timeouts.session = Duration::from_secs(2);
    let mut worker = Worker::with_partitions(&settings, 0, 2);
    broker.act("kill9");
    thread::sleep(Duration::from_secs(4)); // as in a call that waits: nothing is polled
    broker.start_again();
    thread::sleep(Duration::from_secs(1));
    append(&settings, Input::Touchpoints, 1, 10);
    eventually("records of a partition taken again", Duration::from_secs(60), || {
        match worker.try_take(Duration::from_millis(20)).and_then(|()| worker.answer_some(100)) {
            Ok(()) | Err(Error::Unreachable(_) | Error::Fenced(_) | Error::Aborted(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
        (worker.handled == 10).then_some(())
    });
    assert_eq!(rows(&settings, Output::Attributions).len(), 10);
}

const ROUNDS: u64 = 4;

/// What an engine does after an error: the committed offsets are the truth.
fn settle(worker: &mut Worker, error: &Error) {
    match error {
        Error::Unreachable(_) | Error::Fenced(_) => {}
        Error::Aborted(_) | Error::Unknown(_) => {
            if matches!(error, Error::Unknown(_)) {
                eventually("recovery", Duration::from_secs(60), || worker.log.recover().ok());
            }
            let partitions: Vec<u32> = worker.next.keys().copied().collect();
            for partition in partitions {
                let committed =
                    eventually("committed offsets", Duration::from_secs(60), || worker.log.committed(partition).ok());
                let next = PerInput::from_fn(|input| committed.get(input).as_ref().map_or(0, |at| at.next));
                if worker.log.seek(partition, next).is_ok() {
                    worker.next.insert(partition, next);
                }
            }
        }
        Error::Fatal(words) => panic!("{words}"),
    }
}

/// Connections and not the broker: a lone broker that ends between the decision to commit and its markers may forget the
/// markers when it is back (Apache Kafka 4.4 passes over partitions that have no leader at that moment), and what it
/// acknowledged hangs for ever. With replicas there is a leader.
#[test]
fn every_record_is_answered_once_over_connections_that_break_again_and_again() {
    let proxy = Proxy::listen();
    let told = format!("advertised.listeners=PLAINTEXT://{}", proxy.address());
    let broker = Broker::start_with("network", &[&told]);
    proxy.pass_on_to(&broker.listener());
    let mut settings = settings(&proxy.address(), "network", 2);
    settings.timeouts.transaction = Duration::from_secs(4);
    settings.timeouts.request = Duration::from_secs(5);
    let mut worker = Worker::with_partitions(&settings, 0, 2);
    let mut errors = BTreeMap::<String, usize>::new();
    for round in 0..ROUNDS {
        for input in Input::ALL {
            for partition in 0..2 {
                append(&settings, input, partition, 250);
            }
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                for cut in 0..5 {
                    thread::sleep(Duration::from_millis(30 + (round * 5 + cut) * 13 % 170));
                    if cut == 2 {
                        proxy.hold(Duration::from_millis(500 + round * 700)); // in the end more than half a socket's patience
                    }
                    proxy.cut();
                }
            });
            let appended = usize::try_from(round + 1).unwrap() * 1000;
            eventually("every record", Duration::from_secs(120), || {
                if let Err(error) = step(&mut worker) {
                    *errors.entry(error.to_string()).or_default() += 1;
                    settle(&mut worker, &error);
                }
                let read: i64 = worker.next.values().map(|next| next.touchpoints + next.conversions).sum();
                (usize::try_from(read).unwrap() == appended).then_some(())
            });
        });
    }
    assert!(worker.log.renewals() > 0, "no connection broke inside a transaction: {errors:#?}");
    let rows = rows(&settings, Output::Attributions);
    let mut count = BTreeMap::<&(u32, String), usize>::new();
    for row in &rows {
        *count.entry(row).or_default() += 1;
    }
    assert!(count.values().all(|count| *count == ROUNDS as usize), "each was appended every round: {errors:#?}");
    assert_eq!(rows.len(), ROUNDS as usize * 1000, "{errors:#?}");
}

/// A step of small transactions, so that a cut meets one.
fn step(worker: &mut Worker) -> Result<(), Error> {
    worker.try_take(Duration::from_millis(5))?;
    worker.answer_some(20)
}
