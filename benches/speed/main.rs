//! How fast Tributary is, on a real broker, beside what librdkafka alone can do on the same topics in the same run.
//!
//! `make bench`. One run: the load is produced once; then, in rounds, the whole job (the release binary, from its first record
//! to its last; then it is killed with SIGKILL, must be ready again, and is stopped) and the two ceilings (librdkafka reading and
//! doing nothing; librdkafka reading and writing the job's own rows in transactions). At last the instance of the last round
//! answers a live load at half of that rate. At the end `replay` of a file of 100 MB. Figures are for the eye: nothing here asserts a time.
//!
//! | file | holds |
//! | --- | --- |
//! | `load` | the events |
//! | `stage` | broker, registry, topics, configurations |
//! | `job` | the binary under the load |
//! | `raw` | the ceilings |
//! | `live` | latency |
//! | `reads` | reads through the sidecar |
//! | `files` | `replay` |
//! | `usage` | what a process has used |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../tests/support/broker.rs"]
#[allow(dead_code, reason = "the tests of the log need more of it")]
mod broker;
#[path = "../../tests/simulation/dice.rs"]
#[allow(dead_code, reason = "the simulation's chance, of which this needs less")]
mod dice;
mod files;
mod job;
mod live;
mod load;
mod raw;
mod reads;
#[path = "../../tests/exactly_once/servers.rs"]
#[allow(dead_code, reason = "shared with the tests of exactly once")]
mod servers;
mod stage;
mod usage;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use job::Job;
use load::Load;
use stage::Stage;
use usage::Spent;

/// What can be chosen, by environment variables.
struct Options {
    events: u64,
    rounds: usize,
    workers: usize,
    live: Duration,
    /// Events a second of the live load; none: half of the job's rate.
    live_rate: Option<u64>,
    replay_bytes: u64,
}

impl Options {
    fn from_env() -> Self {
        Self {
            events: number("EVENTS", 2_000_000),
            rounds: number("ROUNDS", 3) as usize,
            workers: number("WORKERS", 2) as usize,
            live: Duration::from_secs(number("LIVE_SECONDS", 15)),
            live_rate: Some(number("LIVE_RATE", 0)).filter(|rate| *rate > 0),
            replay_bytes: number("REPLAY_MB", 100) * 1_000_000,
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text} is no number")))
}

/// One measurement over a number of events.
#[derive(Clone, Copy)]
struct Figure {
    per_second: f64,
    cpu_us: f64,
    broker_us: f64,
}

impl Figure {
    fn of(events: u64, took: Duration, own: Spent, broker: Spent) -> Self {
        let each = |spent: Spent| spent.cpu.as_secs_f64() * 1e6 / events as f64;
        Self { per_second: events as f64 / took.as_secs_f64(), cpu_us: each(own), broker_us: each(broker) }
    }

    fn print(&self, what: &str, rows_per_event: f64) {
        println!(
            "{what:<34} {:>9.0} events/s {:>9.0} rows/s {:>6.2} us/event {:>6.2} broker",
            self.per_second,
            self.per_second * rows_per_event,
            self.cpu_us,
            self.broker_us
        );
    }
}

/// The middle one by rate.
fn median(figures: &mut [Figure]) -> Figure {
    figures.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    figures[figures.len() / 2]
}

fn main() {
    // `cargo test --benches` would run it too: this one has no tests, and takes minutes.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let options = Options::from_env();
    let stage = Stage::new(options.workers);
    let mut load = Load::new(options.events, stage.schemas);
    let counts = stage.produce(&mut load, options.events);
    println!(
        "load: {} events ({} conversions and adjustments), {} users, {} partitions",
        options.events,
        counts.conversions,
        load::USERS,
        stage::PARTITIONS
    );
    let (rate, mut job) = rounds(&options, &stage, counts.touchpoints);
    job.start_again();
    let live_rate = options.live_rate.map_or(rate / 2.0, |rate| rate as f64);
    live::measure(&stage, &mut load, &job, live_rate, options.live);
    // The load comes from the same machine: the first figure says what is left beside it, this one what an answer takes.
    live::measure(&stage, &mut load, &job, rate / 10.0, options.live);
    let key = stage.key(job.config());
    let beside = |what: &str, work: &mut dyn FnMut()| {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| reads::measure(job.port(), &key, what, &done));
            let _done = reads::Done(&done);
            work();
        });
    };
    beside("nothing", &mut || std::thread::sleep(options.live));
    beside("a tenth of the rate", &mut || live::measure(&stage, &mut load, &job, rate / 10.0, options.live));
    beside("half of the rate", &mut || live::measure(&stage, &mut load, &job, live_rate, options.live));
    println!("{:<34} {:>9.0} MiB", "peak memory, live", job.peak_memory_mib());
    drop(job);
    files::measure(&stage, options.replay_bytes);
}

/// Job and ceilings, in turn; prints the middle one of each, and gives the last job back, stopped, with its rate.
fn rounds(options: &Options, stage: &Stage, touchpoints: u64) -> (f64, Job) {
    let (mut jobs, mut reads, mut writes) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    let mut rows_per_event = 0.0;
    for round in 0..=options.rounds {
        drop(last.take());
        let mut job = Job::start(stage, round);
        let (figure, rows) = job.catch_up(stage, options.events);
        rows_per_event = rows as f64 / options.events as f64;
        figure.print(&format!("round {round}: the job"), rows_per_event);
        let (peak, ready) = (job.peak_memory_mib(), job.kill_and_wait());
        job.stop();
        println!(
            "round {round}: peak memory {peak:.0} MiB, ready {:.0} ms after SIGKILL, {:.1} bytes of state a touchpoint",
            ready.as_secs_f64() * 1e3,
            job.state_bytes() as f64 / touchpoints as f64
        );
        let mut captured = raw::rows_of(stage, &stage::attributions(round));
        let read = raw::read(stage, options.events);
        let write = best(BATCHES.map(|batch| raw::read_and_write(stage, &mut captured, options.events, batch)));
        println!("round {round}: the ceilings {:.0} and {:.0} events/s", read.per_second, write.per_second);
        // The first round warms the broker up: a JVM needs some seconds of load before it is as fast as it will be.
        if round > 0 {
            jobs.push(figure);
            reads.push(read);
            writes.push(write);
        }
        last = Some(job);
    }
    let (job, read, write) = (median(&mut jobs), median(&mut reads), median(&mut writes));
    println!("medians of {} rounds:", options.rounds);
    read.print("librdkafka, reading", 0.0);
    write.print("librdkafka, reading and writing", rows_per_event);
    job.print("tributary", rows_per_event);
    println!("{:<34} {:>9.2}", "rate, of the second ceiling", job.per_second / write.per_second);
    println!("{:<34} {:>9.2} us/event", "CPU above the second ceiling", job.cpu_us - write.cpu_us);
    (job.per_second, last.unwrap())
}

/// Events of one transaction: the ceiling is the better of both.
const BATCHES: [u64; 2] = [5_000, 20_000];

fn best(figures: [Figure; 2]) -> Figure {
    let [a, b] = figures;
    if a.per_second > b.per_second { a } else { b }
}
