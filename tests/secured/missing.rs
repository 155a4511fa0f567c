//! Every permission of the page, taken away alone: the start names it.

use crate::cluster::lacking;
use crate::page;
use crate::stage::{Ended, Stage};

/// The lines that name something to be done.
fn problems(ended: &Ended) -> Vec<&str> {
    ended.said.lines().filter(|line| line.starts_with("problem")).collect()
}

#[test]
fn each_missing_permission_is_named() {
    let stage = Stage::new("missing");
    let (admin, _) = stage.configure(&stage.logged_in("admin", "admin"));
    stage.done(&["topics", "create"], &admin);
    let (config, _) = stage.configure(&stage.logged_in("b", "lacking"));
    let mut grants = stage.cluster.grants();
    let (commands, _) = page::processor();
    let all: Vec<_> = commands.iter().flat_map(|command| page::grants(command)).collect();
    assert!(all.len() > 10, "the page grants too little for this test to mean something");
    for grant in lacking(&all) {
        grants.take(std::slice::from_ref(&grant));
        let ended = stage.tributary(&["check"], &config);
        let resource = grant.resource();
        let problems = problems(&ended);
        // One alone: all that was taken before is back, and nothing else is found fault with.
        let [problem] = &problems[..] else { panic!("{grant:?}: {problems:#?}\n{}", ended.said) };
        let (said, remedy) = problem.rsplit_once("; grant ").unwrap_or_else(|| panic!("{grant:?}: {problem}"));
        let (operations, on) = remedy.split_once(" on ").unwrap();
        assert!(operations.split(", ").any(|operation| operation == grant.operation), "{grant:?}: {problem}");
        assert_eq!(on, resource, "{grant:?}: {problem}");
        assert!(said.starts_with(&format!("problem  {resource}: ")), "{grant:?}: {problem}");
        assert_eq!(ended.code, Some(4), "{}", ended.said);
        grants.grant(std::slice::from_ref(&grant));
    }
    stage.done(&["check"], &config);
}

/// `run` looks at the same, and ends rather than wait for a permission.
#[test]
fn a_run_without_a_permission_ends_and_names_it() {
    let stage = Stage::new("refused-run");
    let (admin, _) = stage.configure(&stage.logged_in("admin", "admin"));
    stage.done(&["topics", "create"], &admin);
    // This user sends events and has no other permission.
    let (config, _) = stage.configure(&stage.logged_in("c", "ingest"));
    let ended = stage.tributary(&["run"], &config);
    assert_eq!(ended.code, Some(5), "{}", ended.said);
    for grant in [
        "grant Read, DescribeConfigs on topic conversions",
        "grant Write, DescribeConfigs on topic attributions",
        "grant Read, Write, DescribeConfigs on topic tributary.control",
        "grant Read on group tributary",
        "grant Write on transactional ids that begin with tributary-",
    ] {
        assert!(ended.said.contains(grant), "{grant}: {}", ended.said);
    }
}
