//! What a process has used, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// CPU time, user and system, of all threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub cpu: Duration,
}

impl std::ops::Sub for Spent {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(before.cpu) }
    }
}

/// What a process has spent since its start. The kernel counts in hundredths of a second.
pub fn spent(pid: u32) -> Spent {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_else(|error| panic!("process {pid}: {error}"));
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().unwrap();
    Spent { cpu: Duration::from_millis((ticks(11) + ticks(12)) * 10) }
}

/// What this process has spent.
pub fn own() -> Spent {
    spent(std::process::id())
}

/// The most memory that a process has had resident, in MiB.
pub fn peak_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
