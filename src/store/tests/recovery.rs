//! Whatever ends a process, the state on disk is the state after some prefix of the batches, and the meta says which.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::fold::{Dice, Fold};
use super::reads::small;
use crate::store::{Batch, Budget, Partition, Shared};

const SEED: u64 = 7;
const CHILD: &str = "TRIBUTARY_TEST_STORE_DIR";

fn applied(meta: Option<Vec<u8>>) -> Option<u64> {
    meta.map(|meta| u64::from_be_bytes(meta.try_into().unwrap()))
}

/// Writes batches, from the one after the last that the folder has, until it is killed.
fn write_for_ever(dir: &Path) -> ! {
    let partition = Partition::open(&Shared::open(&small()).unwrap(), dir).unwrap();
    let last = applied(partition.view().meta().unwrap());
    let (mut fold, mut batch) = (Fold::up_to(SEED, last), Batch::new());
    for number in last.map_or(0, |last| last + 1).. {
        fold.step(SEED, number, &mut batch);
        partition.write(&mut batch).unwrap();
        if number % 50 == 0 {
            partition.flush().unwrap();
        }
    }
    unreachable!("there is always a next batch")
}

/// Starts itself as the writer, and kills it.
#[test]
fn a_killed_process_leaves_a_prefix_of_its_batches() {
    if let Some(dir) = std::env::var_os(CHILD) {
        write_for_ever(&PathBuf::from(dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut last = None;
    for life in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::recovery::a_killed_process_leaves_a_prefix_of_its_batches"])
            .env(CHILD, dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(400 + 37 * life));
        assert!(child.try_wait().unwrap().is_none(), "the writer ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        let partition = Partition::open(&Shared::open(&small()).unwrap(), dir.path()).unwrap();
        let found = applied(partition.view().meta().unwrap());
        assert!(found >= last, "went back from {last:?} to {found:?}");
        last = found;
        Fold::up_to(SEED, found).expect(&partition.view());
    }
    assert!(last > Some(50), "the writer was too slow to test anything: {last:?}");
}

#[test]
fn what_was_not_flushed_is_lost_as_a_whole() {
    let budget = Budget { lose_unflushed_on_close: true, ..small() };
    let shared = Shared::in_memory(&budget).unwrap();
    let dir = Path::new("/p");
    let mut dice = Dice(3);
    let (mut lost, mut last) = (0, None);
    for _ in 0..25 {
        let partition = Partition::open(&shared, dir).unwrap();
        let mut fold = Fold::up_to(SEED, last);
        let (mut batch, mut durable) = (Batch::new(), last);
        for number in (last.map_or(0, |last| last + 1)..).take(dice.roll(12) as usize) {
            fold.step(SEED, number, &mut batch);
            partition.write(&mut batch).unwrap();
            if dice.roll(4) == 0 {
                partition.flush().unwrap();
                durable = Some(number);
            }
            assert_eq!(applied(partition.durable_meta().unwrap()), durable);
        }
        let written = applied(partition.view().meta().unwrap());
        drop(partition);
        let partition = Partition::open(&shared, dir).unwrap();
        last = applied(partition.view().meta().unwrap());
        assert_eq!(last, durable);
        lost += u64::from(last != written);
        Fold::up_to(SEED, last).expect(&partition.view());
    }
    assert!(lost > 5, "nothing was lost, so nothing was tested");
    assert!(last.is_some());
}

#[test]
fn closing_keeps_everything() {
    let shared = Shared::in_memory(&small()).unwrap();
    let (mut fold, mut batch) = (Fold::default(), Batch::new());
    for number in 0..3 {
        let partition = Partition::open(&shared, Path::new("/p")).unwrap();
        fold.step(SEED, number, &mut batch);
        partition.write(&mut batch).unwrap();
    }
    fold.expect(&Partition::open(&shared, Path::new("/p")).unwrap().view());
}

#[test]
fn old_writes_are_flushed_and_young_ones_are_not() {
    let shared = Shared::in_memory(&small()).unwrap();
    let partition = Partition::open(&shared, Path::new("/p")).unwrap();
    assert!(!partition.flush_if_older(0, 100).unwrap(), "nothing was written");
    let mut batch = Batch::new();
    batch.set_meta(b"1");
    partition.write(&mut batch).unwrap();
    assert!(!partition.flush_if_older(1_000, 100).unwrap());
    assert!(!partition.flush_if_older(1_099, 100).unwrap());
    assert_eq!(partition.durable_meta().unwrap(), None);
    assert!(partition.flush_if_older(1_100, 100).unwrap());
    for _ in 0..1_000 {
        if partition.durable_meta().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(partition.durable_meta().unwrap().as_deref(), Some(b"1".as_slice()));
    assert!(!partition.flush_if_older(9_000, 100).unwrap(), "nothing was written since");
}
