//! What a seed draws before anything happens: how large the world is, how often things break.

use tributary::core::{Millis, Model, Rules};
use tributary::stream::RowFormat;
use tributary::topics::Limit;

use crate::dice::Dice;
use crate::wire;

/// The middle of all event times.
pub const EPOCH: Millis = 1_700_000_000_000;
/// The time that the scheduler's clock begins at: after every event time but those of bad records.
pub const START: Millis = EPOCH + 120 * 86_400_000;

/// Seeds in a thousand that begin with a backlog.
const BACKLOGS: u64 = 8;
/// Seeds in a thousand that are sealed.
const SEALED: u64 = 250;

/// Chances in a thousand, each for one call to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A call answers that the log is not reachable.
    pub unreachable: u64,
    /// A worker's process dies in, before or after a call.
    pub crash: u64,
    /// A transaction aborts.
    pub aborted: u64,
    /// A commit's answer is lost.
    pub unknown: u64,
    /// A worker hears nothing of the group for a while.
    pub deaf: u64,
    /// The group changes in the middle of a worker's turn.
    pub stolen: u64,
    /// A fetch brings little or nothing.
    pub slow: u64,
    /// The group's offsets are said to be missing for a moment.
    pub missing: u64,
}

/// The weights of what the scheduler does.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// A producer appends.
    pub produce: u64,
    /// A worker takes a turn.
    pub turn: u64,
    /// A partition is given to another worker.
    pub move_partition: u64,
    /// A process dies between two turns, or stops in order.
    pub stop: u64,
    /// A process that is down starts.
    pub start: u64,
    /// A partition's memory goes to disk.
    pub flush: u64,
    /// The clock jumps.
    pub jump: u64,
    /// A process that is down loses its disk.
    pub lose_disk: u64,
    /// Old input is taken away, the output compacted.
    pub upkeep: u64,
    /// The schema registry goes down or comes back.
    pub registry: u64,
}

/// A seed's world.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Partitions of each topic.
    pub partitions: u32,
    /// How many workers each process has.
    pub processes: Vec<usize>,
    /// How many users there are.
    pub users: usize,
    /// How many records are appended.
    pub events: usize,
    /// How many of them lie there, hours of them, when the first process starts.
    pub backlog: usize,
    /// The rules of credit.
    pub rules: Rules,
    /// Bounds of a batch.
    pub batch: Limit,
    /// The bound of a batch's rows, in bytes.
    pub rows_bytes: usize,
    /// The largest dead letter, in bytes.
    pub dead_letter_bytes: usize,
    /// The least time between two transactions, in milliseconds.
    pub batch_latency: Millis,
    /// After how long memory goes to disk, in milliseconds.
    pub flush_interval: Millis,
    /// After how long offsets are committed again, in milliseconds.
    pub offsets_keepalive: Millis,
    /// Records in a thousand that lie on another partition than their key's.
    pub misplaced: u64,
    /// Bad records in a thousand.
    pub bad: u64,
    /// Events in a thousand that are Avro.
    pub avro: u64,
    /// Whether rows are Avro.
    pub avro_rows: bool,
    /// Whether records that make the engine panic may come; only a build with planted bugs has such.
    pub poison: bool,
    /// Whether log and states are sealed; then processes that start may bring a new key.
    pub sealed: bool,
    /// Whether input is trimmed; then nothing may lose its disk.
    pub trims: bool,
    /// The chances of faults.
    pub faults: Faults,
    /// What the scheduler does how often.
    pub weights: Weights,
}

impl Plan {
    /// How rows are written.
    pub fn format(&self) -> RowFormat {
        if self.avro_rows { RowFormat::Avro { schema_id: wire::ROW } } else { RowFormat::Json }
    }

    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, 1);
        let rules = rules(dice);
        // Input goes away only where one folder holds each partition: an older folder could not go on from there.
        let trims = dice.chance(150);
        let processes = match (trims, dice.below(10)) {
            (true, 0..6) => vec![1],
            (true, _) | (false, 0) => vec![2],
            (false, 1) => vec![1],
            (false, 2) => vec![2, 1],
            (false, 3..8) => vec![1, 1],
            (false, _) => vec![1, 1, 1],
        };
        let small = |dice: &mut Dice| dice.weighted(&[(3, 300), (2, 1_500), (2, 6_000), (4, 1 << 20)]);
        let latency = [0, 0, 5, 40];
        let mut plan = Self {
            seed,
            partitions: dice.weighted(&[(2, 1), (5, 2), (3, 3)]),
            processes,
            users: dice.between(1, 6) as usize,
            events: dice.weighted(&[(3, 30), (4, 60), (2, 110), (1, 200)]) + dice.index(20),
            backlog: 0,
            rules,
            batch: Limit {
                records: dice.weighted(&[(2, 1), (3, 3), (3, 10), (3, 50)]),
                bytes: dice.weighted(&[(1, 200), (1, 2_000), (6, 1 << 20)]),
            },
            rows_bytes: small(dice),
            dead_letter_bytes: dice.weighted(&[(1, 2_200), (4, 1 << 20)]),
            batch_latency: *dice.pick(&latency),
            flush_interval: dice.weighted(&[(1, 100), (2, 3_000), (4, 1 << 40)]),
            offsets_keepalive: 12 * 3_600_000,
            misplaced: dice.weighted(&[(4, 0), (1, 100)]),
            bad: dice.weighted(&[(1, 0), (3, 60), (1, 250)]),
            avro: dice.weighted(&[(2, 0), (1, 500), (1, 1000)]),
            avro_rows: dice.chance(250),
            poison: cfg!(feature = "planted") && dice.chance(300),
            sealed: Dice::new(seed, 5).chance(SEALED),
            trims,
            faults: faults(dice),
            weights: weights(dice, trims),
        };
        plan.pile_up();
        plan
    }

    /// Now and then the first process finds more than an input may be ahead of the other, and reads it in such pieces
    /// that one of them is used up long before the other.
    fn pile_up(&mut self) {
        let dice = &mut Dice::new(self.seed, 4);
        if !dice.chance(BACKLOGS) {
            return;
        }
        self.backlog = 3_000;
        self.events += self.backlog;
        self.partitions = 1;
        (self.rows_bytes, self.poison) = (1 << 20, false); // halving would make it far too many batches
        self.batch = Limit { records: dice.weighted(&[(1, 150), (2, 300)]), bytes: 1 << 20 };
    }
}

fn rules(dice: &mut Dice) -> Rules {
    let mut models: Vec<Model> = Model::ALL.into_iter().filter(|_| dice.chance(400)).collect();
    if models.is_empty() {
        models.push(*dice.pick(&Model::ALL));
    }
    let lookback = dice.weighted(&[(1, 1), (1, 1_000), (5, 3_600_000), (2, 30 * 86_400_000)]);
    let half_life = dice.weighted(&[(1, 1), (2, 600_000), (2, 7 * 86_400_000)]);
    let max_path = dice.weighted(&[(1, 1), (3, 3), (4, 256)]);
    Rules::new(lookback, half_life, max_path, models).unwrap()
}

fn faults(dice: &mut Dice) -> Faults {
    let mut rate = |rare: u64, often: u64| dice.weighted(&[(2, 0), (3, rare), (1, often)]);
    Faults {
        unreachable: rate(5, 40),
        crash: rate(4, 15),
        aborted: rate(30, 200),
        unknown: rate(40, 250),
        deaf: rate(30, 120),
        stolen: rate(4, 20),
        slow: rate(30, 300),
        missing: rate(20, 100),
    }
}

fn weights(dice: &mut Dice, trims: bool) -> Weights {
    let mut rate = |rare: u64, often: u64| dice.weighted(&[(1, 0), (3, rare), (1, often)]);
    Weights {
        move_partition: rate(20, 80),
        stop: rate(10, 40),
        flush: rate(20, 100),
        jump: rate(5, 20),
        lose_disk: if trims { 0 } else { rate(10, 40) },
        upkeep: rate(10, 30),
        registry: rate(5, 20),
        produce: 150,
        turn: 500,
        start: 60,
    }
}
