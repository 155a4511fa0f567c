//! Any bytes at all, and good bytes bent a little, to everything that reads bytes of strangers: an answer, never a panic.
//!
//! The bodies are plain functions. Here they run over bytes from seeds, so that a failure comes again; `make fuzz` runs them
//! under libFuzzer, which looks for inputs that reach new code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod codec;
mod configuration;
mod dice;
mod keys;

use dice::Dice;

/// Runs a body over so many inputs from each of eight seeds; `INPUTS` says another number.
fn run(good: &[Vec<u8>], inputs: usize, body: fn(&[u8])) {
    let inputs = std::env::var("INPUTS").map_or(inputs, |text| text.parse().expect("INPUTS: a number"));
    for seed in 0..8 {
        let mut dice = Dice(seed);
        for _ in 0..inputs {
            let mut bytes = good[dice.below(good.len())].clone();
            if dice.below(4) == 0 {
                bytes = (0..dice.below(64)).map(|_| dice.next() as u8).collect();
            }
            for _ in 0..dice.below(5) {
                dice::bend(&mut bytes, &mut dice);
            }
            body(&bytes);
        }
    }
}

#[test]
fn events_rows_and_stored_records() {
    let good = codec::good();
    codec::read_back(&good);
    run(&good, 20_000, codec::body);
}

#[test]
fn api_keys() {
    let good = keys::good();
    keys::read_back(&good);
    run(&good, 20_000, keys::body);
}

#[test]
fn configuration_files() {
    let good = configuration::good();
    configuration::read_back(&good);
    run(&good, 500, configuration::body);
}
