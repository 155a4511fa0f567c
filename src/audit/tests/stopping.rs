//! A process that stops while something is being changed.

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
