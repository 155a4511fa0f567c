//! The pass itself: how its parts work together, on how many threads, in how much memory.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::bad::BadLines;
use super::bucket::{Bucket, Buckets, Folder};
use super::input::{Blocks, Input, Kind};
use super::output::{self, Output};
use super::parse::Parser;
use super::progress::Progress;
use super::runs::{MergeError, Runs, Sorted, Sorter};
use super::user::{Creditor, Events};
use super::{Error, Request, Summary};

/// Bits of the hash by which a bucket that is too large is split again.
const SPLIT_BITS: u32 = 4;

/// Replays files: see [`super`]. The output is there only if this returns `Ok`, except on standard output or a device.
pub fn run(request: &Request, progress: &Progress) -> Result<Summary, Error> {
    let inputs = inputs(request)?;
    let plan = Plan::of(request, &inputs);
    let bad_lines = BadLines::new(&inputs, request.dead_letters.as_deref(), progress)?;
    let mut out = match &request.output {
        Some(path) => Output::file(path)?,
        None => Output::stdout(),
    };
    let (buckets, mut summary) = read(&inputs, &plan, &bad_lines, progress)?;
    let runs = Runs::new(&plan.folder);
    let (sorted, credited) = credit(buckets, request, &plan, &runs, progress)?;
    summary.add(&credited);
    progress.writing(runs.bytes() + sorted.iter().map(Sorted::bytes).sum::<u64>());
    let merged = runs.merge(sorted, &mut super::progress::Advancing { inner: &mut out, progress });
    let (rows, shared_ids) = merged.map_err(|error| match error {
        MergeError::Output(source) => out.error(source),
        MergeError::Temporary(error) => error,
    })?;
    summary.add(&Summary { rows, shared_ids, ..Summary::default() });
    out.finish()?;
    summary.bad = bad_lines.finish()?;
    progress.end();
    Ok(summary)
}

fn inputs(request: &Request) -> Result<Vec<(Kind, &Input)>, Error> {
    let touchpoints = request.touchpoints.iter().map(|input| (Kind::Touchpoints, input));
    let conversions = request.conversions.iter().map(|input| (Kind::Conversions, input));
    let inputs: Vec<_> = touchpoints.chain(conversions).collect();
    if inputs.iter().filter(|(_, input)| **input == Input::Stdin).count() > 1 {
        return Err(Error::StdinTwice);
    }
    if request.output.is_some() && request.output == request.dead_letters {
        return Err(Error::OneTarget);
    }
    for (_, input) in &inputs {
        let Input::File(path) = input else { continue };
        let written = request.output.iter().chain(&request.dead_letters);
        if written.into_iter().any(|target| same_file(path, target)) {
            return Err(Error::Overwrites((*input).clone()));
        }
    }
    Ok(inputs)
}

fn same_file(a: &Path, b: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    whole(a).is_some_and(|a| Some(a) == whole(b))
}

/// How the memory is shared out.
struct Plan {
    threads: usize,
    /// 2^this many buckets.
    bucket_bits: u32,
    /// Records that one thread holds while reading.
    held_bytes: usize,
    /// A bucket above this size is split again.
    bucket_bytes: u64,
    /// Rows that one thread holds.
    run_bytes: usize,
    folder: Folder,
}

impl Plan {
    fn of(request: &Request, inputs: &[(Kind, &Input)]) -> Self {
        let memory = request.memory_bytes;
        let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
        // Packed files may be many times larger than they look; a bucket that turns out too large is split again.
        let known = inputs.iter().map(|(_, input)| input.size().unwrap_or(1 << 30)).fold(0, u64::saturating_add);
        let bucket_bytes = (memory / 16 / threads).max(16 << 10) as u64;
        let wanted = (known / bucket_bytes).clamp(16, 256).next_power_of_two();
        // Temporary files lie where the output does: the system's own folder is memory on many machines.
        let folder = request.output.as_deref().map_or_else(std::env::temp_dir, output::folder);
        let folder = if folder.starts_with("/dev") { std::env::temp_dir() } else { folder };
        Self {
            threads,
            bucket_bits: wanted.trailing_zeros(),
            held_bytes: memory / 6 / threads,
            bucket_bytes,
            run_bytes: memory / 4 / threads,
            folder: Folder { path: folder, sealed: request.sealed },
        }
    }
}

/// First half: all lines into buckets of records.
fn read(
    inputs: &[(Kind, &Input)],
    plan: &Plan,
    bad_lines: &BadLines<'_>,
    progress: &Progress,
) -> Result<(Vec<Bucket>, Summary), Error> {
    progress.reading(inputs.iter().map(|(_, input)| input.size()).sum());
    let buckets = Buckets::new(plan.bucket_bits, 0, &plan.folder);
    let blocks = Mutex::new(Blocks::new(inputs, progress));
    let read = on_threads(plan.threads, |stop| {
        let mut parser = Parser { writer: buckets.writer(plan.held_bytes), counts: Summary::default() };
        let mut room = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let next = blocks.lock().unwrap_or_else(PoisonError::into_inner).next(room)?;
            let Some(block) = next else { break };
            let found = parser.block(&block)?;
            bad_lines.block(block.number, found)?;
            room = block.bytes;
        }
        let Parser { writer, counts } = parser;
        writer.finish();
        Ok(counts)
    })?;
    let mut summary = Summary::default();
    read.iter().for_each(|counts| summary.add(counts));
    Ok((buckets.into_buckets(), summary))
}

/// Second half: each bucket's users credited, their rows in sorted runs.
fn credit(
    buckets: Vec<Bucket>,
    request: &Request,
    plan: &Plan,
    runs: &Runs,
    progress: &Progress,
) -> Result<(Vec<Sorted>, Summary), Error> {
    progress.crediting(buckets.len() as u64);
    let left = Mutex::new(buckets);
    let pop = || left.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let credited = on_threads(plan.threads, |stop| {
        let mut sorter = runs.sorter(plan.run_bytes);
        let mut counts = Summary::default();
        while let Some(bucket) = pop().filter(|_| !stop.load(Ordering::Relaxed)) {
            let mut work = Work { request, plan, sorter: &mut sorter, counts: &mut counts };
            work.bucket(bucket, plan.bucket_bits, true)?;
            progress.add(1);
        }
        Ok((sorter.finish(), counts))
    })?;
    let mut summary = Summary::default();
    let sorted = credited.into_iter().map(|(sorted, counts)| {
        summary.add(&counts);
        sorted
    });
    let sorted = sorted.collect();
    Ok((sorted, summary))
}

/// What one thread credits buckets with.
struct Work<'w, 's> {
    request: &'w Request,
    plan: &'w Plan,
    sorter: &'w mut Sorter<'s>,
    counts: &'w mut Summary,
}

impl Work<'_, '_> {
    fn bucket(&mut self, bucket: Bucket, used: u32, may_split: bool) -> Result<(), Error> {
        let (bytes, plan) = (bucket.bytes(), self.plan);
        if bytes > plan.bucket_bytes && may_split && used + SPLIT_BITS <= u64::BITS {
            let held = usize::try_from(plan.bucket_bytes).unwrap_or(usize::MAX);
            for smaller in bucket.split(SPLIT_BITS, used, held, &plan.folder)? {
                // One that holds more than half of all is the journey of one user, which no split makes smaller.
                let many = smaller.bytes() <= bytes / 2;
                self.bucket(smaller, used + SPLIT_BITS, many)?;
            }
            return Ok(());
        }
        let records = bucket.load(&plan.folder)?;
        let mut creditor = Creditor::new(&self.request.rules);
        records.users(|events| self.user(&mut creditor, events))?;
        self.counts.add(&creditor.counts);
        Ok(())
    }

    fn user<'a>(&mut self, creditor: &mut Creditor<'a, '_>, events: &mut Events<'a>) -> Result<(), Error> {
        let mut outcome = Ok(());
        creditor.credit(events, &mut |_, rows| {
            if outcome.is_ok() {
                outcome = self.sorter.add(rows);
            }
        });
        outcome
    }
}

/// Runs `work` on so many threads and returns what each made; the first error stops them all.
fn on_threads<T: Send>(threads: usize, work: impl Fn(&AtomicBool) -> Result<T, Error> + Sync) -> Result<Vec<T>, Error> {
    let stop = AtomicBool::new(false);
    let made: Vec<Result<T, Error>> = thread::scope(|scope| {
        let one = || {
            let made = work(&stop);
            if made.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            made
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        handles.into_iter().map(|handle| handle.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    made.into_iter().collect()
}
