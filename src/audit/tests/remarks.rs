//! What an honest story shows that wants to be known: lives that were cut short, changes that nobody knows the end of.

use super::story::{read, start};
use crate::audit::chain::Chain;
use crate::audit::memory::end_of;
use crate::audit::verify::Finding;
use crate::audit::{Action, Actor, Caller, Draft, Outcome, Record};

fn change(actor: u32, object: &str, outcome: Outcome) -> Draft {
    Draft::new(Caller::local(actor), Action::KeyRevoke, object, outcome)
}

fn stop() -> Draft {
    Draft::new(Caller::system(), Action::Stop, "process", Outcome::Done)
}

/// A life with these entries after its start; and one that goes on from it, where it is over.
fn life(entries: &[Draft], over: bool) -> (Vec<Record>, String) {
    let mut chain = Chain::new("i0", 0, None).unwrap();
    let mut log: Vec<_> = std::iter::once(&start()).chain(entries).map(|draft| chain.seal(draft, 0)).collect();
    let end = end_of(&log).unwrap();
    if over {
        log.push(Chain::new("i0", 1, Some(end.clone())).unwrap().seal(&start(), 1));
    }
    (log, end.chain)
}

#[test]
fn a_life_that_ends_without_a_stop_is_a_note_once_the_next_has_begun() {
    let denied = [Draft::new(Caller::anonymous(), Action::Authenticate, "GET /", Outcome::Denied)];
    let (log, chain) = life(&denied, true);
    let (summary, found) = read(0, &log, None);
    assert_eq!(found, [Finding::Cut { chain: chain.clone(), seq: 1 }]);
    assert_eq!((summary.differences, summary.notes), (0, 1));
    assert!(found[0].to_string().ends_with("(note)"), "{}", found[0]);
    assert_eq!(read(0, &life(&denied, false).0, None).1, [], "it may still go on");
    assert_eq!(read(0, &life(&[denied.as_slice(), &[stop()]].concat(), true).0, None).1, []);
}

#[test]
fn a_change_of_which_nobody_knows_the_end_is_a_note_and_no_other() {
    use Outcome::{Allowed, Done, Failed};
    let decided = Draft::new(Caller::local(1), Action::Authorize, "a", Allowed);
    let entries = [
        change(1, "a", Allowed),
        change(1, "b", Allowed),
        change(2, "a", Allowed),
        change(1, "a", Allowed), // twice, and ended once
        decided,
        change(1, "b", Failed),
        change(1, "a", Done),
        stop(),
    ];
    for over in [true, false] {
        let (log, chain) = life(&entries, over);
        let (summary, found) = read(0, &log, None);
        let of = |seq| Finding::Unfinished { chain: chain.clone(), seq, what: "key.revoke a".into() };
        assert_eq!(found, [of(3), of(4)], "{over}");
        assert_eq!((summary.differences, summary.notes), (0, 2));
    }
    let (log, _) = life(&entries, true);
    // The first got through only when all behind it was written again.
    let again: Vec<_> = [0, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|at: usize| log[at].clone()).to_vec();
    let unfinished =
        |found: Vec<Finding>| found.into_iter().filter(|f| matches!(f, Finding::Unfinished { .. })).count();
    assert_eq!(unfinished(read(0, &again, None).1), 2);
}

#[test]
fn the_two_entries_of_a_request_belong_together() {
    let write = |object: &str, request: &str, outcome| {
        let caller = Caller { actor: Actor::Key("k".into()), client: None, request_id: request.into() };
        Draft::new(caller, Action::Ingest, object, outcome)
    };
    let entries = [
        write("touchpoints", "one", Outcome::Allowed),
        write("touchpoints", "two", Outcome::Allowed),
        write("touchpointso", "ne", Outcome::Done), // another's, however the texts are put together
        write("touchpoints", "two", Outcome::Done),
    ];
    let (log, chain) = life(&entries, false);
    let what = "ingest touchpoints".into();
    assert_eq!(read(0, &log, None).1, [Finding::Unfinished { chain, seq: 1, what }]);
}
