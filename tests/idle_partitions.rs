//! What idle partitions cost, in a process of its own, whose memory and files the kernel counts.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use tributary::app::settings;
use tributary::config::Config;
use tributary::store::{Batch, Hasher, Partition, Shared};

const PARTITIONS: u32 = 256;
const MEBIBYTE: usize = 1 << 20;

fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn handles() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Opens the partition of a number and writes a little, of which half goes to disk.
fn idle(shared: &Shared, dir: &Path, number: u32) -> Partition {
    let partition = Partition::open(shared, &dir.join(number.to_string())).unwrap();
    let mut batch = Batch::new();
    for round in 0..2 {
        for who in 0..20 {
            batch.put_touchpoint(
                Hasher::Plain.user(&format!("user-{who}")),
                1_750_000_000_000 + round,
                b"a touchpoint",
            );
        }
        batch.set_meta(b"offsets");
        partition.write(&mut batch).unwrap();
        if round == 0 {
            partition.flush().unwrap();
        }
    }
    partition
}

/// The budget is the one that `tributary run` would open them with when nothing is configured.
#[test]
fn two_hundred_and_fifty_six_cost_under_64_mib_and_2000_handles() {
    // Where there is a file system in memory: a thousand syncs would take most of a minute.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let shared = Shared::open(&settings::budget(&Config::default(), PARTITIONS)).unwrap();
    let (memory, files) = (resident(), handles());
    let open: Vec<_> = (0..PARTITIONS).map(|number| idle(&shared, dir.path(), number)).collect();
    let (memory, files) = (resident() - memory, handles() - files);
    println!("{} partitions: {} KiB, {files} file handles", open.len(), memory >> 10);
    assert!(memory < 64 * MEBIBYTE, "{} KiB", memory >> 10);
    assert!(files < 2_000, "{files} file handles");
}
