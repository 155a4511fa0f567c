//! Records that make the engine panic where a seed's records do not: over a giant's rows, and many in a row.

use super::*;
use tributary::stream::meta::Meta;

fn dead_letters(scene: &Scene) -> Vec<String> {
    let letters = scene.broker.read(Topic::DeadLetter, 0, 0, usize::MAX).unwrap();
    let of =
        |headers: Vec<(String, Vec<u8>)>| headers.into_iter().find(|(name, _)| name == "tributary-reason").unwrap().1;
    letters.into_iter().map(|letter| String::from_utf8(of(letter.headers)).unwrap()).collect()
}

/// A record that panics only when its many rows are produced is set aside too, and nothing of it stays.
#[test]
fn a_giant_that_panics_is_set_aside() {
    crate::quiet();
    let scene = Scene { rows_bytes: 1_500, ..Scene::new() };
    let mut worker = scene.worker("a");
    for number in 0..20 {
        scene.convert(&format!("c{number}"), 0);
    }
    worker.turns(40).unwrap();
    let before = scene.rows();
    scene.touch("panic: producing", 1_000);
    worker.turns(4).unwrap();
    assert_eq!(dead_letters(&scene), ["panic: while its rows were produced"]);
    assert_eq!(scene.rows(), before, "nothing of it is there");
    scene.touch("t", 2_000);
    worker.turns(4).unwrap();
    assert_ne!(scene.rows(), before, "what comes after it is answered");
    let named = |row: &[u8]| String::from_utf8_lossy(row).contains("panic");
    assert!(scene.rows().keys().all(|key| !named(key)));
    assert_eq!(scene.committed(), PerInput { touchpoints: 2, conversions: 20 });

    // The next taking needs not look at it again.
    let state = worker.partitions.get(0).unwrap();
    let account = state.view().meta().unwrap().map(|bytes| Meta::decode(&bytes).unwrap());
    assert_eq!(account.unwrap().dead_letters, 1);
    drop(state);

    // Whoever replays it skips it.
    let mut heir = scene.worker("b");
    heir.turns(40).unwrap();
    assert!(heir.is_live());
    assert_eq!(dead_letters(&scene).len(), 1);
}

/// A build that panics over everything must not empty a topic into the dead letters.
#[test]
fn many_panics_in_a_row_end_the_process() {
    crate::quiet();
    let scene = Scene { batch: 7, ..Scene::new() };
    let mut worker = scene.worker("a");
    for _ in 0..40 {
        scene.touch("panic: decoding", 1_000);
    }
    scene.touch("t", 1_000);
    for _ in 0..60 {
        scene.touch("panic: applying", 1_000);
    }
    let end = match worker.turns(400) {
        Err(Error::Fatal(end)) => end,
        other => panic!("it goes on: {other:?}"),
    };
    assert!(end.contains("50 records in a row"), "{end}");
    assert!(end.contains("partition 0: touchpoints at offsets 41-90"), "{end}");
    assert_eq!(dead_letters(&scene).len(), 90, "what was used between them begins the count again");
    assert_eq!(scene.committed().touchpoints, 91);

    // Started again it goes on behind them: nothing comes twice, nothing is lost, and the count begins anew.
    drop(worker);
    let mut again = scene.worker("a");
    again.turns(100).unwrap();
    assert!(again.is_live());
    assert_eq!((dead_letters(&scene).len(), scene.committed().touchpoints), (100, 101));
}
