//! What happened in a seed: the last lines for the one who looks for a bug, the hash of all for the test that a seed is a
//! whole run.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64_with_seed;

const KEPT: usize = 120;

/// The account of a run.
#[derive(Debug, Default)]
pub struct Trace {
    lines: VecDeque<String>,
    hash: u64,
    count: u64,
}

impl Trace {
    /// Adds a line.
    pub fn say(&mut self, line: String) {
        self.hash = xxh3_64_with_seed(line.as_bytes(), self.hash);
        self.count += 1;
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The hash of every line.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines, each with its number.
    pub fn tail(&self) -> String {
        let first = self.count - self.lines.len() as u64;
        let lines = self.lines.iter().enumerate().map(|(index, line)| format!("{:5} {line}\n", first + index as u64));
        lines.collect()
    }
}
