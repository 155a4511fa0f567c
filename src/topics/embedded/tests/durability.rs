//! What is there after a crash, and after many threads wrote at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use super::*;

#[test]
fn what_a_crash_left_beyond_the_end_is_gone_after_opening() {
    let env = rocksdb::Env::mem_env().unwrap();
    let place = Place::Memory(env);
    let broker = Broker::open(&place, &settings(1)).unwrap();
    let mut member = sole_member(&broker, "a");
    let large = "x".repeat(1 << 20);
    member.begin().unwrap();
    for _ in 0..9 {
        member.produce(row(0, "k", Some(&large))).unwrap();
    }
    drop((member, broker));
    let broker = Broker::open(&place, &settings(1)).unwrap();
    assert_eq!(broker.ends(Topic::Attributions), [0]);
    for offset in 0..9 {
        let key = rows::record_key(Topic::Attributions, 0, offset);
        assert_eq!(broker.storage.get(&key).unwrap(), None, "{offset}");
    }
}

#[test]
fn opening_otherwise_than_made_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().join("log"));
    let broker = Broker::open(&place, &settings(4)).unwrap();
    let cluster = broker.identity().cluster.clone();
    assert_eq!(cluster.len(), 22);
    let twice = Broker::open(&place, &settings(4)).err().unwrap();
    assert!(matches!(twice, Error::InUse(_)), "{twice}");
    drop(broker);

    let error = Broker::open(&place, &settings(8)).err().unwrap().to_string();
    assert!(error.contains("number of partitions 4, not 8"), "{error}");
    let mut renamed = settings(4);
    renamed.topics.touchpoints = "clicks".to_owned();
    let error = Broker::open(&place, &renamed).err().unwrap().to_string();
    assert!(error.contains("touchpoints topic touchpoints, not clicks"), "{error}");
    assert_eq!(Broker::open(&place, &settings(4)).unwrap().identity().cluster, cluster);
}

/// Many threads append and commit at once: everything is there, in each thread's order, and what was acknowledged was
/// visible to the one who wrote it.
#[test]
fn several_threads_share_the_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_disk(folder.path(), 4);
    let mut workers: Vec<_> = (0..2).map(|worker| broker.join(&format!("w{worker}"))).collect();
    broker.spread().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let broker = &broker;
            scope.spawn(move || {
                for turn in 0..50 {
                    let value = format!("{thread}/{turn}");
                    let positions = broker.append(Input::Touchpoints, &[record(turn % 4, "k", &value, 1)]).unwrap();
                    assert!(broker.ends(Topic::Touchpoints)[(turn % 4) as usize] > positions[0].1);
                }
            });
        }
        for worker in &mut workers {
            scope.spawn(move || {
                let mine = worker.poll(Duration::ZERO).unwrap();
                assert_eq!(mine.len(), 2);
                for turn in 0..50 {
                    let Assignment::Gained(partition) = mine[turn % 2] else { panic!("{mine:?}") };
                    worker.begin().unwrap();
                    worker.produce(row(partition, "k", Some(&turn.to_string()))).unwrap();
                    worker.commit(&offsets(partition, 0, 0, &turn.to_string())).unwrap();
                }
            });
        }
    });
    drop(workers);
    drop(broker);

    let broker = on_disk(folder.path(), 4);
    let mut next = BTreeMap::new();
    for partition in 0..4 {
        let turns = broker.read(Topic::Attributions, partition, 0, 999).unwrap();
        assert_eq!(turns.len(), 25);
        for record in broker.read(Topic::Touchpoints, partition, 0, 999).unwrap() {
            let value = String::from_utf8(record.value.unwrap()).unwrap();
            let (thread, turn) = value.split_once('/').unwrap();
            let turn: u32 = turn.parse().unwrap();
            let expected = next.entry((thread.to_owned(), partition)).or_insert(partition);
            assert_eq!(turn, *expected);
            *expected += 4;
        }
    }
    assert_eq!(next.values().map(|turn| turn / 4).sum::<u32>(), 4 * 50);
}

/// One process's part of [`killed_at_any_moment`]: appends and commits without end, telling what was acknowledged.
fn append_and_commit(folder: &Path) -> ! {
    let broker = on_disk(folder, 2);
    let mut member = sole_member(&broker, "w");
    let committed = member.committed(0).unwrap().touchpoints;
    let mut number: i64 = committed.map_or(0, |committed| committed.metadata.parse().unwrap());
    let large = "x".repeat(300_000);
    loop {
        number += 1;
        let value = number.to_string();
        let appended =
            broker.append(Input::Touchpoints, &[record(0, "k", &value, number), record(1, "k", &value, number)]);
        println!("appended {}", appended.unwrap()[1].1);
        member.begin().unwrap();
        for copy in 0..20 {
            // Every fifth is larger than a chunk.
            let key = if number % 5 == 0 { large.as_str() } else { "key" };
            member.produce(row(copy % 2, key, Some(&value))).unwrap();
        }
        let next = PerInput { touchpoints: number, conversions: 0 };
        let both = [0, 1].map(|partition| PartitionOffsets { partition, next, metadata: value.clone() });
        let [first, second] = both;
        member.commit(&Offsets::new(first, vec![second])).unwrap();
        println!("committed {number}");
    }
}

/// What must hold of a log that [`append_and_commit`] wrote, however it ended.
fn check(broker: &Arc<Broker>, appended: Option<i64>, committed: i64) -> i64 {
    let mut member = sole_member(broker, "check");
    let last = [0, 1].map(|partition| {
        let offsets = member.committed(partition).unwrap().touchpoints;
        offsets.map_or(0, |offsets| offsets.metadata.parse::<i64>().unwrap())
    });
    assert_eq!(last[0], last[1], "one transaction committed both");
    assert!(last[0] >= committed, "{committed} was acknowledged, {} is there", last[0]);
    for partition in [0, 1] {
        let rows = broker.read(Topic::Attributions, partition, 0, usize::MAX).unwrap();
        let numbers: Vec<i64> =
            rows.iter().map(|row| std::str::from_utf8(row.value.as_ref().unwrap()).unwrap().parse().unwrap()).collect();
        let whole: Vec<i64> = (1..=last[0]).flat_map(|number| [number; 10]).collect();
        assert_eq!(numbers, whole);
    }
    let ends = broker.ends(Topic::Touchpoints);
    assert_eq!(ends[0], ends[1], "one append wrote both");
    assert!(appended.is_none_or(|appended| ends[0] > appended));
    let read = broker.read(Topic::Touchpoints, 1, 0, usize::MAX).unwrap();
    assert!(read.iter().map(|record| record.offset).eq(0..ends[1]), "no gap");
    last[0]
}

fn kill_in(mut child: Child, millis: u64) -> JoinHandle<()> {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
    })
}

#[test]
fn killed_at_any_moment() {
    const FOLDER: &str = "TRIBUTARY_TEST_LOG_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        append_and_commit(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut appended, mut committed) = (None, 0);
    for round in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "topics::embedded::tests::durability::killed_at_any_moment", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let began = committed;
        let mut child = Some(child);
        let mut killer = None;
        for line in lines.map_while(Result::ok) {
            let Some((what, Ok(number))) = line.split_once(' ').map(|(what, number)| (what, number.parse())) else {
                continue;
            };
            match what {
                "appended" => appended = Some(number),
                "committed" => committed = number,
                _ => continue,
            }
            // However slow the machine, it is killed at work and not while it starts.
            killer = killer.or_else(|| child.take().map(|child| kill_in(child, 10 + round * 61 % 100)));
        }
        let killer = killer.expect("the child wrote nothing");
        killer.join().unwrap();
        let last = check(&on_disk(folder.path(), 2), appended, committed);
        assert!(round == 0 || last >= began);
        committed = last;
    }
    assert!(committed > 8, "the children got nowhere");
}

/// After a power cut the write-ahead log ends anywhere: what is left of it is whole transactions.
#[test]
fn a_log_cut_anywhere_holds_whole_transactions() {
    let folder = tempfile::tempdir().unwrap();
    let broker = on_disk(folder.path(), 2);
    let mut member = sole_member(&broker, "w");
    for number in 1..=30_i64 {
        let value = number.to_string();
        broker.append(Input::Touchpoints, &[record(0, "k", &value, 1), record(1, "k", &value, 1)]).unwrap();
        member.begin().unwrap();
        for copy in 0..20 {
            member.produce(row(copy % 2, "key", Some(&value))).unwrap();
        }
        let next = PerInput { touchpoints: number, conversions: 0 };
        let [first, second] = [0, 1].map(|partition| PartitionOffsets { partition, next, metadata: value.clone() });
        member.commit(&Offsets::new(first, vec![second])).unwrap();
    }
    let mut seen = BTreeSet::new();
    for cut in 1..40_u64 {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            let to = copy.path().join(file.file_name());
            std::fs::copy(file.path(), &to).unwrap();
            if to.extension().is_some_and(|ending| ending == "log") {
                let length = file.metadata().unwrap().len();
                std::fs::OpenOptions::new().write(true).open(&to).unwrap().set_len(length * cut / 40).unwrap();
            }
        }
        seen.insert(check(&on_disk(copy.path(), 2), None, 0));
    }
    assert!(seen.len() > 20, "the cuts did not hit the log: {seen:?}");
}
