//! `tributary verify`: every partition of a data folder that no instance uses, compared with the output topic; and what
//! differs emitted again.

mod compare;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

pub use compare::{Difference, Wrong};

use super::{Error, registry, settings};
use crate::access::socket;
use crate::config::{Config, LogKind};
use crate::core::Rules;
use crate::store::Partition;
use crate::stream::RowFormat;
use crate::stream::meta::Meta;
use crate::stream::taking::{self, Evidence, Plan};
use crate::topics::embedded::{Broker, Place, Topic};
use crate::topics::kafka::tail::{From, Tail};
use crate::topics::kafka::{self, KafkaLog};
use crate::topics::{Assignment, Input, LogIdentity, Offsets, Outgoing, Output, PartitionOffsets, PerInput, TopicLog};

/// How long the group may take to give us every partition.
const ASSIGNMENT: Duration = Duration::from_secs(60);
/// Rows emitted in one transaction.
const PAGE: usize = 5_000;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Partitions compared.
    pub partitions: u32,
    /// Rows that the states answer.
    pub rows: u64,
    /// Differences.
    pub differences: u64,
}

/// Takes differences: the partition, what is wrong, the row's id.
pub type Report<'r> = dyn FnMut(u32, Wrong, &str) + 'r;

/// Compares, and emits what differs again if it is to be repaired.
pub fn run(config: &Config, repair: bool, report: &mut Report<'_>) -> Result<Found, Error> {
    let rules = config.core_rules()?;
    refuse_beside_an_instance(config)?;
    match config.log.kind {
        LogKind::Embedded => {
            let broker = Broker::open(&Place::Folder(settings::log_dir(config)), &settings::embedded(config)?)?;
            let mut compacted = |partition, each: &mut dyn FnMut(&[u8], &[u8])| {
                for record in broker.compacted(Topic::Attributions, partition)? {
                    if let (Some(key), Some(value)) = (&record.key, &record.value) {
                        each(key, value);
                    }
                }
                Ok(())
            };
            let states = States::open(config, broker.partitions().get())?;
            let format = format(config)?;
            let mut check = Check { rules, format, repair, states, compacted: &mut compacted, report };
            let mut member = broker.join("verify");
            broker.spread()?;
            check.all(&mut member)
        }
        LogKind::Kafka => on_kafka(config, rules, repair, report),
    }
}

/// Hands every row of a partition of the output topic, key and value, to what it is given.
type Compacted<'c> = dyn FnMut(u32, &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Error> + 'c;

/// The states of every partition, open: so no instance has them, and none can take them meanwhile.
struct States(Vec<Partition>);

impl States {
    fn open(config: &Config, partitions: u32) -> Result<Self, Error> {
        let shared = settings::shared(config, partitions)?;
        let open = |number| {
            let dir = settings::state_dir(config).join(format!("p-{number:05}"));
            if dir.exists() {
                return Ok(Partition::open(&shared, &dir)?);
            }
            Err(Error::State(format!(
                "the state of partition {number} is not in {}: verify where the instance keeps it",
                dir.display()
            )))
        };
        (0..partitions).map(open).collect::<Result<_, Error>>().map(Self)
    }
}

/// Verifying joins the group under the instance's own name, which would put a running one out.
fn refuse_beside_an_instance(config: &Config) -> Result<(), Error> {
    let folder = &config.engine.data_dir;
    if socket::answers(folder) {
        let folder = folder.display();
        return Err(Error::State(format!("an instance runs on {folder}: stop it (SIGTERM), and verify again")));
    }
    Ok(())
}

/// Waits until nobody is in the group: one that was stopped keeps its seat for the session's time. Whoever beats its heart
/// until after that is alive, and is left alone.
fn wait_for_an_empty_group(settings: &kafka::Settings) -> Result<(), Error> {
    let patience = settings.timeouts.session + Duration::from_secs(10);
    let began = Instant::now();
    let mut told = false;
    loop {
        let members = kafka::members(settings)?;
        if members.is_empty() {
            return Ok(());
        }
        if began.elapsed() > patience {
            return Err(Error::State(format!(
                "the group {} has members: {}; stop every instance of it, and verify again",
                settings.group,
                members.join(", ")
            )));
        }
        if !std::mem::replace(&mut told, true) {
            tracing::info!(?members, "waiting for the group to be empty, up to {} s", patience.as_secs());
            eprintln!("waiting up to {} s for the group {} to be empty", patience.as_secs(), settings.group);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

struct Check<'c, 'r> {
    rules: Rules,
    format: RowFormat,
    repair: bool,
    states: States,
    /// Hands out the rows of a partition of the output topic.
    compacted: &'c mut Compacted<'c>,
    report: &'c mut Report<'r>,
}

impl Check<'_, '_> {
    fn all<L: TopicLog>(&mut self, log: &mut L) -> Result<Found, Error> {
        let identity = log.identity()?;
        take_all(log, identity.partitions)?;
        let mut found = Found { partitions: identity.partitions, ..Found::default() };
        let states = std::mem::take(&mut self.states.0);
        for (number, partition) in (0..).zip(&states) {
            let offsets = self.check_offsets(log, &identity, number, partition)?;
            let (rows, differences) = self.one(log, number, partition, &offsets)?;
            found.rows += rows;
            found.differences += differences;
        }
        Ok(found)
    }

    /// The state must be one that a run would go on with, and where the group is: else it answers something else, rightly. An
    /// empty one is, where nothing has ever come to the partition: there is nothing to answer.
    fn check_offsets<L: TopicLog>(
        &self,
        log: &mut L,
        identity: &LogIdentity,
        number: u32,
        partition: &Partition,
    ) -> Result<PartitionOffsets, Error> {
        let refuse = |why: String| Error::State(format!("partition {number}: {why}"));
        let stored = partition.view().meta()?;
        let meta = stored.as_deref().map(Meta::decode).transpose();
        let meta = meta.map_err(|why| refuse(format!("the state's account cannot be read: {why}")))?;
        let committed = log.committed(number)?;
        let bounds = PerInput::try_from_fn(|input| log.bounds(number, input))?;
        let evidence =
            Evidence { meta: meta.as_ref(), committed: &committed, bounds: &bounds, log: identity, rules: &self.rules };
        let Plan { meta, target } = taking::judge(&evidence).map_err(|refusal| refuse(refusal.to_string()))?;
        let behind: i64 = Input::ALL.into_iter().map(|input| target.get(input) - meta.applied.get(input)).sum();
        if behind != 0 {
            let empty = if stored.is_none() { ", for it is empty" } else { "" };
            return Err(refuse(format!(
                "the state is {behind} records behind the group's offsets{empty}; run the instance until it is ready, stop it \
                 cleanly, and verify again"
            )));
        }
        Ok(PartitionOffsets { partition: number, next: target, metadata: meta.stamp().encode() })
    }

    fn one<L: TopicLog>(
        &mut self,
        log: &mut L,
        number: u32,
        partition: &Partition,
        offsets: &PartitionOffsets,
    ) -> Result<(u64, u64), Error> {
        let (format, repair, report) = (self.format, self.repair, &mut *self.report);
        let mut differences = 0;
        let mut again = Repair { log, offsets, pending: Vec::new() };
        let mut each = |difference: Difference<'_>| {
            differences += 1;
            report(number, difference.wrong, &String::from_utf8_lossy(difference.row_id));
            if !repair {
                return Ok(());
            }
            let value = difference.row.map(|row| {
                let mut value = Vec::new();
                format.write(row, &mut value);
                value
            });
            again.add(difference.row_id.to_vec(), value)
        };
        let compacted = &mut *self.compacted;
        let mut rows_of = |each: &mut dyn FnMut(&[u8], &[u8])| compacted(number, each);
        let rows = compare::compare(&partition.view(), &self.rules, &mut rows_of, &mut each)?;
        again.send()?;
        Ok((rows, differences))
    }
}

/// Rows to be emitted again, a transaction at a time.
struct Repair<'l, L> {
    log: &'l mut L,
    offsets: &'l PartitionOffsets,
    pending: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl<L: TopicLog> Repair<'_, L> {
    fn add(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), Error> {
        self.pending.push((key, value));
        if self.pending.len() < PAGE { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.log.begin()?;
        for (key, value) in &self.pending {
            let (output, partition) = (Output::Attributions, self.offsets.partition);
            self.log.produce(Outgoing { output, partition, key: Some(key), value: value.as_deref(), headers: &[] })?;
        }
        self.log.commit(&Offsets::new(self.offsets.clone(), Vec::new()))?;
        self.pending.clear();
        Ok(())
    }
}

/// Waits until the group has given us every partition: then nobody else writes.
fn take_all<L: TopicLog>(log: &mut L, partitions: u32) -> Result<(), Error> {
    let began = Instant::now();
    let mut held = std::collections::BTreeSet::new();
    while held.len() < partitions as usize {
        if began.elapsed() > ASSIGNMENT {
            return Err(Error::State(format!(
                "the group gave us {} of {partitions} partitions: stop the other instances, and verify again",
                held.len()
            )));
        }
        for assignment in log.poll(Duration::from_millis(200))? {
            match assignment {
                Assignment::Gained(number) => held.insert(number),
                Assignment::Lost(number) => held.remove(&number),
            };
        }
    }
    Ok(())
}

fn on_kafka(config: &Config, rules: Rules, repair: bool, report: &mut Report<'_>) -> Result<Found, Error> {
    // Who leaves at once is not waited for by the instance that starts next.
    let settings = kafka::Settings { leave: true, ..settings::kafka(config) };
    kafka::connect(&settings)?;
    let topic = settings.topics.attributions.clone();
    let reader_settings = settings.clone();
    // What the last record of a key says counts, so a partition is gathered before it is handed out.
    let mut compacted = |partition, each: &mut dyn FnMut(&[u8], &[u8])| {
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        Tail::open(&reader_settings, &topic, From::End)?.read_whole(partition, &mut |entry| match entry.value {
            Some(value) => drop(rows.insert(entry.key.to_vec(), value.to_vec())),
            None => drop(rows.remove(entry.key)),
        })?;
        rows.iter().for_each(|(key, value)| each(key, value));
        Ok(())
    };
    let states = States::open(config, Tail::open(&settings, &topic, From::End)?.partitions())?;
    let format = format(config)?;
    wait_for_an_empty_group(&settings)?;
    let mut check = Check { rules, format, repair, states, compacted: &mut compacted, report };
    check.all(&mut KafkaLog::join(settings, 0)?)
}

/// How rows are written again.
fn format(config: &Config) -> Result<RowFormat, Error> {
    let runtime = Runtime::new().map_err(|error| Error::Failed(format!("no threads to be had: {error}")))?;
    let registry = registry::open(config, runtime.handle())?;
    registry::row_format(config, registry.as_deref(), runtime.handle())
}
