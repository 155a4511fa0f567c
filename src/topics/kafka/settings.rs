//! What a Kafka log needs to know, and the client configurations made from it.
//!
//! Everything that exactly-once rests on is set here and cannot be overridden: see [`RESERVED`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::super::{Error, Input, Output};

/// The topics' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Touchpoints: the lead topic.
    pub touchpoints: String,
    /// Conversions and adjustments.
    pub conversions: String,
    /// Attribution rows.
    pub attributions: String,
    /// Records that could not be used.
    pub dead_letter: String,
    /// What instances share.
    pub control: String,
    /// Who did what.
    pub audit: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            touchpoints: "touchpoints".into(),
            conversions: "conversions".into(),
            attributions: "attributions".into(),
            dead_letter: "attributions.dead-letter".into(),
            control: "tributary.control".into(),
            audit: "tributary.audit".into(),
        }
    }
}

impl Names {
    /// The topic of an input.
    pub fn input(&self, input: Input) -> &str {
        match input {
            Input::Touchpoints => &self.touchpoints,
            Input::Conversions => &self.conversions,
        }
    }

    /// The topic of an output.
    pub fn output(&self, output: Output) -> &str {
        match output {
            Output::Attributions => &self.attributions,
            Output::DeadLetter => &self.dead_letter,
        }
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A question to the brokers (offsets, metadata, configurations), before it counts as unreachable.
    pub request: Duration,
    /// A member that is silent for so long loses its partitions.
    pub session: Duration,
    /// A worker that does not poll for so long loses its partitions.
    pub poll: Duration,
    /// A transaction that stays open for so long is aborted by the broker.
    pub transaction: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            session: Duration::from_secs(30),
            poll: Duration::from_secs(300),
            transaction: Duration::from_secs(15),
        }
    }
}

/// What librdkafka's queues of one worker may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueMemory {
    /// Bytes of records fetched ahead, over all partitions.
    pub fetched: usize,
    /// Bytes of records not yet delivered, for each of the two producers.
    pub produced: usize,
}

impl Default for QueueMemory {
    fn default() -> Self {
        Self { fetched: 64 << 20, produced: 32 << 20 }
    }
}

/// How to reach Kafka, and as whom.
#[derive(Clone)]
pub struct Settings {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// librdkafka properties passed through: security, tuning.
    pub properties: BTreeMap<String, String>,
    /// The consumer group.
    pub group: String,
    /// This instance's name, the same after a restart: the member keeps its partitions over it.
    pub instance: String,
    /// Whether a member that is dropped leaves the group, so that others take its partitions at once. Otherwise they are kept
    /// for it until its session is over, as after a crash.
    pub leave: bool,
    /// What transactional ids begin with; an access-control list can be given for the prefix.
    pub transactional_prefix: String,
    /// The topics' names.
    pub topics: Names,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What librdkafka's queues of one worker may hold.
    pub queues: QueueMemory,
    /// The largest record that may be written, in bytes: at least what the dead-letter topic takes.
    pub largest_record: usize,
}

impl Settings {
    /// Settings for these brokers, group and instance, all else as it is when nothing is said.
    pub fn new(brokers: &str, group: &str, instance: &str) -> Self {
        Self {
            brokers: brokers.into(),
            properties: BTreeMap::new(),
            group: group.into(),
            instance: instance.into(),
            leave: false,
            transactional_prefix: group.into(),
            topics: Names::default(),
            timeouts: Timeouts::default(),
            queues: QueueMemory::default(),
            largest_record: DEFAULT_RECORD + DEAD_LETTER_HEADROOM,
        }
    }
}

/// A passed-through property may be a password: only the names are shown.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("brokers", &self.brokers)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("group", &self.group)
            .field("instance", &self.instance)
            .field("transactional_prefix", &self.transactional_prefix)
            .field("topics", &self.topics)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// What a broker takes when nobody says otherwise (`max.message.bytes`).
pub const DEFAULT_RECORD: usize = 1_048_588;

/// By how much the dead-letter topic's limit exceeds the inputs': the reason and origin in a dead letter's headers.
pub const DEAD_LETTER_HEADROOM: usize = 64 << 10;

/// Properties that are Tributary's own: exactly-once, or a setting with a name of its own, rests on each of them.
pub const RESERVED: [&str; 38] = [
    "acks",
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "compression.codec",
    "compression.type",
    "delivery.report.only.error",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "fetch.queue.backoff.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "linger.ms",
    "log.queue",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "max.poll.interval.ms",
    "message.max.bytes",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queued.max.messages.kbytes",
    "request.required.acks",
    "retries",
    "session.timeout.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// What some properties must be: any other value would switch the checking of the other side off.
const REQUIRED: [(&str, &str); 3] = [
    ("enable.ssl.certificate.verification", "true"),
    ("ssl.endpoint.identification.algorithm", "https"),
    ("enable.sasl.oauthbearer.unsecure.jwt", "false"),
];

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Properties that name a file; for authorities also a folder, or `probe` for where systems keep theirs.
const FILES: [&str; 5] =
    ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "ssl.crl.location"];

impl Settings {
    /// Refuses properties that are Tributary's own, that switch security off, or that name a file which cannot be read, by name.
    pub fn validate(&self) -> Result<(), Error> {
        for (name, value) in &self.properties {
            if RESERVED.contains(&name.as_str()) {
                return Err(Error::Fatal(format!(
                    "kafka.properties: `{name}` is set by Tributary and cannot be changed; remove it"
                )));
            }
            if REQUIRED.iter().any(|(required, good)| required == name && good != value) {
                return Err(Error::Fatal(format!(
                    "kafka.properties: this value of `{name}` would leave the connection unprotected; remove it"
                )));
            }
            // Of such a file librdkafka tells neither the path nor why.
            if FILES.contains(&name.as_str()) && value != "probe" {
                std::fs::File::open(value).map_err(|error| {
                    let why = format!("{value}: cannot be read: {error}");
                    Error::Fatal(format!("kafka.properties.{name}: {why}; correct the path or the file's permissions"))
                })?;
            }
        }
        Ok(())
    }

    fn base(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", format!("{}-{role}", self.instance))
            .set("allow.auto.create.topics", "false");
        config
    }

    /// A member of the group. `queues` is how many partition queues share [`QueueMemory::fetched`].
    pub(super) fn member(&self, worker: usize, queues: usize) -> ClientConfig {
        // Each queue may also hold one response more than its bound, so half of its share is the bound.
        let share = (self.queues.fetched / queues.max(1) / 2).clamp(32 << 10, 64 << 20);
        let mut config = self.base(&format!("{worker}-member"));
        config
            .set("group.id", &self.group)
            .set("group.instance.id", format!("{}-{worker}", self.instance))
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "false")
            .set("session.timeout.ms", millis(self.timeouts.session))
            .set("heartbeat.interval.ms", millis((self.timeouts.session / 10).min(Duration::from_secs(1))))
            .set("max.poll.interval.ms", millis(self.timeouts.poll.max(self.timeouts.session)))
            .set("queued.max.messages.kbytes", (share >> 10).to_string())
            .set("fetch.message.max.bytes", share.min(1 << 20).to_string())
            .set("fetch.queue.backoff.ms", "5");
        // One request asks for all partitions that have room, and a partition that gets room meanwhile waits for it.
        default(&mut config, "fetch.wait.max.ms", "10");
        default(&mut config, "fetch.error.backoff.ms", "50");
        default(&mut config, "reconnect.backoff.max.ms", "1000");
        config
    }

    /// A transactional producer.
    pub(super) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.base(transactional_id);
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", millis(self.timeouts.transaction))
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "0")
            // A failed delivery fails the transaction; successful ones need no report of each.
            .set("delivery.report.only.error", "true")
            .set("message.max.bytes", self.largest_record.to_string())
            .set("queue.buffering.max.kbytes", (self.queues.produced >> 10).max(1024).to_string())
            .set("queue.buffering.max.messages", "200000");
        // A transaction that meets the last one's markers is told to come back; 100 ms would be the default wait.
        default(&mut config, "retry.backoff.ms", "2");
        default(&mut config, "retry.backoff.max.ms", "50");
        default(&mut config, "reconnect.backoff.max.ms", "1000");
        config
    }

    /// An idempotent producer outside transactions, for the control and audit topics.
    pub(super) fn appender(&self, role: &str) -> ClientConfig {
        let mut config = self.base(role);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", millis(self.timeouts.request))
            .set("queue.buffering.max.kbytes", "8192");
        config
    }

    /// A reader of committed records that belongs to no group: it assigns itself partitions and commits nothing. (librdkafka
    /// wants a group's name for that; it never joins it.)
    pub(super) fn reader(&self, role: &str) -> ClientConfig {
        let mut config = self.base(role);
        config
            .set("group.id", &self.group)
            .set("group.protocol", "classic")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.queue.backoff.ms", "5");
        default(&mut config, "fetch.wait.max.ms", "10");
        default(&mut config, "fetch.error.backoff.ms", "50");
        default(&mut config, "reconnect.backoff.max.ms", "1000");
        config
    }

    /// For questions about topics and brokers.
    pub(super) fn admin(&self) -> ClientConfig {
        self.base("admin")
    }

    /// How long a socket waits for an answer in a transactional producer: librdkafka derives it so.
    pub(super) fn socket_timeout(&self) -> Duration {
        self.timeouts.transaction.saturating_sub(Duration::from_millis(100)).max(Duration::from_millis(900))
    }
}

fn default(config: &mut ClientConfig, name: &str, value: &str) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_of_tributarys_own_is_refused_by_name() {
        for name in RESERVED {
            let mut settings = Settings::new("127.0.0.1:1", "g", "i");
            settings.properties.insert(name.into(), "x".into());
            let refused = settings.validate().unwrap_err().to_string();
            assert!(refused.contains(&format!("`{name}`")), "{refused}");
        }
    }

    #[test]
    fn security_passes_through_but_cannot_be_switched_off() {
        let mut settings = Settings::new("127.0.0.1:1", "g", "i");
        settings.properties.insert("security.protocol".into(), "SASL_SSL".into());
        settings.validate().unwrap();
        assert_eq!(settings.producer("t").get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(settings.member(0, 8).get("security.protocol"), Some("SASL_SSL"));
        let off = [
            ("enable.ssl.certificate.verification", &["false", "False", "0", "f"][..]),
            ("ssl.endpoint.identification.algorithm", &["none", "None", ""]),
            ("enable.sasl.oauthbearer.unsecure.jwt", &["true", "1", "t"]),
        ];
        for (name, values) in off {
            for value in values {
                let mut settings = settings.clone();
                settings.properties.insert(name.into(), (*value).into());
                assert!(settings.validate().is_err(), "{name} = {value}");
            }
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let mut settings = Settings::new("127.0.0.1:1", "g", "i");
        settings.properties.insert("sasl.password".into(), "canary".into());
        let shown = format!("{settings:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("canary"), "{shown}");
    }

    #[test]
    fn the_value_of_a_property_that_librdkafka_does_not_know_is_not_shown() {
        let mut settings = Settings::new("127.0.0.1:1", "g", "i");
        settings.properties.insert("sasl.pasword".into(), "canary".into());
        let shown = super::super::connect(&settings).unwrap_err().to_string();
        assert!(shown.contains("sasl.pasword") && !shown.contains("canary"), "{shown}");
    }

    #[test]
    fn queues_stay_within_their_memory_whatever_the_number_of_partitions() {
        let settings = Settings::new("127.0.0.1:1", "g", "i");
        for queues in [1, 8, 64, 512] {
            let config = settings.member(0, queues);
            let bound: usize = config.get("queued.max.messages.kbytes").unwrap().parse().unwrap();
            let response: usize = config.get("fetch.message.max.bytes").unwrap().parse().unwrap();
            assert!(((bound << 10) + response) * queues <= settings.queues.fetched, "{queues} queues of {bound} KiB");
        }
    }

    #[test]
    fn every_configuration_is_one_that_librdkafka_knows() {
        let settings = Settings::new("127.0.0.1:1", "g", "i");
        for config in [
            settings.member(0, 8),
            settings.producer("t"),
            settings.appender("control"),
            settings.reader("tail"),
            settings.admin(),
        ] {
            config.create_native_config().unwrap();
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_property_and_the_reason() {
        let with = |value: &str| {
            let mut settings = Settings::new("b:1", "g", "i");
            settings.properties.insert("ssl.ca.location".into(), value.into());
            settings.validate().map_err(|error| error.to_string())
        };
        let refused = with("/nowhere/ca.pem").unwrap_err();
        assert!(refused.contains("ssl.ca.location: /nowhere/ca.pem: cannot be read: No such file"), "{refused}");
        for good in ["probe", "/", file!()] {
            assert_eq!(with(good), Ok(()), "{good}");
        }
    }
}
