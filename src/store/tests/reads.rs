//! What is written is what is read.

use std::path::Path;

use super::fold::{Dice, Fold, START, conversion, user};
use crate::core::Model;
use crate::store::{BUCKET_MS, Batch, Budget, Cell, Dimension, Error, Partition, Shared, Stored, Sum};

pub fn small() -> Budget {
    Budget { memory_bytes: 8 << 20, open_files: 64, partitions: 1, ..Budget::default() }
}

fn in_memory() -> (Shared, Partition) {
    let shared = Shared::in_memory(&small()).unwrap();
    let partition = Partition::open(&shared, Path::new("/p")).unwrap();
    (shared, partition)
}

fn records(stored: &Stored) -> Vec<(i64, &str)> {
    stored.iter().map(|(at, record)| (at, std::str::from_utf8(record).unwrap())).collect()
}

#[test]
fn the_store_holds_what_a_map_would() {
    for seed in 0..4 {
        let (shared, mut partition) = in_memory();
        let (mut fold, mut batch, mut dice) = (Fold::default(), Batch::new(), Dice(seed));
        for number in 0..60 {
            fold.step(seed, number, &mut batch);
            partition.write(&mut batch).unwrap();
            assert!(batch.is_empty());
            match dice.roll(8) {
                0 => partition.flush().unwrap(),
                1 => {
                    drop(partition);
                    partition = Partition::open(&shared, Path::new("/p")).unwrap();
                }
                2 => fold.clone().expect(&partition.view()),
                _ => {}
            }
        }
        fold.expect(&partition.view());
    }
}

#[test]
fn a_window_has_both_its_ends_and_nothing_else() {
    let (_shared, partition) = in_memory();
    let mut batch = Batch::new();
    for (at, record) in [(99, "before"), (100, "first"), (150, "middle"), (200, "last"), (201, "after")] {
        batch.put_touchpoint(user(1), START + at, record.as_bytes());
        batch.put_conversion(user(1), conversion(at as u64), START + at, record.as_bytes(), None);
        batch.put_touchpoint(user(2), START + at, b"of another");
    }
    partition.write(&mut batch).unwrap();
    for flushed in [false, true] {
        if flushed {
            partition.flush().unwrap();
        }
        let view = partition.view();
        let wanted = vec![(START + 100, "first"), (START + 150, "middle"), (START + 200, "last")];
        let mut stored = Stored::new();
        view.touchpoints(user(1), START + 100, START + 200, &mut stored).unwrap();
        assert_eq!(records(&stored), wanted);
        stored.clear();
        view.conversions(user(1), START + 100, START + 200, &mut stored).unwrap();
        assert_eq!(records(&stored), wanted);
        stored.clear();
        view.conversions(user(3), 0, i64::MAX, &mut stored).unwrap();
        view.touchpoints(user(1), START + 200, START + 100, &mut stored).unwrap();
        view.touchpoints(user(1), START + 151, START + 199, &mut stored).unwrap();
        assert!(stored.is_empty());
        assert_eq!(stored.get(0), None);
    }
}

#[test]
fn a_duplicate_lands_on_itself_and_a_conflicting_one_beside_it() {
    let (_shared, partition) = in_memory();
    let mut batch = Batch::new();
    for record in ["one", "one", "two"] {
        batch.put_touchpoint(user(1), START, record.as_bytes());
        partition.write(&mut batch).unwrap();
    }
    let mut stored = Stored::new();
    partition.view().touchpoints(user(1), START, START, &mut stored).unwrap();
    let mut found = records(&stored);
    found.sort_unstable();
    assert_eq!(found, vec![(START, "one"), (START, "two")]);
}

#[test]
fn a_view_does_not_see_what_comes_after_it() {
    let (_shared, partition) = in_memory();
    let mut batch = Batch::new();
    batch.set_meta(b"before");
    partition.write(&mut batch).unwrap();
    let view = partition.view();
    batch.set_meta(b"after");
    batch.put_conversion(user(1), conversion(1), START, b"late", None);
    partition.write(&mut batch).unwrap();
    partition.flush().unwrap();
    assert_eq!(view.meta().unwrap().as_deref(), Some(b"before".as_slice()));
    assert_eq!(view.conversion(user(1), conversion(1)).unwrap(), None);
    let mut stored = Stored::new();
    view.conversions(user(1), 0, i64::MAX, &mut stored).unwrap();
    assert!(stored.is_empty());
    assert_eq!(partition.view().meta().unwrap().as_deref(), Some(b"after".as_slice()));
}

#[test]
fn of_several_writes_of_one_key_the_last_counts() {
    let (_shared, partition) = in_memory();
    let mut batch = Batch::new();
    batch.put_conversion(user(1), conversion(1), START, b"here", None);
    batch.put_conversion(user(1), conversion(1), START + 5, b"there", Some(START));
    batch.put_conversion(user(1), conversion(1), START, b"and back", Some(START + 5));
    partition.write(&mut batch).unwrap();
    let view = partition.view();
    assert_eq!(view.conversion(user(1), conversion(1)).unwrap(), Some((START, b"and back".to_vec())));
    let mut stored = Stored::new();
    view.conversions(user(1), 0, i64::MAX, &mut stored).unwrap();
    assert_eq!(records(&stored), vec![(START, "and back")]);
}

#[test]
fn owners_are_all_users_with_that_id() {
    let (_shared, partition) = in_memory();
    let mut batch = Batch::new();
    for who in [3, 1, 2] {
        batch.put_conversion(user(who), conversion(7), START, b"x", None);
    }
    batch.put_conversion(user(4), conversion(8), START, b"x", None);
    partition.write(&mut batch).unwrap();
    let mut wanted = vec![user(1), user(2), user(3)];
    wanted.sort_unstable();
    assert_eq!(partition.view().owners(conversion(7)).unwrap(), wanted);
    assert_eq!(partition.view().owners(conversion(9)).unwrap(), vec![]);
}

#[test]
fn rollups_are_cut_at_their_buckets_and_gone_when_they_are_zero() {
    let (_shared, partition) = in_memory();
    let mut batch = Batch::new();
    let cell = |bucket, name| Cell {
        dimension: Dimension::Channel,
        model: Model::Linear,
        bucket: Cell::bucket_of(START) + bucket,
        name: Some(name),
        unattributed: false,
        currency: Some("EUR"),
    };
    let sum = |credit_micros| Sum { credit_micros, credited_micros: -credit_micros };
    for bucket in 0..5 {
        batch.add_rollup(&cell(bucket, "search"), sum(i128::from(bucket) + 1));
    }
    batch.add_rollup(&cell(2, "email"), sum(10));
    partition.write(&mut batch).unwrap();
    let read = |from, to| {
        let mut found = Vec::new();
        let (from, to) = (START + from * BUCKET_MS, START + to * BUCKET_MS);
        let each = |cell: &Cell<'_>, sum: Sum| {
            found.push((cell.name.unwrap().to_owned(), sum.credit_micros));
            Ok::<_, Error>(())
        };
        partition.view().rollups(Model::Linear, Dimension::Channel, from, to, each).unwrap();
        found.sort();
        found
    };
    assert_eq!(read(1, 3), vec![("email".into(), 10), ("search".into(), 2), ("search".into(), 3)]);
    assert_eq!(read(3, 3), vec![]);
    batch.add_rollup(&cell(2, "email"), sum(-10));
    partition.write(&mut batch).unwrap();
    assert_eq!(read(2, 3), vec![("search".into(), 3)]);
    assert_eq!(read(0, 100).len(), 5, "a cell of nothing is not read as 0, it is gone");
    let stop = |_: &Cell<'_>, _| Err(Error::corrupt(Path::new("/"), "stopped"));
    partition.view().rollups(Model::FirstTouch, Dimension::Channel, 0, i64::MAX, stop).unwrap();
    partition.view().rollups(Model::Linear, Dimension::Kind, 0, i64::MAX, stop).unwrap();
    let stopped = partition.view().rollups(Model::Linear, Dimension::Channel, 0, i64::MAX, stop);
    assert!(matches!(stopped, Err(Error::Corrupt { .. })), "whoever reads cells can stop");
}

#[test]
fn a_folder_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::open(&small()).unwrap();
    let first = Partition::open(&shared, dir.path()).unwrap();
    let second = Partition::open(&shared, dir.path());
    assert!(matches!(second, Err(Error::Locked { .. })), "{:?}", second.err());
    drop(first);
    assert!(Partition::open(&shared, dir.path()).is_ok());
}

#[test]
fn another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::open(&small()).unwrap();
    let unlogged = crate::store::shared::unlogged();
    for (key, value) in [(b"f", "2"), (b"z", "something")] {
        let folder = dir.path().join(value);
        let db = rocksdb::DB::open(&shared.options(&folder).unwrap(), &folder).unwrap();
        db.put_opt(key, value, &unlogged).unwrap();
        drop(db);
        let opened = Partition::open(&shared, &folder);
        assert!(matches!(opened, Err(Error::Format { .. })), "{:?}", opened.err());
    }
}

#[test]
fn a_damaged_table_is_told_from_a_missing_record() {
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::open(&small()).unwrap();
    let partition = Partition::open(&shared, dir.path()).unwrap();
    let mut batch = Batch::new();
    for who in 0..1_000 {
        batch.put_touchpoint(user(who), START, format!("record of {who}").as_bytes());
    }
    partition.write(&mut batch).unwrap();
    drop(partition);
    let is_table = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "sst");
    let table = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).find(is_table).unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[2_000] ^= 0xff;
    std::fs::write(&table, bytes).unwrap();
    let read = || {
        let partition = Partition::open(&Shared::open(&small())?, dir.path())?;
        let (view, mut stored) = (partition.view(), Stored::new());
        (0..1_000).try_for_each(|who| view.touchpoints(user(who), 0, i64::MAX, &mut stored))
    };
    let error = read().unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }) && error.is_fatal(), "{error}");
}
