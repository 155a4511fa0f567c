//! Lines that cannot be used, reported in the order of the files whichever thread met them first.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::Error;
use super::input::{Input, Kind, visible};
use super::output::Output;
use super::progress::Progress;

/// A line that cannot be used.
pub(super) struct Bad {
    /// Its place in its block, from 0.
    pub(super) line: u64,
    /// `field: reason`, or the reason alone.
    pub(super) reason: String,
    /// The line as it was, or as much of it as is kept.
    pub(super) content: Vec<u8>,
}

/// What one block had.
pub(super) struct Found {
    pub(super) input: usize,
    pub(super) lines: u64,
    pub(super) bad: Vec<Bad>,
}

/// Takes the bad lines of blocks in any order.
pub(super) struct BadLines<'i> {
    inputs: &'i [(Kind, &'i Input)],
    state: Mutex<State>,
    progress: &'i Progress,
}

struct State {
    /// The number of the block that comes next.
    next: u64,
    /// Blocks that came before their turn; as many as there are threads, about.
    early: BTreeMap<u64, Found>,
    input: usize,
    /// The lines of this input before the next block.
    lines: u64,
    count: u64,
    file: Option<Output>,
}

impl<'i> BadLines<'i> {
    /// Goes to a file, or as text to standard error.
    pub(super) fn new(
        inputs: &'i [(Kind, &'i Input)],
        file: Option<&Path>,
        progress: &'i Progress,
    ) -> Result<Self, Error> {
        let file = file.map(Output::file).transpose()?;
        let state = State { next: 0, early: BTreeMap::new(), input: 0, lines: 0, count: 0, file };
        Ok(Self { inputs, state: Mutex::new(state), progress })
    }

    /// Takes what block `number` had.
    pub(super) fn block(&self, number: u64, found: Found) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.early.insert(number, found);
        loop {
            let turn = state.next;
            let Some(found) = state.early.remove(&turn) else {
                return Ok(());
            };
            state.next += 1;
            if state.input != found.input {
                (state.input, state.lines) = (found.input, 0);
            }
            let before = state.lines;
            state.lines += found.lines;
            state.count += found.bad.len() as u64;
            let Some((_, input)) = self.inputs.get(found.input) else {
                continue;
            };
            self.report(input, before, &found.bad, &mut state.file)?;
        }
    }

    fn report(&self, input: &Input, before: u64, bad: &[Bad], file: &mut Option<Output>) -> Result<(), Error> {
        if bad.is_empty() {
            return Ok(());
        }
        if let Some(file) = file {
            let name = match input {
                Input::Stdin => "-".into(),
                Input::File(path) => path.to_string_lossy(),
            };
            let written = bad.iter().try_for_each(|line| write_letter(&name, before, line, file));
            return written.map_err(|e| file.error(e));
        }
        self.progress
            .aside(|| {
                let mut out = io::stderr().lock();
                bad.iter()
                    .try_for_each(|bad| writeln!(out, "{input}:{}: {}", before + bad.line + 1, visible(&bad.reason)))
            })
            .map_err(|source| Error::Output { target: "standard error".into(), source })
    }

    /// How many there were; their file is in its place now.
    pub(super) fn finish(self) -> Result<u64, Error> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.file.map_or(Ok(()), Output::finish)?;
        Ok(state.count)
    }
}

/// One dead letter as a line of JSON. What is no UTF-8 in it is shown as U+FFFD; the file itself has it whole.
fn write_letter(file: &str, before: u64, bad: &Bad, out: &mut impl Write) -> io::Result<()> {
    let letter = serde_json::json!({
        "file": file,
        "line": before + bad.line + 1,
        "reason": bad.reason,
        "content": String::from_utf8_lossy(&bad.content),
    });
    serde_json::to_writer(&mut *out, &letter)?;
    out.write_all(b"\n")
}
