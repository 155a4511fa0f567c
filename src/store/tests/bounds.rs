//! What the store may cost: memory and file handles of idle partitions, reads for what is not there.

use std::path::{Path, PathBuf};
use std::process::Command;

use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};

use super::fold::{START, user};
use super::reads::small;
use crate::store::{Batch, Budget, Partition, Shared, Stored};

const CHILD: &str = "TRIBUTARY_TEST_IDLE_DIR";
const MIB: usize = 1 << 20;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn handles() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Opens the partition of a number, writes a little, puts half of it on disk.
fn idle(shared: &Shared, dir: &Path, number: u64) -> Partition {
    let partition = Partition::open(shared, &dir.join(number.to_string())).unwrap();
    let mut batch = Batch::new();
    for round in 0..2 {
        for who in 0..20 {
            batch.put_touchpoint(user(who), START + round, b"a touchpoint");
        }
        batch.set_meta(b"offsets");
        partition.write(&mut batch).unwrap();
        if round == 0 {
            partition.flush().unwrap();
        }
    }
    partition
}

/// Runs in a process of its own, for other tests have memory and files too.
#[test]
fn idle_partitions_cost_little() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let dir = PathBuf::from(dir);
        let shared = Shared::open(&Budget { partitions: 256, ..Budget::default() }).unwrap();
        let mut open = vec![idle(&shared, &dir, 0)];
        let (memory, files) = (resident(), handles());
        open.extend((1..256).map(|number| idle(&shared, &dir, number)));
        let (memory, files) = (resident() - memory, handles() - files);
        println!("255 more partitions: {} KiB, {files} file handles", memory >> 10);
        assert!(memory < 64 * MIB, "{} KiB", memory >> 10);
        assert!(files < 2_000, "{files} file handles");
        return;
    }
    // Where there is a file system in memory: a thousand syncs would take most of a minute.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::bounds::idle_partitions_cost_little", "--nocapture"])
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("255 more partitions"), "{said}{output:?}");
}

#[test]
fn a_user_without_conversions_costs_no_block() {
    const ABSENT: u64 = 2_000;
    let shared = Shared::in_memory(&small()).unwrap();
    let partition = Partition::open(&shared, Path::new("/p")).unwrap();
    let mut batch = Batch::new();
    for who in 0..2_000 {
        batch.put_conversion(user(who), super::fold::conversion(who), START, b"a conversion", None);
        batch.put_touchpoint(user(who + ABSENT), START, b"a touchpoint");
    }
    partition.write(&mut batch).unwrap();
    set_perf_stats(PerfStatsLevel::EnableCount);
    let mut perf = PerfContext::default();
    let mut stored = Stored::new();
    // From the memtable: its filter answers.
    let view = partition.view();
    perf.reset();
    (0..ABSENT).try_for_each(|who| view.conversions(user(who + 2_000), 0, i64::MAX, &mut stored)).unwrap();
    assert!(perf.metric(PerfMetric::BloomMemtableMissCount) > ABSENT * 9 / 10);
    drop(view);
    // From a table: one look at its filter, and hardly ever one at a block.
    partition.flush().unwrap();
    let view = partition.view();
    view.conversions(user(ABSENT), 0, i64::MAX, &mut stored).unwrap();
    perf.reset();
    (0..ABSENT).try_for_each(|who| view.conversions(user(who + 2_000), 0, i64::MAX, &mut stored)).unwrap();
    assert!(stored.is_empty());
    let looks = perf.metric(PerfMetric::BlockCacheHitCount) + perf.metric(PerfMetric::BlockReadCount);
    println!("{looks} looks at blocks and filters for {ABSENT} users");
    assert!(looks < ABSENT * 11 / 10, "{looks} looks at blocks and filters for {ABSENT} users");
    assert!(perf.metric(PerfMetric::BloomSstMissCount) > ABSENT * 9 / 10);
    // And the same read does find what is there.
    view.conversions(user(0), 0, i64::MAX, &mut stored).unwrap();
    assert_eq!(stored.len(), 1);
    set_perf_stats(PerfStatsLevel::Disable);
}
