//! What sealing costs the store: the same touchpoints hashed, written, flushed and read, in an unsealed and a sealed state,
//! in turns. `cargo bench --bench seal`; `TOUCHPOINTS=n ROUNDS=n` change it. The whole engine: `SEAL=1 make bench`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_precision_loss)]

use std::sync::Arc;
use std::time::Instant;

use tributary::seal::{Kek, Keks};
use tributary::store::{Batch, Budget, Partition, Shared, Stored};

const USERS: u64 = 100_000;
const BATCH: u64 = 20_000;
const READS: u64 = 50_000;
const START: i64 = 1_767_225_600_000;

/// Nanoseconds of CPU that this thread has had; RocksDB's own threads are not in it.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The same of all threads of the process, in steps of ten milliseconds.
fn cpu_of_all() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks * 1e7
}

/// What each phase took, in nanoseconds a touchpoint (a journey, for reading), and bytes on disk.
#[derive(Clone, Copy, Default)]
struct Took {
    write_cpu: f64,
    all_cpu: f64,
    write: f64,
    read_cpu: f64,
    disk: f64,
}

fn record(n: u64) -> String {
    format!("\u{1}user-{:06}\u{1}touch-{n:09}\u{1}paid_search\u{1}spring", n % USERS)
}

fn round(touchpoints: u64, sealed: bool) -> Took {
    let dir = tempfile::tempdir().unwrap();
    let budget = Budget { memory_bytes: 256 << 20, partitions: 4, ..Budget::default() };
    let shared = Shared::open(&budget).unwrap();
    let keks = Arc::new(Keks::new(Kek::new(&[7; 32]), Vec::new()));
    let shared = if sealed { shared.sealed(keks) } else { shared };
    let partition = Partition::open(&shared, dir.path()).unwrap();
    let hasher = partition.hasher().clone();
    let (mut batch, mut took) = (Batch::of(&hasher), Took::default());
    let (wall, used, all) = (Instant::now(), cpu(), cpu_of_all());
    for first in (0..touchpoints).step_by(BATCH as usize) {
        for n in first..(first + BATCH).min(touchpoints) {
            // Scattered over the users, as events come.
            let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let user = hasher.user(&format!("user-{:06}", scattered % USERS));
            batch.put_touchpoint(user, START + n as i64, record(scattered).as_bytes());
        }
        partition.write(&mut batch).unwrap();
    }
    let each = touchpoints as f64;
    took.write_cpu = (cpu() - used) / each;
    partition.flush().unwrap();
    took.all_cpu = (cpu_of_all() - all) / each;
    took.write = wall.elapsed().as_nanos() as f64 / each;
    took.disk = partition.sizes().table_bytes as f64 / each;
    let (used, view, mut stored) = (cpu(), partition.view(), Stored::new());
    for n in 0..READS {
        stored.clear();
        view.touchpoints(hasher.user(&format!("user-{:06}", (n * 7_919) % USERS)), 0, i64::MAX, &mut stored).unwrap();
    }
    took.read_cpu = (cpu() - used) / READS as f64;
    took
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let (touchpoints, rounds) = (number("TOUCHPOINTS", 1_000_000), number("ROUNDS", 5));
    let mut best = [None::<Took>; 2];
    for _ in 0..rounds {
        for sealed in [false, true] {
            let took = round(touchpoints, sealed);
            let kept = best[usize::from(sealed)].get_or_insert(took);
            kept.write_cpu = kept.write_cpu.min(took.write_cpu);
            kept.all_cpu = kept.all_cpu.min(took.all_cpu);
            kept.write = kept.write.min(took.write);
            kept.read_cpu = kept.read_cpu.min(took.read_cpu);
            kept.disk = kept.disk.min(took.disk);
        }
    }
    let [plain, sealed] = best.map(Option::unwrap);
    println!("{touchpoints} touchpoints, the best of {rounds} rounds        unsealed     sealed   difference");
    let line = |what: &str, plain: f64, sealed: f64| {
        println!("{what:<44} {plain:>11.0} {sealed:>10.0} {:>+10.0} ({:.2})", sealed - plain, sealed / plain);
    };
    line("hash and write a touchpoint, CPU ns", plain.write_cpu, sealed.write_cpu);
    line("the same with flushes, all threads, CPU ns", plain.all_cpu, sealed.all_cpu);
    line("the same, wall ns", plain.write, sealed.write);
    line("read a journey, CPU ns", plain.read_cpu, sealed.read_cpu);
    line("on disk, bytes a touchpoint", plain.disk, sealed.disk);
}
