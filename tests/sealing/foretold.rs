//! What `tributary check` tells of the data folder before `run` does.

use std::path::PathBuf;

use tributary::seal::Kek;

use super::{Home, PARTITIONS};

/// Every file below the data folder, with its length and when it was last written.
fn files(place: &Home) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let (mut folders, mut files) = (vec![place.path("data")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, facts) = (entry.path(), entry.metadata().unwrap());
            if facts.is_dir() {
                folders.push(path);
            } else {
                files.push((path, facts.len(), facts.modified().unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// What `run` ends with, `check` has told, with the same exit code; and it has touched nothing.
fn foretold(place: &Home, keys: &[u8]) -> String {
    let before = files(place);
    let (code, lines, _) = place.run(&["check"], keys);
    assert_eq!(files(place), before);
    let (ended, _, message) = place.run(&["run"], keys);
    let message = message.lines().find_map(|line| line.strip_prefix("tributary: ")).unwrap();
    assert!(code == Some(6) && ended == Some(6), "{code:?} {ended:?} {message}\n{lines}");
    assert!(lines.lines().any(|line| line.starts_with("problem  ") && line.ends_with(message)), "{message}\n{lines}");
    lines
}

#[test]
fn check_tells_what_run_would_say_of_the_data_folder() {
    let place = Home::new();
    let id = |byte| Kek::new(&[byte; 32]).id().to_string();
    let (code, lines, _) = place.run(&["check"], &[1]);
    assert!(
        code == Some(0) && lines.matches(&format!("it will be sealed under key {}", id(1))).count() == 2,
        "{lines}"
    );
    let instance = place.start(&[1]);
    let (ingestor, analyst) = (instance.key("ingestor"), instance.key("analyst"));
    instance.feed(&ingestor, &analyst, 0, 50);
    // Beside a running instance too, whose locks it does not need.
    let (code, lines, _) = place.run(&["check"], &[1]);
    assert!(code == Some(0) && lines.contains("in which an instance runs"), "{code:?} {lines}");
    assert!(lines.contains(&format!("ok       log: embedded, sealed under key {}", id(1))), "{lines}");
    let (code, lines, _) = place.run(&["check"], &[2]);
    assert!(code == Some(6) && lines.contains(&format!("is sealed under key {}", id(1))), "{code:?} {lines}");
    instance.stop();

    let (code, lines, _) = place.run(&["check"], &[1]);
    assert!(
        code == Some(0) && lines.contains(&format!("ok       state: sealed under key {}", id(1))),
        "{code:?} {lines}"
    );
    assert!(lines.contains("ok       API keys: "), "{lines}");
    let lines = foretold(&place, &[2]);
    let others = format!("the same goes for {} more of its folders", PARTITIONS - 1);
    assert!(lines.contains("/state/p-00000 is sealed under key ") && lines.contains(&others), "{lines}");
    foretold(&place, &[]);
    let (code, lines, _) = place.run(&["check"], &[2, 1]);
    assert!(code == Some(0) && lines.contains(&format!("a run seals it anew under key {}", id(2))), "{code:?} {lines}");
    // The state alone, as on Kafka.
    std::fs::remove_dir_all(place.path("data/log")).unwrap();
    let (code, lines, _) = place.run(&["check"], &[]);
    assert!(code == Some(6) && lines.contains("the log rebuilds the state"), "{code:?} {lines}");

    let place = Home::new();
    place.start(&[]).stop();
    foretold(&place, &[1]);
    let config = place.config(&[]);
    let text = std::fs::read_to_string(&config).unwrap().replace("partitions = 2", "partitions = 3");
    std::fs::write(&config, text).unwrap();
    let output = place.command(&["check", "--config", config.to_str().unwrap()]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(6) && lines.contains("was made with the number of partitions 2"), "{lines}");
}

#[test]
fn keys_under_another_pepper_are_told_of_and_not_rotated() {
    let place = Home::new();
    let instance = place.start(&[]);
    let (lost, expired) = (instance.key("viewer"), instance.key("analyst"));
    let id = |key: &str| key.split('_').nth(2).unwrap().to_owned();
    let data = place.path("data");
    let keys = |arguments: &[&str]| {
        let output = place.command(&["keys"]).args(arguments).arg("--data-dir").arg(&data).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(keys(&["revoke", &id(&expired)]).0, Some(0));
    assert!(place.run(&["check"], &[]).1.contains("ok       API keys: "), "its own pepper");
    instance.stop();

    std::fs::remove_file(data.join("pepper")).unwrap();
    let (code, lines, _) = place.run(&["check"], &[]);
    assert!(
        code == Some(0) && lines.contains("warning  API keys: 1 was made under another pepper"),
        "{code:?} {lines}"
    );
    assert!(lines.contains("access.older_pepper_files"), "{lines}");
    assert!(!data.join("pepper").exists(), "check makes none");

    let instance = place.start(&[]);
    let (_, list, _) = keys(&["list"]);
    let line = list.lines().find(|line| line.starts_with(&id(&lost))).unwrap();
    assert!(line.contains("another pepper") && !line.contains("open"), "{list}");
    let (code, made, said) = keys(&["rotate", &id(&lost), "--grace", "1h"]);
    assert!(code == Some(1) && made.is_empty() && !said.contains("good until"), "{said}");
    assert!(said.contains("access.older_pepper_files") && said.contains("make a new key"), "{said}");
    assert_eq!(keys(&["revoke", &id(&lost)]).0, Some(0));
    let (code, lines, _) = place.run(&["check"], &[]);
    assert!(code == Some(0) && lines.contains("ok       API keys: "), "nobody waits for a revoked one: {lines}");
    instance.stop();
}
