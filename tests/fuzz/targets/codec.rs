#![no_main]

#[path = "../codec.rs"]
mod codec;
#[path = "../seeds.rs"]
mod seeds;

libfuzzer_sys::fuzz_target!(init: seeds::lay_out(&codec::good()), |bytes: &[u8]| codec::body(bytes));
