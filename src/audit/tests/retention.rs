//! A log whose beginning is gone.

use super::story::{read, story};
use crate::audit::verify::{Finding, Span};

#[test]
fn what_retention_took_is_a_note_and_what_it_cannot_have_taken_is_a_difference() {
    let story = story(1, &[(0, false), (0, false), (0, true), (0, false), (0, true), (0, false)]);
    for cut in 0..story.log.len() {
        let begin = i64::try_from(cut).unwrap();
        let (summary, found) = read(begin, &story.log[cut..], Some(&story.ends[0]));
        assert_eq!((summary.differences, summary.notes), (0, u64::from(cut > 0)), "{cut}: {found:?}");
        if cut > 0 {
            let (summary, found) = read(0, &story.log[cut..], Some(&story.ends[0]));
            assert!(summary.differences > 0, "a topic that begins at 0 has lost nothing by age: {found:?}");
        }
    }
    let (_, found) = read(3, &story.log[3..], None);
    let chain = |finding: &Finding| matches!(finding, Finding::Older { span: Some(Span { from: 0, to: 0 }), .. });
    assert!(found.iter().all(chain), "{found:?}");
    // The middle chain whole, or its head: something older of the same instance is still there.
    for gone in [vec![2], vec![2, 3]] {
        let left =
            |(at, record): (usize, &crate::audit::Record)| (!gone.contains(&at) && at > 0).then(|| record.clone());
        let log: Vec<_> = story.log.iter().enumerate().filter_map(left).collect();
        let (summary, found) = read(1, &log, None);
        assert!(summary.differences > 0, "{found:?}");
    }
}

#[test]
fn a_topic_that_lost_everything_by_age_has_no_differences() {
    let story = story(1, &[(0, false), (0, false)]);
    let (summary, found) = read(2, &[], Some(&story.ends[0]));
    assert_eq!((summary.differences, summary.notes), (0, 1), "{found:?}");
    assert_eq!(read(0, &[], Some(&story.ends[0])).0.differences, 1);
}
