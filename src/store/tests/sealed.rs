//! A sealed state holds what an unsealed one does, and gives it to nobody else.

use std::path::Path;
use std::sync::Arc;

use super::fold::{Dice, Fold, START, conversion, user};
use super::reads::small;
use crate::seal::{Kek, Keks};
use crate::store::{Batch, Budget, Error, Partition, Shared, Stored};

/// Keys of these bytes, the first of them in use.
pub fn keks(bytes: &[u8]) -> Arc<Keks> {
    let mut keks = bytes.iter().map(|byte| Kek::new(&[*byte; 32]));
    Arc::new(Keks::new(keks.next().unwrap(), keks.collect()))
}

fn open(shared: &Shared, keys: &[u8]) -> Result<Partition, Error> {
    Partition::open(&shared.clone().sealed(keks(keys)), Path::new("/p"))
}

/// Everything that a rotation has to do.
fn rotate(partition: &Partition) {
    while partition.is_resealing() {
        assert!(partition.left_to_reseal() > 0);
        partition.reseal(37).unwrap();
    }
    while partition.compact_resealed().unwrap() {
        assert!(partition.left_to_reseal() > 0);
    }
    assert_eq!(partition.left_to_reseal(), 0);
}

#[test]
fn it_holds_what_a_map_would_through_losses_and_rotations() {
    let budget = Budget { lose_unflushed_on_close: true, ..small() };
    let mut resumed = 0;
    for seed in 0..6 {
        let shared = Shared::in_memory(&budget).unwrap();
        let mut keys = vec![1];
        let mut partition = open(&shared, &keys).unwrap();
        let (mut fold, mut batch, mut dice) = (Fold::default(), Batch::of(partition.hasher()), Dice(seed));
        let mut number = 0;
        while number < 60 {
            fold.step(seed, number, &mut batch);
            partition.write(&mut batch).unwrap();
            number += 1;
            if partition.is_resealing() {
                partition.reseal(dice.roll(200) as usize).unwrap();
            }
            match dice.roll(12) {
                0..2 => partition.flush().unwrap(),
                2 => fold.clone().expect(&partition.view()),
                3 => rotate(&partition),
                4..6 => {
                    resumed += u32::from(partition.is_resealing());
                    drop(partition);
                    if dice.roll(2) == 0 {
                        keys.insert(0, keys[0] + 1);
                    }
                    partition = open(&shared, &keys).unwrap();
                    let meta = partition.view().meta().unwrap();
                    let last = meta.map(|meta| u64::from_be_bytes(meta.try_into().unwrap()));
                    (fold, batch) = (Fold::up_to(seed, last), Batch::of(partition.hasher()));
                    number = last.map_or(0, |last| last + 1);
                }
                _ => {}
            }
        }
        rotate(&partition);
        fold.clone().expect(&partition.view());
        partition.flush().unwrap();
        drop(partition);
        fold.expect(&open(&shared, &keys[..1]).unwrap().view());
    }
    assert!(resumed > 3, "no rotation was ever interrupted: {resumed}");
}

#[test]
fn keys_that_do_not_fit_are_refused_with_a_way_out() {
    let shared = Shared::in_memory(&small()).unwrap();
    drop(open(&shared, &[1]).unwrap());
    let refused = |opened: Result<Partition, Error>| match opened.err().unwrap() {
        error @ Error::Sealed { .. } => {
            assert!(!error.is_fatal());
            error.to_string()
        }
        other => panic!("{other}"),
    };
    let one = Kek::new(&[1; 32]).id().to_string();
    let wrong = refused(open(&shared, &[2, 3]));
    assert!(wrong.contains(&one) && wrong.contains("seal.older_key_files"), "{wrong}");
    let none = refused(Partition::open(&shared, Path::new("/p")));
    assert!(none.contains(&one) && none.contains("seal.key_file"), "{none}");
    drop(open(&shared, &[2, 1]).unwrap());
    drop(open(&shared, &[2]).unwrap());
    assert!(open(&shared, &[1]).is_err(), "the older key opens nothing any longer");

    let plain = Shared::in_memory(&small()).unwrap();
    drop(Partition::open(&plain, Path::new("/p")).unwrap());
    let unsealed = refused(open(&plain, &[1]));
    assert!(unsealed.contains("is not sealed") && unsealed.contains("the log rebuilds the state"), "{unsealed}");
}

/// A partition on disk with a hundred touchpoints and conversions, flushed.
fn filled(dir: &Path, keys: Option<&[u8]>) -> Partition {
    let shared = Shared::open(&small()).unwrap();
    let shared = keys.into_iter().fold(shared, |shared, keys| shared.sealed(keks(keys)));
    let partition = Partition::open(&shared, dir).unwrap();
    let (mut batch, hasher) = (Batch::of(partition.hasher()), partition.hasher().clone());
    for n in 0..100 {
        let who = hasher.user(&format!("user-{n}"));
        batch.put_touchpoint(who, START + n, format!("canary-touch-{n}").as_bytes());
        let which = hasher.conversion(&format!("order-{n}"));
        batch.put_conversion(who, which, START + n, format!("canary-order-{n}").as_bytes(), None);
    }
    batch.set_meta(b"canary-meta");
    partition.write(&mut batch).unwrap();
    partition.flush().unwrap();
    partition
}

/// Whether any file in the folder has these bytes.
fn holds(dir: &Path, needle: &[u8]) -> bool {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(needle.len()).any(|part| part == needle))
}

#[test]
fn files_hold_neither_values_nor_hashes_that_can_be_guessed() {
    let guess = crate::store::Hasher::Plain.user("user-7");
    for keys in [None, Some(&[1_u8][..])] {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(dir.path(), keys));
        assert_eq!(holds(dir.path(), b"canary"), keys.is_none());
        // Whole in the manifest and in the first key of a block; else cut where it begins like the one before it.
        assert_eq!(holds(dir.path(), &guess.bytes()[2..]), keys.is_none());
    }
}

#[test]
fn after_a_rotation_no_file_holds_what_was_there_before() {
    let dir = tempfile::tempdir().unwrap();
    let partition = filled(dir.path(), Some(&[1]));
    let raw = |key: &[u8]| partition.db.get(key).unwrap().unwrap();
    let before = [raw(b"m"), raw(&[b"k", &[0; 4][..]].concat()), raw(&[b"k", &1_u32.to_be_bytes()[..]].concat())];
    drop(partition);
    assert!(before.iter().all(|bytes| holds(dir.path(), bytes)), "or what follows shows nothing");
    let shared = Shared::open(&small()).unwrap().sealed(keks(&[2, 1]));
    let partition = Partition::open(&shared, dir.path()).unwrap();
    rotate(&partition);
    let numbers = |partition: &Partition| {
        let keys = partition.db.iterator(rocksdb::IteratorMode::From(b"k", rocksdb::Direction::Forward));
        keys.map(|row| row.unwrap().0).take_while(|key| key[0] == b'k').map(|key| key[1..].to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&partition), [[0, 0, 0, 0], [0, 0, 0, 2]], "and the old data key is gone");
    drop(partition);
    for (what, bytes) in ["meta", "hash key", "data key"].iter().zip(&before) {
        assert!(!holds(dir.path(), bytes), "{what}");
    }
    let shared = Shared::open(&small()).unwrap().sealed(keks(&[2]));
    let partition = Partition::open(&shared, dir.path()).unwrap();
    let mut stored = Stored::new();
    partition.view().touchpoints(partition.hasher().user("user-7"), 0, i64::MAX, &mut stored).unwrap();
    assert_eq!(stored.get(0), Some((START + 7, &b"canary-touch-7"[..])));
}

#[test]
fn a_value_that_was_changed_or_moved_is_corrupt() {
    let shared = Shared::in_memory(&small()).unwrap();
    let partition = open(&shared, &[1]).unwrap();
    let mut batch = Batch::of(partition.hasher());
    batch.put_conversion(user(1), conversion(1), START, b"one", None);
    batch.put_conversion(user(1), conversion(2), START, b"two", None);
    partition.write(&mut batch).unwrap();
    let rows: Vec<_> = partition.db.iterator(rocksdb::IteratorMode::Start).map(Result::unwrap).collect();
    let [(first, one), (second, two)] = &rows.iter().filter(|(key, _)| key[0] == b'c').cloned().collect::<Vec<_>>()[..]
    else {
        panic!("two conversions")
    };
    let unlogged = crate::store::shared::unlogged();
    let mut flipped = one.to_vec();
    flipped[12] ^= 1;
    for (key, value) in [(first, &flipped[..]), (first, two), (second, one), (first, b""), (first, b"one")] {
        partition.db.put_opt(key, value, &unlogged).unwrap();
        let read = partition.view().conversions(user(1), 0, i64::MAX, &mut Stored::new());
        assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
        partition.db.put_opt(first, one, &unlogged).unwrap();
        partition.db.put_opt(second, two, &unlogged).unwrap();
        partition.view().conversions(user(1), 0, i64::MAX, &mut Stored::new()).unwrap();
    }
}

#[test]
fn a_batch_that_was_hashed_for_another_state_is_refused() {
    let shared = Shared::in_memory(&small()).unwrap();
    let partition = open(&shared, &[1]).unwrap();
    let mut batch = Batch::new();
    batch.set_meta(b"x");
    assert!(partition.write(&mut batch).is_err());
}
