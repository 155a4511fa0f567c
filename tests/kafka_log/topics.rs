//! `topics create` and `topics check`: what is right is said, what is wrong is found.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tributary::topics::kafka::control::Appender;
use tributary::topics::kafka::topics::{Creation, Finding, Verdict, check, create};
use tributary::topics::kafka::{KafkaLog, Settings};
use tributary::topics::{Error, TopicLog};

use crate::broker::Broker;
use crate::worker::{Worker, bare_settings, settings};

fn make(settings: &Settings, name: &str, partitions: i32, config: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &settings.brokers).create().unwrap();
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in config {
        topic = topic.set(key, value);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let made = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
    assert!(made[0].is_ok(), "{made:?}");
}

/// The problems told of a topic.
fn problems(findings: &[Finding], topic: &str) -> Vec<String> {
    let of = |finding: &&Finding| finding.subject == format!("topic {topic}");
    let problem = |finding: &Finding| match &finding.verdict {
        Verdict::Problem { what, remedy } => Some(format!("{what}; {remedy}")),
        Verdict::Ok(_) => None,
    };
    findings.iter().filter(of).filter_map(problem).collect()
}

#[test]
fn topics_that_were_created_pass_the_check() {
    let broker = Broker::shared();
    let settings = settings(broker.address(), "created", 3);
    let findings = check(&settings).unwrap();
    assert!(findings.iter().all(Finding::is_ok), "{findings:#?}");
    for name in ["touchpoints", "conversions", "attributions", "dead", "control", "audit"] {
        let subject = format!("topic created.{name}");
        assert!(findings.iter().any(|finding| finding.subject == subject), "{subject} was not looked at");
    }
    // Once more changes nothing.
    let again = create(
        &settings,
        &Creation { partitions: 5, replicas: 1, retention: None, audit_retention: Duration::from_secs(86_400) },
    )
    .unwrap();
    assert!(again.iter().all(Finding::is_ok), "{again:#?}");
    assert!(check(&settings).unwrap().iter().all(Finding::is_ok));
}

#[test]
fn every_wrong_topic_is_found_with_what_to_do() {
    let broker = Broker::shared();
    let settings = bare_settings(broker.address(), "wrong");
    let names = settings.topics.clone();
    make(&settings, &names.touchpoints, 3, &[("retention.ms", "604800000")]);
    make(&settings, &names.conversions, 2, &[("message.timestamp.type", "LogAppendTime"), ("retention.ms", "-1")]);
    make(&settings, &names.attributions, 3, &[("cleanup.policy", "delete")]);
    make(&settings, &names.dead_letter, 3, &[("cleanup.policy", "delete")]);
    make(&settings, &names.control, 1, &[("cleanup.policy", "delete")]);
    let old = 1_600_000_000_000; // 2020
    Appender::open(&settings).unwrap().append_at(&names.touchpoints, b"u", Some(b"v"), Some(old)).unwrap();

    let findings = check(&settings).unwrap();
    let expect = |topic: &str, words: &[&str]| {
        let found = problems(&findings, topic);
        for words in words {
            assert!(found.iter().any(|problem| problem.contains(words)), "{topic}: no {words:?} in {found:#?}");
        }
        assert_eq!(found.len(), words.len(), "{topic}: {found:#?}");
    };
    expect(&names.touchpoints, &["days ago"]);
    expect(&names.conversions, &["has 2 partitions", "message.timestamp.type=CreateTime"]);
    expect(&names.attributions, &["set cleanup.policy=compact"]);
    expect(&names.dead_letter, &["set max.message.bytes=1114124"]);
    expect(&names.control, &["set cleanup.policy=compact"]);
    expect(&names.audit, &["tributary topics create"]);
    assert!(!findings.iter().all(Finding::is_ok));
}

#[test]
fn limits_of_the_brokers_are_held_against_the_settings() {
    let broker = Broker::shared();
    let mut settings = settings(broker.address(), "limits-of-brokers", 1);
    settings.timeouts.transaction = std::time::Duration::from_secs(3600);
    settings.timeouts.session = std::time::Duration::from_secs(3600);
    let findings = check(&settings).unwrap();
    let found: Vec<String> = findings.iter().filter(|finding| !finding.is_ok()).map(ToString::to_string).collect();
    assert!(found.iter().any(|problem| problem.contains("transaction.max.timeout.ms")), "{found:#?}");
    assert!(found.iter().any(|problem| problem.contains("session")), "{found:#?}");
    let refused = KafkaLog::join(settings, 0).err().unwrap();
    assert!(matches!(&refused, Error::Fatal(words) if words.contains("transaction.max.timeout.ms")), "{refused}");
}

#[test]
fn the_identity_names_cluster_topics_and_partitions() {
    let broker = Broker::shared();
    let first = settings(broker.address(), "identity", 3);
    let mut worker = Worker::join(&first, 0);
    let identity = worker.log.identity().unwrap();
    assert_eq!(identity.partitions, 3);
    assert_eq!(identity.topics.conversions, "identity.conversions");
    assert!(identity.cluster.len() > 10, "{}", identity.cluster);
}

#[test]
fn inputs_that_are_not_alike_are_refused_at_the_start() {
    let broker = Broker::shared();
    let settings = bare_settings(broker.address(), "unlike");
    make(&settings, &settings.topics.touchpoints, 3, &[]);
    let missing = KafkaLog::join(settings.clone(), 0).err().unwrap();
    assert!(matches!(&missing, Error::Fatal(words) if words.contains("unlike.conversions")), "{missing}");
    make(&settings, &settings.topics.conversions, 2, &[]);
    let unlike = KafkaLog::join(settings, 0).err().unwrap();
    assert!(matches!(&unlike, Error::Fatal(words) if words.contains("2 partitions")), "{unlike}");
}
