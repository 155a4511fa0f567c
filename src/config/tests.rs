use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use crate::core::Model;

const EMBEDDED: &str = "[log]\nkind = \"embedded\"\n";

fn parse(file: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
    Config::parse(Some(file), Some(variables))
}

fn refused(file: &str, variables: &[(&str, &str)]) -> String {
    parse(file, variables).expect_err("must be refused").to_string()
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

#[test]
fn the_environment_stands_over_the_file() {
    let file = "[kafka]\nbrokers = \"a:1\"\ngroup_id = \"g\"\n[engine]\nworkers = 2\nmemory = \"1GiB\"\n";
    let config = parse(
        file,
        &[
            ("TRIBUTARY__KAFKA__BROKERS", "b:2,c:3"),
            ("TRIBUTARY__ENGINE__WORKERS", "3"),
            ("TRIBUTARY__RULES__MODELS", "linear, last_touch"),
            ("TRIBUTARY__RULES__LOOKBACK", "14d"),
            ("TRIBUTARY__TOPICS__DEAD_LETTER", "aside"),
            ("TRIBUTARY_PEPPER", "not a setting"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.kafka.brokers, "b:2,c:3");
    assert_eq!(config.kafka.group_id, "g");
    assert_eq!(config.engine.workers, 3);
    assert_eq!(config.engine.memory.bytes(), 1 << 30);
    assert_eq!(config.topics.dead_letter, "aside");
    let rules = config.core_rules().unwrap();
    assert_eq!(rules.models(), [Model::LastTouch, Model::Linear]);
    assert_eq!(rules.lookback_ms(), 14 * 86_400_000);
}

#[test]
fn without_settings_the_rules_are_the_contracts() {
    let config = parse(EMBEDDED, &[]).unwrap();
    assert_eq!(config.core_rules().unwrap(), crate::core::Rules::default());
}

#[test]
fn a_key_that_is_no_setting_is_refused_with_its_path() {
    let message = refused("[kafka]\nbroker = \"a:1\"\n", &[]);
    assert_eq!(message, "kafka.broker: no such setting (in the configuration file); did you mean kafka.brokers?");
    let message = refused(EMBEDDED, &[("TRIBUTARY__ENGINE__THREADS__MANY", "1")]);
    assert!(message.starts_with("engine.threads.many: no such setting (in the environment)"), "{message}");
    assert!(refused("kind = 1", &[]).starts_with("kind: no such setting"));
}

#[test]
fn every_problem_is_named_with_a_way_out() {
    let message =
        refused("[rules]\nmodels = [\"lineal\"]\n[topics]\nconversions = \"touchpoints\"\npartitions = 0\n", &[]);
    for line in [
        "kafka.brokers: empty, but log.kind is \"kafka\"; name one or more brokers (\"host:9092,host:9092\"), or set \
         log.kind = \"embedded\"",
        "topics.conversions: the same topic as topics.touchpoints; give each its own name",
        "topics.partitions: 0 is out of range; choose 1 to 1024",
        "rules.models: no model is named \"lineal\"",
    ] {
        assert!(message.contains(line), "{line}\nnot in\n{message}");
    }
    assert_eq!(message.lines().count(), 4, "{message}");
}

#[test]
fn values_of_the_wrong_type_name_their_setting() {
    for (file, setting) in [
        ("[engine]\nmemory = 512\n", "engine.memory"),
        ("[rules]\nlookback = \"30\"\n", "rules.lookback"),
        ("[log]\nkind = \"pulsar\"\n", "log.kind"),
        ("[engine]\nworkers = \"many\"\n", "engine.workers"),
        ("[sidecar]\nlisten = \"localhost\"\n", "sidecar.listen"),
    ] {
        let message = refused(file, &[]);
        assert!(message.contains(setting), "{setting} not in {message}");
    }
}

/// One round, not one for each kind of mistake; and nothing that only follows from another.
#[test]
fn mistakes_of_every_kind_are_told_in_one_answer() {
    let file = "[log]\nkind = \"pulsar\"\n[kafka]\nborkers = \"a:1\"\n[engine]\nworkers = \"many\"\nmemory = 512\n\
                data_dir = \"\"\n[rules]\nlookback = \"0s\"\nmax_path = 0\nmodels = [\"lineal\", \"lst_touch\"]\n\
                [registry]\ntoken_file = \"/nowhere/token\"\n[limits]\nconcurency = 3\nrate = 0\n\
                [telemetry]\nlog_filter = \"tributary=loud\"\n[tls]\nkey_file = \"k\"\n";
    let variables =
        [("TRIBUTARY__LIMITS__BURST", "lots"), ("TRIBUTARY__ENGINE__OPEN_FILES", "3"), ("TRIBUTARY__SEAL", "x")];
    let message = refused(file, &variables);
    for beginning in [
        "log.kind: \"pulsar\" is not known; it takes: `kafka` or `embedded`",
        "kafka.borkers: no such setting (in the configuration file); did you mean kafka.brokers?",
        "engine.workers: string \"many\" where an integer belongs; it takes: number, 1 to 256",
        "engine.memory: \"512\" is not a size",
        "engine.data_dir: empty",
        "engine.open_files (TRIBUTARY__ENGINE__OPEN_FILES): 3 is out of range",
        "rules.lookback: ",
        "rules.max_path: ",
        "rules.models: no model is named \"lineal\"",
        "rules.models: no model is named \"lst_touch\"",
        "registry.token_file: cannot read /nowhere/token: ",
        "limits.concurency: no such setting (in the configuration file); did you mean limits.concurrency?",
        "limits.rate: 0 is out of range",
        "limits.burst (TRIBUTARY__LIMITS__BURST): string \"lots\" where an integer belongs",
        "seal: no such setting (in the environment)",
        "telemetry.log_filter: ",
        "tls.certificate_file: missing, but tls.key_file is there",
    ] {
        assert!(message.lines().any(|line| line.starts_with(beginning)), "{beginning}\nnot in\n{message}");
    }
    assert_eq!(message.lines().count(), 17, "{message}");
}

/// A mistyped name stands for the setting that was meant, unless that is given as well.
#[test]
fn a_typo_hides_no_other_mistake() {
    let message = refused(&format!("{EMBEDDED}[limits]\nrat = 3\nrate = 0\n[limts]\n[limits.more]\n"), &[]);
    let beginnings =
        ["limits.more: no such", "limits.rat: no such", "limts: no such", "limits.rate: 0 is out of range"];
    assert_eq!(message.lines().count(), beginnings.len(), "{message}");
    assert!(beginnings.iter().all(|b| message.lines().any(|line| line.starts_with(b))), "{message}");
    let both = "[kafka.properties]\n\"sasl.password\" = \"a\"\n\"sasl.password_file\" = \"/nowhere\"\n";
    let message = refused(&format!("{EMBEDDED}{both}"), &[]);
    assert!(message.starts_with("kafka.properties.sasl.password_file: given beside kafka.properties.sasl.password;"));
    let variable = ("TRIBUTARY__KAFKA__PROPERTIES__SASL_PASSWORD_FILE", "/nowhere");
    let message = refused(EMBEDDED, &[variable]);
    assert!(message.contains(variable.0), "{message}");
}

/// A secret's own setting is named, be it the file that holds it or the variable.
#[test]
fn what_is_named_is_what_was_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "canary-7f3a\n").unwrap();
    let registry = format!("{EMBEDDED}[registry]\nurl = \"https://r\"\n");
    let file = |more: &str| format!("{registry}{more}");
    let message = refused(&file(&format!("token_file = {path:?}\npassword_file = {path:?}\n")), &[]);
    assert!(message.contains("registry.token_file: given beside registry.password_file;"), "{message}");
    assert!(message.contains("registry.username: empty, but registry.password_file is set;"), "{message}");
    let message = refused(
        &file(&format!("username = \"u\"\npassword_file = {path:?}\n")),
        &[("TRIBUTARY__REGISTRY__PASSWORD", "canary-9b")],
    );
    assert!(message.starts_with("registry.password_file: given beside registry.password;"), "{message}");
    let message =
        refused(&file("username = \"u\"\npassword = \"canary\"\n"), &[("TRIBUTARY__REGISTRY__TOKEN", "canary")]);
    assert!(
        message.starts_with("registry.token (TRIBUTARY__REGISTRY__TOKEN): given beside registry.password;"),
        "{message}"
    );
    let message = refused(EMBEDDED, &[("TRIBUTARY__KAFKA__PROPERTIES__GROUP_ID", "canary")]);
    assert!(message.starts_with("kafka.properties.group.id (TRIBUTARY__KAFKA__PROPERTIES__GROUP_ID): "), "{message}");
    assert!(!message.contains("canary"), "{message}");
}

#[test]
fn what_changed_is_named_secrets_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let with = |secret: &str, more: &str| {
        std::fs::write(&path, secret).unwrap();
        let file = format!("{EMBEDDED}[registry]\nurl = \"https://r\"\ntoken_file = {path:?}\n{more}");
        parse(&file, &[("TRIBUTARY__KAFKA__PROPERTIES__SASL_PASSWORD", secret)]).unwrap()
    };
    assert_eq!(changed(&with("a", ""), &with("a", "")), Vec::<&str>::new());
    let both = changed(&with("a", ""), &with("b", "[engine]\nworkers = 3\n"));
    assert_eq!(both, ["kafka.properties", "registry.token_file", "engine.workers"]);
}

#[test]
fn a_broken_file_is_a_configuration_error() {
    assert!(matches!(parse("[kafka\n", &[]), Err(Error::File { .. })));
    let missing = Config::load(Some(Path::new("/nowhere/at/all.toml"))).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/at/all.toml") && missing.contains("--config"), "{missing}");
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "canary-7f3a\n").unwrap();
    let file = format!(
        "[kafka]\nbrokers = \"a:1\"\n[kafka.properties]\nsecurity.protocol = \"SASL_SSL\"\n\"sasl.password_file\" = {path:?}\n\
         [registry]\nurl = \"https://r\"\nusername = \"u\"\npassword_file = {path:?}\n"
    );
    let config = parse(&file, &[("TRIBUTARY__KAFKA__PROPERTIES__SASL_USERNAME", "canary-user")]).unwrap();
    let properties: Vec<_> = config.kafka.properties.expose().collect();
    assert_eq!(
        properties,
        [("sasl.password", "canary-7f3a"), ("sasl.username", "canary-user"), ("security.protocol", "SASL_SSL")]
    );
    let password = config.registry.password.as_ref().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(password), "canary-7f3a");
    let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("canary"), "{shown}");
}

/// A parser shows the line that it cannot read.
#[test]
fn a_broken_file_does_not_show_its_secrets() {
    let message = refused("[registry]\nurl = \"https://r\"\npassword = \"canary-7f3a\n", &[]);
    assert!(message.contains("line 3") && !message.contains("canary"), "{message}");
    let message = refused("[kafka.properties]\nsasl.password = canary-7f3a\n", &[]);
    assert!(message.contains("line 2") && !message.contains("canary"), "{message}");
}

#[test]
fn what_exactly_once_or_security_hangs_on_cannot_be_passed_through() {
    for (name, value) in [
        ("isolation.level", "read_uncommitted"),
        ("enable.idempotence", "false"),
        ("group.id", "x"),
        ("partitioner", "random"),
        ("compression.type", "none"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("enable.ssl.certificate.verification", "false"),
        ("enable.ssl.certificate.verification", "F"),
        ("ssl.endpoint.identification.algorithm", "None"),
    ] {
        let message =
            refused(&format!("[kafka]\nbrokers = \"a:1\"\n[kafka.properties]\n\"{name}\" = {value:?}\n"), &[]);
        assert!(message.starts_with(&format!("kafka.properties.{name}: ")), "{message}");
    }
}

#[test]
fn the_table_and_the_tree_name_the_same_settings() {
    let tree = serde_json::to_value(Config::default()).unwrap();
    let mut in_tree = BTreeSet::new();
    for (section, settings) in tree.as_object().unwrap() {
        in_tree.extend(settings.as_object().unwrap().keys().map(|name| format!("{section}.{name}")));
    }
    let in_table: BTreeSet<String> = settings::all().map(|setting| setting.path.to_owned()).collect();
    assert_eq!(in_tree, in_table);
    assert_eq!(in_table.len(), settings::all().count(), "a setting stands twice");
}

/// `UPDATE=1` writes the page anew.
#[test]
fn the_page_is_the_generated_one() {
    let page = docs("configuration.md");
    let generated = page::markdown();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(committed == generated, "docs/configuration.md is out of date: UPDATE=1 cargo test --lib config::");
}

#[test]
fn the_example_is_valid_and_names_every_setting() {
    let text = std::fs::read_to_string(docs("tributary.example.toml")).unwrap();
    let config = parse(&text, &[]).unwrap();
    assert_eq!(config.log.kind, LogKind::Kafka);
    assert_eq!(config.output.format, Format::Avro);
    for setting in settings::all() {
        let (section, name) = setting.path.split_once('.').unwrap();
        let after = text.split_once(&format!("[{section}]")).unwrap_or_else(|| panic!("no [{section}]")).1;
        assert!(after.contains(name), "{} is not in the example", setting.path);
    }
}

#[test]
fn plain_http_beyond_this_machine_must_be_asked_for() {
    let open = "[log]\nkind = \"embedded\"\n[sidecar]\nlisten = \"0.0.0.0:8686\"\n";
    let message = refused(open, &[]);
    assert!(message.starts_with("sidecar.listen: ") && message.contains("tls.certificate_file"), "{message}");
    for more in ["plain_http = true\n", "[tls]\ncertificate_file = \"c\"\nkey_file = \"k\"\n"] {
        parse(&format!("{open}{more}"), &[]).unwrap();
    }
    let admin = "[log]\nkind = \"embedded\"\n[sidecar]\nadmin_listen = \"[::]:1\"\n";
    assert!(refused(admin, &[]).starts_with("sidecar.admin_listen: "));
    let half = "[log]\nkind = \"embedded\"\n[tls]\ncertificate_file = \"c\"\n";
    assert!(refused(half, &[]).starts_with("tls.key_file: "));
}

/// Pieces of what a file is made of, in any order: an answer, never a panic.
#[test]
fn no_file_makes_reading_it_panic() {
    let pieces = proptest::sample::select(vec![
        "[kafka]",
        "[kafka.properties]",
        "[limits]",
        "[tls]",
        "[[topics]]",
        "\n",
        "=",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        ",",
        "#",
        "-",
        "rate",
        "brokers",
        "\"sasl.password_file\"",
        "\"a:1\"",
        "99999999999999999999",
        "1e9",
        "true",
        "\"5s\"",
        "\u{0}",
        "\u{e9}",
    ]);
    let texts = proptest::collection::vec(pieces, 0..40);
    proptest::proptest!(|(text in texts)| drop(parse(&text.concat(), &[])));
    proptest::proptest!(|(text in "\\PC{0,200}")| drop(parse(&text, &[])));
}
