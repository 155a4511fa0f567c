//! The engine on the embedded log, simulated: thousands of seeded schedules of crashes, rebalances, lost answers,
//! duplicates and reorderings, each held against the batch answer after every commit.
//!
//! Beside them, in `scenarios`, single scenes that chance would not bring about.
//!
//! `make simulate SEEDS=100000` runs more of them, `SEEDS=7..8` one again.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod answer;
mod check;
mod dice;
mod events;
mod ledger;
mod log;
mod plan;
mod process;
mod scenarios;
mod sealing;
mod situations;
mod stage;
mod trace;
mod watcher;
mod wire;
mod world;

use std::ops::Range;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::time::Instant;

use situations::Situation;
use tributary::stream::Planted;
use world::{Failure, Summary};

/// Seeds in the suite.
const SEEDS: u64 = 2_000;
/// Fewer than this need not meet every situation.
const ENOUGH: u64 = 1_000;
/// How many seeds run at once; each is one thread.
const THREADS: usize = 2;
/// How many failures are shown.
const SHOWN: usize = 3;

/// A panic that the simulation plants is no news.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let planted = info.payload().downcast_ref::<&str>().is_some_and(|text| text.starts_with("planted"));
            if !planted {
                loud(info);
            }
        }));
    });
}

/// `TRIBUTARY_SEEDS`: how many, or `from..to`.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("TRIBUTARY_SEEDS") else {
        return 0..SEEDS;
    };
    let number = |text: &str| -> u64 { text.trim().parse().expect("TRIBUTARY_SEEDS is a number or from..to") };
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}

/// Runs seeds until all are done or `enough` failures are found.
fn run_all(seeds: Range<u64>, planted: Planted, enough: usize) -> (Vec<Summary>, Vec<Failure>) {
    quiet();
    let next = AtomicU64::new(seeds.start);
    let done = Mutex::new((Vec::new(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || done.lock().unwrap().1.len() >= enough {
                        break;
                    }
                    let outcome = world::run(seed, planted);
                    let mut done = done.lock().unwrap();
                    match outcome {
                        Ok(summary) => done.0.push(summary),
                        Err(failure) => done.1.push(failure),
                    }
                }
            });
        }
    });
    let (summaries, mut failures) = done.into_inner().unwrap();
    failures.sort_by_key(|failure: &Failure| failure.seed);
    (summaries, failures)
}

fn show(failure: &Failure) -> String {
    let Failure { seed, what, trace } = failure;
    format!("seed {seed}: {what}\n{trace}again: make simulate SEEDS={seed}..{}\n", seed + 1)
}

#[test]
fn every_seed_ends_at_the_batch_answer_and_every_situation_comes_about() {
    let (seeds, began) = (seeds(), Instant::now());
    let (summaries, failures) = run_all(seeds.clone(), Planted::default(), SHOWN);
    let took = began.elapsed().as_secs_f64();
    let records: usize = summaries.iter().map(|summary| summary.records).sum();
    println!(
        "{} seeds, {records} records in {took:.1} s: {:.0} seeds/s",
        summaries.len(),
        summaries.len() as f64 / took
    );
    let mut missing = Vec::new();
    for situation in Situation::ALL {
        let count = summaries.iter().filter(|summary| summary.met.has(*situation)).count();
        println!("{count:7} {}", situation.text());
        if count == 0 && situations::possible(*situation) {
            missing.push(situation.text());
        }
    }
    let shown: Vec<String> = failures.iter().map(show).collect();
    assert!(failures.is_empty(), "{} seeds fail\n{}", failures.len(), shown.join("\n"));
    let enough = seeds.end - seeds.start >= ENOUGH;
    assert!(!enough || missing.is_empty(), "situations that never came about: {missing:?}");
}

#[test]
fn a_seed_is_a_whole_run() {
    quiet();
    for seed in [1, 2, 3, 5, 8, 13, 21, 34] {
        let hash = || world::run(seed, Planted::default()).map(|summary| summary.hash).map_err(|failure| failure.what);
        assert_eq!(hash(), hash(), "seed {seed}");
    }
}

/// Each planted bug is caught by some seed of the suite's first thousand.
#[cfg(feature = "planted")]
#[test]
fn every_planted_bug_is_caught() {
    for bug in tributary::stream::Bug::ALL {
        let (_, failures) = run_all(0..ENOUGH, Planted::with(bug), 1);
        let Some(first) = failures.first() else { panic!("no seed catches {bug:?}") };
        let what = first.what.lines().next().unwrap_or_default();
        println!("{bug:?}: caught by seed {}: {what}", first.seed);
    }
}
