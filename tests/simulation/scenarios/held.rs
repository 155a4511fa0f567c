//! A partition that is given up and comes back while a query still reads it.

use std::time::Instant;

use super::*;

/// Gives the partition to somebody else, and back, while it is read by whoever has the answer.
fn away_and_back(scene: &Scene, worker: &mut Running) -> Arc<store::Partition> {
    let query = worker.partitions.get(0).unwrap();
    let other = scene.broker.join("b");
    scene.broker.assign(0, "b").unwrap();
    let began = Instant::now();
    worker.turns(1).unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "the worker's other partitions do not wait for a query");
    assert!(worker.partitions.get(0).is_none(), "given up all the same");
    scene.broker.assign(0, "a").unwrap();
    drop(other);
    query
}

#[test]
fn it_waits_for_its_readers() {
    let scene = Scene::new();
    scene.settled("a");
    let mut worker = scene.worker("a");
    worker.turns(4).unwrap();
    let query = away_and_back(&scene, &mut worker);
    worker.turns(5).unwrap();
    assert!(!worker.is_live() && worker.partitions.get(0).is_none(), "the folder is open still");
    drop(query);
    let before = scene.rows();
    scene.touch("late", 500);
    worker.turns(6).unwrap();
    assert!(worker.is_live());
    assert_ne!(scene.rows(), before);
}

#[test]
fn it_does_not_wait_for_ever() {
    let scene = Scene::new();
    let mut worker = scene.worker("a");
    worker.turns(4).unwrap();
    let query = away_and_back(&scene, &mut worker);
    let turns = usize::try_from(READ_FOR / 100).unwrap();
    worker.turns(turns).unwrap();
    match worker.turns(2) {
        Err(Error::Store(store::Error::InUse { partition: 0, readers: 1, waited_ms })) => assert!(waited_ms > 1_000),
        other => panic!("it goes on: {other:?}"),
    }
    drop(query);
}
