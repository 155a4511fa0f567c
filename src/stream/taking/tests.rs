//! Every way to take a partition, and every way to be refused: one sound case, and what each change to it comes to.

use super::*;

const BEGAN: PerInput<Offset> = PerInput { touchpoints: 2, conversions: 1 };
const APPLIED: PerInput<Offset> = PerInput { touchpoints: 10, conversions: 4 };
const COMMITTED: PerInput<Offset> = PerInput { touchpoints: 12, conversions: 5 };
const END: PerInput<Offset> = PerInput { touchpoints: 20, conversions: 9 };

/// All that a partition is judged by.
struct Case {
    meta: Option<Meta>,
    committed: PerInput<Option<Committed>>,
    bounds: PerInput<Bounds>,
    log: LogIdentity,
    rules: Rules,
}

impl Case {
    /// A state that is somewhat behind what its group has committed, in a log that still has everything.
    fn sound() -> Self {
        let topics = PerInput { touchpoints: "touchpoints".to_owned(), conversions: "conversions".to_owned() };
        let log = LogIdentity { cluster: "one".into(), topics, partitions: 3 };
        let rules = Rules::default();
        let meta = Meta { applied: APPLIED, ..Meta::new(BEGAN, log.clone(), &rules) };
        let metadata = meta.stamp().encode();
        let committed =
            PerInput::from_fn(|input| Some(Committed { next: *COMMITTED.get(input), metadata: metadata.clone() }));
        let bounds = PerInput::from_fn(|input| Bounds { start: 0, end: *END.get(input) });
        Self { meta: Some(meta), committed, bounds, log, rules }
    }

    fn judge(&self) -> Result<Plan, Refusal> {
        judge(&Evidence {
            meta: self.meta.as_ref(),
            committed: &self.committed,
            bounds: &self.bounds,
            log: &self.log,
            rules: &self.rules,
        })
    }

    fn stamp(&mut self, input: Input, change: impl Fn(&mut Stamp)) {
        let committed = self.committed.get_mut(input).as_mut().unwrap();
        let mut stamp = Stamp::decode(&committed.metadata).unwrap();
        change(&mut stamp);
        committed.metadata = stamp.encode();
    }

    fn stamps(&mut self, change: impl Fn(&mut Stamp)) {
        Input::ALL.into_iter().for_each(|input| self.stamp(input, &change));
    }
}

type Change = fn(&mut Case);

#[test]
fn what_belongs_together_is_taken() {
    let start = PerInput { touchpoints: 3, conversions: 2 };
    let cases: [(&str, Change, PerInput<Offset>, PerInput<Offset>); 7] = [
        ("a state behind the group replays up to it", |_| {}, APPLIED, COMMITTED),
        (
            "a state with nothing to replay goes live",
            |case| case.meta.as_mut().unwrap().applied = COMMITTED,
            COMMITTED,
            COMMITTED,
        ),
        (
            "a state that has applied all there is",
            |case| case.bounds = PerInput::from_fn(|input| Bounds { start: 0, end: *COMMITTED.get(input) }),
            APPLIED,
            COMMITTED,
        ),
        (
            "retention may pass all that is applied",
            |case| {
                case.bounds = PerInput::from_fn(|input| Bounds { start: *APPLIED.get(input), end: *END.get(input) });
            },
            APPLIED,
            COMMITTED,
        ),
        ("a lost state is rebuilt from where the group began", |case| case.meta = None, BEGAN, COMMITTED),
        (
            "a group's first life begins at the start of the log",
            |case| {
                (case.meta, case.committed) = (None, PerInput::default());
                (case.bounds.touchpoints.start, case.bounds.conversions.start) = (3, 2);
            },
            start,
            start,
        ),
        (
            "an empty log",
            |case| {
                (case.meta, case.committed) = (None, PerInput::default());
                case.bounds = PerInput::from_fn(|_| Bounds { start: 0, end: 0 });
            },
            PerInput { touchpoints: 0, conversions: 0 },
            PerInput { touchpoints: 0, conversions: 0 },
        ),
    ];
    for (name, change, applied, target) in cases {
        let mut case = Case::sound();
        change(&mut case);
        let plan = case.judge().unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!((plan.meta.applied, plan.target), (applied, target), "{name}");
        let known = case.meta.unwrap_or_else(|| Meta::new(plan.meta.began, case.log, &case.rules));
        assert_eq!(plan.meta, known, "{name}");
    }
}

/// What a refusal must be, but for its words.
fn refused(cases: &[(&str, Change, Refusal)]) {
    for (name, change, expected) in cases {
        let mut case = Case::sound();
        change(&mut case);
        assert_eq!(case.judge().as_ref(), Err(expected), "{name}");
        assert!(expected.to_string().contains("choose a new kafka.group_id"), "{name}: {expected}");
    }
}

#[test]
fn a_state_out_of_step_with_group_or_log_is_refused() {
    use Input::{Conversions, Touchpoints};
    let committed = "the committed offset";
    let end = "the end of the log";
    refused(&[
        (
            "touchpoints ahead of what is committed",
            |case| case.meta.as_mut().unwrap().applied.touchpoints = 13,
            Refusal::Ahead { input: Touchpoints, applied: 13, limit: 12, of: committed },
        ),
        (
            "conversions ahead of what is committed",
            |case| case.meta.as_mut().unwrap().applied.conversions = 6,
            Refusal::Ahead { input: Conversions, applied: 6, limit: 5, of: committed },
        ),
        (
            "committed, and beyond the end of the log",
            |case| case.bounds.touchpoints.end = 11,
            Refusal::Ahead { input: Touchpoints, applied: 12, limit: 11, of: end },
        ),
        (
            "rebuilt, and committed beyond the end of the log",
            |case| (case.meta, case.bounds.conversions.end) = (None, 4),
            Refusal::Ahead { input: Conversions, applied: 5, limit: 4, of: end },
        ),
        (
            "applied beyond the end of the log",
            |case| (case.meta.as_mut().unwrap().applied, case.bounds.conversions.end) = (COMMITTED, 3),
            Refusal::Ahead { input: Conversions, applied: 5, limit: 3, of: end },
        ),
        (
            "retention passed what is to be applied",
            |case| case.bounds.touchpoints.start = 11,
            Refusal::Behind { input: Touchpoints, next: 10, start: 11 },
        ),
        (
            "rebuilt, and retention passed where the group began",
            |case| (case.meta, case.bounds.conversions.start) = (None, 2),
            Refusal::Behind { input: Conversions, next: 1, start: 2 },
        ),
    ]);
}

#[test]
fn a_state_whose_offsets_are_gone_is_refused() {
    use Input::{Conversions, Touchpoints};
    refused(&[
        (
            "no offsets of either input",
            |case| case.committed = PerInput::default(),
            Refusal::OffsetsMissing { input: Touchpoints, applied: 10 },
        ),
        (
            "no offsets of touchpoints",
            |case| case.committed.touchpoints = None,
            Refusal::OffsetsMissing { input: Touchpoints, applied: 10 },
        ),
        (
            "no offsets of conversions",
            |case| case.committed.conversions = None,
            Refusal::OffsetsMissing { input: Conversions, applied: 4 },
        ),
        (
            "no state, and offsets of touchpoints only",
            |case| (case.meta, case.committed.conversions) = (None, None),
            Refusal::OffsetsMissing { input: Conversions, applied: 0 },
        ),
        (
            "no state, and offsets of conversions only",
            |case| (case.meta, case.committed.touchpoints) = (None, None),
            Refusal::OffsetsMissing { input: Touchpoints, applied: 0 },
        ),
    ]);
}

fn other_log(found: &LogIdentity) -> Refusal {
    let here = Case::sound().log;
    let text =
        |log: &LogIdentity| format!("{}, cluster {}, {} partitions", fingerprint(log), log.cluster, log.partitions);
    Refusal::OtherLog { found: text(found), here: text(&here) }
}

#[test]
fn a_state_of_another_log_is_refused() {
    let log = Case::sound().log;
    let renamed = PerInput { touchpoints: "clicks".to_owned(), ..log.topics.clone() };
    let stamped = Refusal::OtherLog { found: "0000000000000000".into(), here: fingerprint(&log) };
    refused(&[
        (
            "another cluster",
            |case| case.meta.as_mut().unwrap().log.cluster = "two".into(),
            other_log(&LogIdentity { cluster: "two".into(), ..log.clone() }),
        ),
        (
            "another number of partitions",
            |case| case.meta.as_mut().unwrap().log.partitions = 4,
            other_log(&LogIdentity { partitions: 4, ..log.clone() }),
        ),
        (
            "another topic",
            |case| case.meta.as_mut().unwrap().log.topics.touchpoints = "clicks".into(),
            other_log(&LogIdentity { topics: renamed, ..log.clone() }),
        ),
        ("offsets of another log", |case| case.stamps(|stamp| stamp.log = "0".repeat(16)), stamped.clone()),
        (
            "no state, and one input's offset of another log",
            |case| {
                case.meta = None;
                case.stamp(Input::Conversions, |stamp| stamp.log = "0".repeat(16));
            },
            stamped,
        ),
    ]);
}

#[test]
fn what_other_rules_or_strangers_made_is_refused() {
    let (rules, core) = (Rules::default(), crate::core::CORE_VERSION);
    let stamped = Refusal::OtherRules {
        found: format!("digest other, core {core}"),
        here: format!("digest {}, {}", rules.digest(), rules.canonical()),
    };
    let foreign = |metadata: &str| Refusal::ForeignOffsets { metadata: metadata.into() };
    refused(&[
        (
            "a state by other rules",
            |case| {
                let meta = case.meta.as_mut().unwrap();
                (meta.rules, meta.rules_text) = ("other".into(), "lookback_ms=1".into());
            },
            Refusal::OtherRules { found: "lookback_ms=1".into(), here: rules.canonical() },
        ),
        (
            "offsets by other rules, though the state is by these",
            |case| case.stamps(|stamp| stamp.rules = "other".into()),
            stamped.clone(),
        ),
        (
            "no state, and offsets by other rules",
            |case| {
                case.meta = None;
                case.stamp(Input::Touchpoints, |stamp| stamp.rules = "other".into());
            },
            stamped,
        ),
        (
            "a stranger's offsets",
            |case| case.committed.conversions.as_mut().unwrap().metadata = "hello".into(),
            foreign("hello"),
        ),
        (
            "no state, and offsets without metadata",
            |case| {
                case.meta = None;
                case.committed.touchpoints.as_mut().unwrap().metadata.clear();
            },
            foreign(""),
        ),
    ]);
}

/// Each says which figures do not belong together.
#[test]
fn refusals_name_the_figures() {
    let input = Input::Touchpoints;
    let cases = [
        (
            Refusal::Ahead { input, applied: 13, limit: 12, of: "the committed offset" },
            "up to offset 13, which is beyond the committed offset (12)",
        ),
        (Refusal::Behind { input, next: 3, start: 10 }, "from offset 3, but the log begins at 10: 7 records are gone"),
        (
            Refusal::OffsetsMissing { input, applied: 10 },
            "applied touchpoints up to offset 10, but the group has no committed offset",
        ),
        (Refusal::RecordDiffers { input, offset: 9 }, "touchpoints has another record at offset 9"),
        (Refusal::ForeignOffsets { metadata: "hello".into() }, "metadata \"hello\""),
    ];
    for (refusal, words) in cases {
        let text = refusal.to_string();
        assert!(text.contains(words) && text.contains(ANEW), "{text}");
    }
}
