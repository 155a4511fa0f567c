//! From events to rows with exactly the permissions of the page, over either way in; and no secret comes out.

use std::time::Duration;

use crate::door::{Door, USER};
use crate::events::{await_rows, send};
use crate::page;
use crate::secrets::Canary;
use crate::servers::get;
use crate::stage::{Stage, Variant};

const SETTLE: Duration = Duration::from_secs(60);

#[test]
fn exactly_the_permissions_of_the_page_suffice() {
    let stage = Stage::new("whole");
    let door = &stage.cluster.door;
    let (password, token) = (stage.path("registry-password"), stage.path("registry-token"));
    std::fs::write(&password, format!("{}\n", door.password)).unwrap();
    std::fs::write(&token, &door.token).unwrap();
    let registry = format!("url = {:?}\nca_file = {:?}\n", door.url, stage.cluster.file("ca.pem"));
    let basic = format!("{registry}username = {USER:?}\npassword_file = {password:?}\n");
    let bearer = format!("{registry}token_file = {token:?}\n");
    let canary = canary(&stage, door);
    // The search finds what it is to find, where that has to be.
    assert!(!canary.found(&std::fs::read(&password).unwrap()).is_empty());

    let admin = Variant { registry: basic.clone(), ..stage.logged_in("admin", "admin") };
    let (config, _) = stage.configure(&admin);
    stage.done(&["topics", "create"], &config);
    stage.done(&["schemas", "register"], &config);

    let mut answers = String::new();
    let with_password = Variant { registry: basic, ..stage.logged_in("a", "tributary") };
    let with_certificate = Variant { registry: bearer, ..stage.certified("a", "tributary") };
    for (variant, users) in [(with_password, 0..50), (with_certificate, 50..100)] {
        let (config, _) = stage.configure(&variant);
        let check = stage.done(&["check"], &config);
        for line in ["ok       permissions: all that a run needs", "ok       brokers: settings may not be read"] {
            assert!(check.contains(line), "{line}: {check}");
        }
        let (mut instance, port) = stage.run(&variant);
        instance.ready(SETTLE);
        send(&stage.cluster, users.clone());
        await_rows(&stage.cluster, users);
        stage.done(&["keys", "create", "--role", "viewer"], &config);
        for page in ["/metrics", "/readyz", "/livez"] {
            answers += &get(port, page).unwrap();
        }
        instance.stop();
    }

    let (config, _) = stage.configure(&stage.logged_in("a", "tributary"));
    let refused = stage.tributary(&["verify"], &config);
    assert_eq!(refused.code, Some(5), "{}", refused.said);
    assert!(refused.said.contains("grant Read on topic attributions"), "{}", refused.said);
    stage.cluster.run_commands(&[page::processor().1]);
    let verified = stage.done(&["verify"], &config);
    assert!(verified.contains(": 0 differences") && !verified.contains("\n0 rows"), "{verified}");

    canary.absent("what the commands said", &stage.said());
    canary.absent("answers of the sidecar", answers.as_bytes());
    let log = std::fs::read(stage.log("a")).unwrap();
    assert!(memchr::memmem::find(&log, b"TRACE").is_some(), "the log is not as talkative as it can be");
    canary.absent("the log", &log);
    assert!(canary.absent_below(&stage.data()) > 5, "the data folder has no files to speak of");
}

fn canary(stage: &Stage, door: &Door) -> Canary {
    let mut canary = Canary::default();
    canary.add("the registry's password", &door.password, USER);
    canary.add("the registry's token", &door.token, "");
    stage.cluster.passwords().for_each(|password| canary.add("a password of Kafka's", password, "tributary"));
    stage.cluster.keys.iter().for_each(|key| canary.add_key(key));
    canary
}
