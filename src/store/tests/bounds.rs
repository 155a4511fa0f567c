//! What reads may cost for what is not there. (What idle partitions cost is measured in a process of its own:
//! `tests/idle_partitions.rs`.)

use std::path::Path;

use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};

use super::fold::{START, user};
use super::reads::small;
use crate::store::{Batch, Partition, Shared, Stored};

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
