#![no_main]

#[path = "../configuration.rs"]
mod configuration;
#[path = "../seeds.rs"]
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::lay_out(&configuration::good()), |bytes: &[u8]| configuration::body(bytes));
