//! One secured broker and registry for all tests: certificates, users, and the grants of docs/kafka-security.md.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::broker::Broker;
use crate::certificates::{Authority, Identity, write};
use crate::door::Door;
use crate::grants::{Grant, Grants, run_commands};
use crate::page;
use crate::secrets::random;
use crate::stage::until;

/// Who logs in with a password. `lacking` has the processor's grants, but now and then one.
const USERS: [&str; 5] = ["admin", "tributary", "lacking", "ingest", "connect"];

/// librdkafka's properties of a client.
pub type Properties = Vec<(String, String)>;

/// The broker and whoever may come.
pub struct Cluster {
    pub broker: Broker,
    pub door: Door,
    folder: tempfile::TempDir,
    passwords: BTreeMap<&'static str, String>,
    /// The text of every private key.
    pub keys: Vec<String>,
}

impl Cluster {
    /// The cluster that the tests of this process share; whoever holds it last stops it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Self::start());
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("secured").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = |name: &str| folder.path().join(name);
        let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
        write(&file("ca.pem"), &authority.pem());
        write(&file("stranger.pem"), &stranger.pem());
        let Identity { certificate, key } = authority.issue("broker");
        write(&file("broker.pem"), &format!("{key}{certificate}"));
        let mut keys = Vec::new();
        for (name, identity) in
            [("tributary", authority.issue("tributary")), ("expired", authority.issue_expired("tributary"))]
        {
            write(&file(&format!("{name}.pem")), &identity.certificate);
            write(&file(&format!("{name}.key")), &identity.key);
            keys.push(identity.key);
        }
        let passwords: BTreeMap<_, _> = USERS.into_iter().map(|name| (name, random())).collect();
        let lines: Vec<String> = passwords.iter().map(|(name, password)| format!("{name} {password}\n")).collect();
        write(&file("users"), &lines.concat());
        for (name, password) in &passwords {
            write(&file(&format!("{name}.password")), password);
        }
        let (broker, door) = std::thread::scope(|scope| {
            let door = scope.spawn(|| Door::open(&authority));
            (Broker::start_secured("secured", folder.path()), door.join().unwrap())
        });
        let cluster = Self { broker, door, folder, passwords, keys };
        cluster.warm_up();
        cluster.grant();
        cluster
    }

    /// The first group and the first transaction make the broker make topics of its own, which takes a while.
    fn warm_up(&self) {
        let mut config = self.client("admin");
        config.set("group.id", "warm-up");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition("touchpoints", 0);
        let limit = Duration::from_secs(60);
        until("the first group", limit, || consumer.committed_offsets(list.clone(), limit).is_ok());
        let mut config = self.client("admin");
        let producer: BaseProducer = config.set("transactional.id", "warm-up").create().unwrap();
        until("the first transaction", limit, || producer.init_transactions(limit).is_ok());
    }

    /// A client of this user's.
    pub fn client(&self, user: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.address());
        for (name, value) in self.user(user).into_iter().filter(|(name, _)| name != "sasl.password_file") {
            config.set(name, value);
        }
        config.set("sasl.password", self.password(user));
        config
    }

    /// What the page grants, by Kafka's own tool; and the processor's for the user who is to lack some.
    fn grant(&self) {
        let (processor, _) = page::processor();
        let others = ["User:ingest", "User:connect"].into_iter().flat_map(page::commands);
        let commands: Vec<_> = processor.iter().cloned().chain(others).collect();
        self.run_commands(&commands);
        let mut grants = self.grants();
        let exact: Vec<Grant> = processor.iter().flat_map(|command| page::grants(command)).collect();
        grants.exactly("User:tributary", &exact);
        grants.grant(&lacking(&exact));
    }

    /// Runs commands of the page.
    pub fn run_commands(&self, commands: &[Vec<String>]) {
        run_commands(self.folder.path(), self.broker.address(), self.password("admin"), commands);
    }

    /// To change permissions.
    pub fn grants(&self) -> Grants {
        let mut admin = self.user("admin");
        admin.push(("sasl.password".into(), self.password("admin").into()));
        admin.retain(|(name, _)| name != "sasl.password_file");
        admin.push(("bootstrap.servers".into(), self.broker.address().into()));
        Grants::open(&admin)
    }

    /// A file of the cluster's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn password(&self, user: &str) -> &str {
        &self.passwords[user]
    }

    /// Every password of a user.
    pub fn passwords(&self) -> impl Iterator<Item = &str> {
        self.passwords.values().map(String::as_str)
    }

    /// Properties to log in with a password, by file.
    pub fn user(&self, user: &str) -> Properties {
        self.properties(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", user),
            ("sasl.password_file", self.file(&format!("{user}.password")).to_str().unwrap()),
        ])
    }

    /// Properties to come with a certificate.
    pub fn certificate(&self, name: &str) -> Properties {
        self.properties(&[
            ("security.protocol", "SSL"),
            ("ssl.certificate.location", self.file(&format!("{name}.pem")).to_str().unwrap()),
            ("ssl.key.location", self.file(&format!("{name}.key")).to_str().unwrap()),
        ])
    }

    fn properties(&self, properties: &[(&str, &str)]) -> Properties {
        let ca = self.file("ca.pem");
        let all = properties.iter().copied().chain([("ssl.ca.location", ca.to_str().unwrap())]);
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// The processor's grants, for the user who is to lack some.
pub fn lacking(grants: &[Grant]) -> Vec<Grant> {
    let other = |grant: &Grant| Grant { principal: "User:lacking".into(), ..grant.clone() };
    grants.iter().map(other).collect()
}
