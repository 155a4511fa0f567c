//! Replay in little memory, in a process of its own, whose peak the kernel knows.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};

use tributary::core::{Model, Rules};
use tributary::replay::{self, Input, Progress, Request};

const MEBIBYTE: u64 = 1 << 20;

/// The most memory that this process ever held, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_stays_within_its_bound_whatever_the_size_of_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut touchpoints = BufWriter::new(File::create(at("touchpoints")).unwrap());
    let mut conversions = BufWriter::new(File::create(at("conversions")).unwrap());
    for id in 0..600_000u64 {
        let (user, time) = (id * 7_919 % 40_000, 1_774_958_400_000 + id);
        writeln!(
            touchpoints,
            r#"{{"event_id":"touchpoint-{id:010}","user_id":"user-{user:08}","occurred_at":{time},"channel":"paid_search","campaign":"spring-sale"}}"#
        )
        .unwrap();
        if id % 20 == 0 {
            writeln!(
                conversions,
                r#"{{"event_id":"order-{id:010}","user_id":"user-{user:08}","occurred_at":{time},"value_micros":{id},"currency":"EUR"}}"#
            )
            .unwrap();
        }
    }
    touchpoints.into_inner().unwrap();
    conversions.into_inner().unwrap();
    let size = fs::metadata(at("touchpoints")).unwrap().len();
    let request = Request {
        sealed: false,
        touchpoints: vec![Input::File(at("touchpoints"))],
        conversions: vec![Input::File(at("conversions"))],
        rules: Rules::new(86_400_000, 86_400_000, 256, vec![Model::LastTouch, Model::Linear]).unwrap(),
        output: Some(at("rows")),
        dead_letters: None,
        memory_bytes: 8 << 20,
    };
    let before = peak();
    let summary = replay::run(&request, &Progress::none()).unwrap();
    let grown = peak() - before;
    assert_eq!((summary.touchpoints, summary.conversions, summary.bad), (600_000, 30_000, 0));
    let rows = fs::metadata(at("rows")).unwrap().len();
    assert!(size > 80 * MEBIBYTE && rows > 80 * MEBIBYTE, "{size} bytes in, {rows} bytes out");
    // Beside the 8 MiB asked for: blocks of input, buffers of files, the allocator's own.
    assert!(grown < 24 * MEBIBYTE, "grew by {} KiB for 8 MiB asked", grown >> 10);
}
