//! A change that is under way when the process stops, and one that panics.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::audit::log::memory::Audited;
use crate::audit::{Action, Audit, Caller, Draft, Outcome, Unavailable};

fn change(audit: &Audit, object: &str, change: impl FnOnce()) -> Result<(), String> {
    let draft = Draft::new(Caller::local(7), Action::KeyCreate, object, Outcome::Allowed);
    audit.change(
        draft,
        |error: Unavailable| error.to_string(),
        || {
            change();
            Ok(())
        },
    )
}

#[test]
fn it_waits_for_what_is_under_way_and_begins_nothing_more() {
    let audited = Audited::start();
    let ((began, begun), (go, told)) = (channel(), channel());
    let audit = audited.audit.clone();
    let slow = thread::spawn(move || {
        change(&audit, "slow", || {
            began.send(()).unwrap();
            told.recv().unwrap();
        })
    });
    begun.recv().unwrap();
    assert_eq!(audited.audit.close(Duration::from_millis(20)), 1, "for so long and no longer");
    assert!(change(&audited.audit, "late", || unreachable!()).unwrap_err().contains("stopping"));
    let release = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        go.send(()).unwrap();
    });
    assert_eq!(audited.audit.close(Duration::from_secs(30)), 0);
    assert_eq!(audited.told(), ["local:7 key.create slow allowed", "local:7 key.create slow done"]);
    slow.join().unwrap().unwrap();
    release.join().unwrap();
}

#[test]
fn a_change_that_panics_has_its_second_entry_too() {
    let audited = Audited::start();
    let audit = audited.audit.clone();
    assert!(thread::spawn(move || change(&audit, "k", || panic!("as the test wants it"))).join().is_err());
    assert_eq!(audited.audit.close(Duration::ZERO), 0, "nothing is under way");
    let entries = audited.entries();
    let told: Vec<_> = entries.iter().map(|entry| [&entry["outcome"], &entry["reason"]]).collect();
    assert_eq!(told, [["allowed", ""], ["failed", "panicked"]]);
}
