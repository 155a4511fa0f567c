//! Who is not let in is told why, at once, and nothing secret.

use std::time::{Duration, Instant};

use crate::cluster::Properties;
use crate::door::USER;
use crate::secrets::{Canary, random};
use crate::stage::{Ended, Stage, Variant};

/// Nobody waits for a password to become right. (A question that is not answered waits for ten seconds.)
const AT_ONCE: Duration = Duration::from_secs(8);

fn with(mut properties: Properties, name: &str, value: &str) -> Properties {
    properties.retain(|(other, _)| other != name);
    properties.push((name.into(), value.into()));
    properties
}

fn says(case: &str, ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{case}: {}", ended.said);
    for word in words {
        assert!(ended.said.contains(word), "{case}: not a word of {word:?}: {}", ended.said);
    }
}

#[test]
fn kafkas_refusals_are_told_in_plain_words() {
    let stage = Stage::new("refused");
    let cluster = &stage.cluster;
    let wrong = random();
    let mut canary = Canary::default();
    canary.add("the wrong password", &wrong, "tributary");
    cluster.passwords().for_each(|password| canary.add("a password", password, "tributary"));
    cluster.keys.iter().for_each(|key| canary.add_key(key));
    let file = |name: &str| cluster.file(name).to_str().unwrap().to_owned();
    let user = || stage.logged_in("d", "tributary");
    let properties = |properties| Variant { properties, ..user() };
    let mut wrong_password = cluster.user("tributary");
    wrong_password.retain(|(name, _)| name != "sasl.password_file");
    let port = cluster.broker.address().rsplit_once(':').unwrap().1;
    let elsewhere = with(cluster.user("tributary"), "broker.address.family", "v4");
    let keyless = with(cluster.certificate("tributary"), "ssl.key.location", &file("no.key"));
    let mistyped = with(cluster.user("tributary"), "sasl.pasword", &wrong);
    let cases: [(&str, Variant, &[&str]); 6] = [
        (
            "a wrong password",
            properties(with(wrong_password, "sasl.password", &wrong)),
            &["SASL authentication error", "sasl.username and sasl.password"],
        ),
        (
            "an authority that is not believed",
            properties(with(cluster.user("tributary"), "ssl.ca.location", &file("stranger.pem"))),
            &["certificate verify failed", "must come from a CA in ssl.ca.location"],
        ),
        (
            "a host that the certificate does not name",
            Variant { brokers: format!("localhost:{port}"), properties: elsewhere, ..user() },
            &["certificate verify failed", "name the host as kafka.brokers does"],
        ),
        (
            "a client's certificate that has expired",
            stage.certified("d", "expired"),
            &["SSL alert number", "refuses this client's certificate", "ssl.certificate.location"],
        ),
        (
            "a key that is not there",
            Variant { properties: keyless, ..stage.certified("d", "tributary") },
            &["ssl.key.location", "cannot be read: No such file"],
        ),
        ("a property that does not exist", properties(mistyped), &["kafka.properties", "sasl.pasword"]),
    ];
    for (case, variant, words) in cases {
        let (config, _) = stage.configure(&variant);
        for command in ["check", "run", "verify"] {
            let began = Instant::now();
            says(case, &stage.tributary(&[command], &config), 5, words);
            assert!(began.elapsed() < AT_ONCE, "{case}: {command} took {:?}", began.elapsed());
        }
    }
    canary.absent("what was said", &stage.said());
}

#[test]
fn secrets_may_come_from_the_environment() {
    let stage = Stage::new("environment");
    let (admin, _) = stage.configure(&stage.logged_in("admin", "admin"));
    stage.done(&["topics", "create"], &admin);
    let mut variant = stage.logged_in("e", "tributary");
    variant.properties.retain(|(name, _)| name != "sasl.password_file");
    let (config, _) = stage.configure(&variant);
    let password = stage.cluster.password("tributary").to_owned();
    let variables = [("TRIBUTARY__KAFKA__PROPERTIES__SASL_PASSWORD", password.as_str())];
    stage.tributary_with(&["check"], &config, &variables).done();
    says("without it", &stage.tributary(&["check"], &config), 5, &["kafka"]);
}

#[test]
fn the_registrys_refusals_are_told_in_plain_words() {
    let stage = Stage::new("registry");
    let door = &stage.cluster.door;
    let (ca, stranger) = (stage.cluster.file("ca.pem"), stage.cluster.file("stranger.pem"));
    let wrong = random();
    let url = &door.url;
    let elsewhere = url.replace("127.0.0.1", "localhost");
    let cases: [(&str, String, &[&str]); 6] = [
        (
            "a wrong password",
            format!("url = {url:?}\nca_file = {ca:?}\nusername = {USER:?}\npassword = {wrong:?}\n"),
            &["schema registry refuses", "401", "credentials"],
        ),
        (
            "a wrong token",
            format!("url = {url:?}\nca_file = {ca:?}\ntoken = {wrong:?}\n"),
            &["schema registry refuses", "401", "credentials"],
        ),
        ("no credentials", format!("url = {url:?}\nca_file = {ca:?}\n"), &["schema registry refuses", "401"]),
        (
            "an authority that is not believed",
            format!("url = {url:?}\nca_file = {stranger:?}\ntoken = {:?}\n", door.token),
            &["schema registry refuses", "certificate", "registry.ca_file"],
        ),
        (
            "an authority that the system does not know",
            format!("url = {url:?}\ntoken = {:?}\n", door.token),
            &["schema registry refuses", "certificate", "registry.ca_file"],
        ),
        (
            "a host that the certificate does not name",
            format!("url = {elsewhere:?}\nca_file = {ca:?}\ntoken = {:?}\n", door.token),
            &["schema registry refuses", "certificate"],
        ),
    ];
    for (case, registry, words) in cases {
        let (config, _) = stage.configure(&Variant { registry, ..stage.logged_in("f", "tributary") });
        says(case, &stage.tributary(&["schemas", "check"], &config), 5, words);
    }
    let mut canary = Canary::default();
    canary.add("the wrong password", &wrong, USER);
    canary.add("the token", &door.token, "");
    canary.absent("what was said", &stage.said());
}
