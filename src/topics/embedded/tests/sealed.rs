//! A sealed log: nothing of it shows, nothing of it can be changed, and its keys can be.

use super::*;
use crate::seal::Kek;

/// Keys of these bytes, the first of them in use.
fn keks(bytes: &[u8]) -> Option<Arc<Keks>> {
    let mut keks = bytes.iter().map(|byte| Kek::new(&[*byte; 32]));
    keks.next().map(|current| Arc::new(Keks::new(current, keks.collect())))
}

fn open(place: &Place, keys: &[u8]) -> Result<Arc<Broker>, Error> {
    Broker::open(place, &Settings { seal: keks(keys), ..settings(2) })
}

fn refused(place: &Place, keys: &[u8]) -> String {
    match open(place, keys).err().unwrap() {
        error @ Error::Sealed { .. } => error.to_string(),
        other => panic!("{other}"),
    }
}

/// Appends to an input, and answers each record in a transaction.
fn fill(broker: &Arc<Broker>, name: &str, count: usize) {
    let mut member = sole_member(broker, "worker");
    for n in 0..count {
        let (key, value) = (format!("canary-user-{name}"), format!("canary-value-{name}-{n}"));
        broker.append(Topic::Touchpoints, &[record(0, &key, &value, n as Millis)]).unwrap();
        member.begin().unwrap();
        member.produce(row(0, &key, Some(&value))).unwrap();
        let next = broker.bounds(Topic::Touchpoints, 0).unwrap().end;
        member.commit(&offsets(0, next, 0, "canary-metadata")).unwrap();
    }
}

fn read(broker: &Broker) -> Vec<String> {
    let records = broker.read(Topic::Touchpoints, 0, 0, usize::MAX).unwrap();
    records.into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
}

/// Whether any file in the folder has these bytes.
fn holds(folder: &Path, needle: &[u8]) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(needle.len()).any(|part| part == needle))
}

#[test]
fn keys_that_do_not_fit_are_refused_with_a_way_out() {
    let place = Place::Memory(rocksdb::Env::mem_env().unwrap());
    drop(open(&place, &[1]).unwrap());
    let one = Kek::new(&[1; 32]).id().to_string();
    let none = refused(&place, &[]);
    assert!(none.contains(&one) && none.contains("seal.key_file"), "{none}");
    let wrong = refused(&place, &[2]);
    assert!(wrong.contains(&one) && wrong.contains("seal.older_key_files"), "{wrong}");
    assert!(wrong.contains("nothing makes it again"), "no way out that would lose the log: {wrong}");
    drop(open(&place, &[1]).unwrap());

    let place = Place::Memory(rocksdb::Env::mem_env().unwrap());
    drop(open(&place, &[]).unwrap());
    let unsealed = refused(&place, &[1]);
    assert!(unsealed.contains("is not sealed") && unsealed.contains("another data folder"), "{unsealed}");
}

#[test]
fn no_file_shows_what_was_logged() {
    for keys in [&[][..], &[1]] {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Folder(folder.path().to_owned());
        let broker = open(&place, keys).unwrap();
        fill(&broker, "first", 20);
        assert_eq!(holds(folder.path(), b"canary"), keys.is_empty(), "in the write-ahead log");
        broker.storage.db.flush().unwrap();
        assert_eq!(holds(folder.path(), b"canary"), keys.is_empty(), "in a table");
        drop(broker);
        assert_eq!(read(&open(&place, keys).unwrap()).len(), 20);
    }
}

#[test]
fn a_rotation_ends_while_events_come_in_and_leaves_nothing_of_the_old_keys() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().to_owned());
    let broker = open(&place, &[1]).unwrap();
    fill(&broker, "old", 200);
    let key = rows::record_key(Topic::Touchpoints, 0, 7);
    let old = broker.storage.db.get(key).unwrap().unwrap();
    let wrapped = broker.storage.db.get([rows::KEYS, &1_u32.to_be_bytes()].concat()).unwrap().unwrap();
    assert!(holds(folder.path(), &old) && holds(folder.path(), &wrapped), "or what follows shows nothing");
    assert_eq!(broker.left_to_reseal(), 0);
    drop(broker);

    // Begun, interrupted, begun again by a third key, interrupted while it compacts.
    let broker = open(&place, &[2, 1]).unwrap();
    for _ in 0..3 {
        assert!(broker.reseal(50).unwrap());
    }
    assert!(broker.left_to_reseal() > 0);
    fill(&broker, "middle", 10);
    drop(broker);
    let broker = open(&place, &[3, 2, 1]).unwrap();
    let mut steps = 0;
    while broker.left_to_reseal() > 0 && steps < 12 {
        broker.reseal(50).unwrap();
        fill(&broker, "new", 1);
        steps += 1;
    }
    drop(broker);
    let broker = open(&place, &[3, 2, 1]).unwrap();
    while broker.reseal(50).unwrap() {}
    assert_eq!(broker.left_to_reseal(), 0);
    for (what, bytes) in [("a value", &old), ("a key", &wrapped)] {
        assert!(!holds(folder.path(), bytes), "{what}");
    }
    drop(broker);
    let values = read(&open(&place, &[3]).unwrap());
    assert_eq!(values.len(), 200 + 10 + steps);
    assert_eq!(values[199], "canary-value-old-199");
}

#[test]
fn a_row_that_was_changed_or_moved_is_corrupt() {
    let broker = open(&Place::Memory(rocksdb::Env::mem_env().unwrap()), &[1]).unwrap();
    fill(&broker, "x", 2);
    let [first, second] = [0, 1].map(|offset| rows::record_key(Topic::Touchpoints, 0, offset));
    let get = |key: &[u8]| broker.storage.db.get(key).unwrap().unwrap();
    let [one, two] = [get(&first), get(&second)];
    let mut flipped = one.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&flipped, &two] {
        broker.storage.db.put(first, bad).unwrap();
        let error = broker.read(Topic::Touchpoints, 0, 0, 10).unwrap_err();
        assert!(matches!(&error, Error::Storage(why) if why.contains("corrupt")), "{error}");
    }
    broker.storage.db.put(first, &one).unwrap();
    assert_eq!(read(&broker).len(), 2);
}
