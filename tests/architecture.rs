//! Holds the structure that docs/ARCHITECTURE.md describes: who may use whom, what the core must not know, how large a file
//! may grow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules each module may name. `core` names none of ours.
const MAY_USE: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("codec", &["core"]),
    ("registry", &["codec", "core"]),
    ("seal", &[]),
    ("store", &["core", "seal"]),
    ("topics", &["core", "seal"]),
    ("telemetry", &["core"]),
    ("audit", &["core"]),
    ("access", &["audit", "core", "topics"]),
    ("query", &["codec", "core", "store", "topics"]),
    ("replay", &["codec", "core", "seal"]),
    ("stream", &["codec", "core", "query", "registry", "store", "telemetry", "topics"]),
    ("api", &["access", "audit", "codec", "core", "query", "store", "telemetry", "topics"]),
    ("config", &["core"]),
    (
        "app",
        &[
            "access",
            "api",
            "audit",
            "codec",
            "config",
            "core",
            "query",
            "registry",
            "seal",
            "store",
            "stream",
            "telemetry",
            "topics",
        ],
    ),
    ("demo", &["access", "app", "audit", "codec", "config", "core", "store", "stream", "telemetry", "topics"]),
];

/// The command line's files belong to the binary, which may use everything.
const BINARY: &[&str] = &["main", "cli", "lib"];

/// The most lines of a file, tests beneath it not counted.
const MOST_LINES: usize = 400;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn all() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&root().join("src"), &mut found);
    assert!(found.len() > 100, "the sources are not where this test looks");
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The top-level module that a file belongs to.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The modules that code names after `crate::`, alone or in braces.
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut word) = (0, String::new());
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.extend(first_word(&std::mem::take(&mut word))),
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
            found.extend(first_word(&word));
        } else {
            found.extend(first_word(rest));
        }
    }
    found
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

#[test]
fn modules_name_only_what_the_table_allows() {
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in all() {
        let from = module(&path);
        if BINARY.contains(&from.as_str()) {
            continue;
        }
        let allowed = table.get(from.as_str()).unwrap_or_else(|| panic!("src/{from} is not in the table"));
        for to in named(&code(&text)) {
            if to != from && table.contains_key(to.as_str()) && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{}: {from} -> {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_read_as_it_is_written() {
    let code = "use crate::{api, core::{event, row}, store};\nfn f() { crate::topics::g() }";
    let expected = ["api", "core", "store", "topics"].map(str::to_owned);
    assert_eq!(named(code), BTreeSet::from(expected));
}

#[test]
fn the_core_knows_no_clock_chance_or_outside_world() {
    let forbidden = [
        "std::time",
        "std::env",
        "std::fs",
        "std::io",
        "std::net",
        "std::thread",
        "std::sync",
        "rand",
        "getrandom",
        "tokio",
        "tracing",
        "async ",
        "SystemTime",
        "Instant",
        "println!",
        "HashMap::new",
        "RandomState",
    ];
    let mut wrong = Vec::new();
    for (path, text) in all() {
        let production = text.split("#[cfg(test)]").next().unwrap().to_owned();
        if module(&path) != "core" || path.ends_with("tests.rs") {
            continue;
        }
        for word in forbidden {
            if code(&production).contains(word) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let mut large = Vec::new();
    for (path, text) in all() {
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        let is_test = path.iter().any(|part| part == "tests" || part == "tests.rs");
        if lines > MOST_LINES && !is_test {
            large.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(large.is_empty(), "would a newcomer rather find two rooms?\n{}", large.join("\n"));
}

#[test]
fn the_map_names_every_module() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    for (module, _) in MAY_USE {
        assert!(map.contains(&format!("`{module}`")), "docs/ARCHITECTURE.md does not name `{module}`");
    }
}

/// Every test that docs/security.md names is there.
#[test]
fn the_security_page_names_tests_that_are_there() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let rows = page.split("## OWASP").skip(1).flat_map(str::lines).filter(|line| line.starts_with('|'));
    let named: BTreeSet<&str> =
        rows.filter_map(|row| row.rsplit('|').nth(1)).flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 25, "{named:?}");
    let mut text = String::new();
    let mut files = Vec::new();
    ["src", "tests"].iter().for_each(|folder| sources(&root().join(folder), &mut files));
    files.iter().for_each(|file| text.push_str(&fs::read_to_string(file).unwrap()));
    let missing: Vec<_> = named.iter().filter(|name| !text.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
}
