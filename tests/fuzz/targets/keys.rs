#![no_main]

#[path = "../keys.rs"]
mod keys;
#[path = "../seeds.rs"]
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::lay_out(&keys::good()), |bytes: &[u8]| keys::body(bytes));
