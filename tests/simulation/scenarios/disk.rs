//! A disk that fails under a worker.

use std::cell::Cell;

use super::*;

fn events(scene: &Scene, numbers: std::ops::Range<i64>) {
    for number in numbers {
        scene.touch(&format!("t{number}"), 1_000 + number);
    }
}

/// The folder of a state is moved away, so that RocksDB can make no more files: its next flush fails, and after that every
/// write. The transaction before such a write stands in the log.
#[test]
fn a_write_that_fails_after_the_commit_ends_the_worker_and_is_replayed() {
    let disk = tempfile::tempdir().unwrap();
    let shared = store::Shared::open(&budget()).unwrap();
    let scene = Scene { shared, root: disk.path().into(), batch: 1, ..Scene::new() };
    let mut worker = scene.worker("a");
    events(&scene, 0..3);
    scene.convert("c", 0);
    worker.turns(10).unwrap();
    let state = worker.partitions.get(0).unwrap();
    state.flush().unwrap();

    let (folder, away) = (disk.path().join("a"), disk.path().join("away"));
    std::fs::rename(&folder, &away).unwrap();
    events(&scene, 3..4);
    worker.turns(2).unwrap();
    assert_eq!(scene.committed().touchpoints, 4, "what goes to memory only does not need the disk");
    state.flush().unwrap_err();
    drop(state);
    events(&scene, 4..8);
    let before = scene.rows();
    let asked = Cell::new(0);
    let stop = || asked.replace(asked.get() + 1) > 50; // were it to go on, it would not for ever
    match worker.worker.run(stop) {
        Err(Error::Store(error)) => assert!(error.is_fatal(), "{error}"),
        other => panic!("it goes on: {other:?}"),
    }
    assert_eq!(scene.committed().touchpoints, 5, "its transaction stands, and none was begun after it");
    assert_ne!(scene.rows(), before);

    drop(worker);
    std::fs::rename(&away, &folder).unwrap();
    let mut again = scene.worker("a");
    again.turns(20).unwrap();
    assert!(again.is_live());
    scene.convert("c2", 0);
    again.turns(4).unwrap();

    let calm = Scene::new();
    let mut worker = calm.worker("a");
    events(&calm, 0..8);
    calm.convert("c", 0);
    calm.convert("c2", 0);
    worker.turns(10).unwrap();
    assert_eq!((scene.committed(), scene.rows()), (calm.committed(), calm.rows()));
}
