//! Sorted runs of rows, and their merge.
//!
//! An entry is all rows of one conversion, written out as they go to the output. It is sorted by (key, user_id), where the
//! key is what the ids of its rows begin with (`order`). Of one conversion id under several users, which breaks the
//! contract, the least user's entry stands, so that the output has no id twice and is the same for any memory.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::{Mutex, PoisonError};

use crate::codec::json;
use crate::core::Row;
use crate::seal;

use super::bucket::Folder;
use super::{Error, order};

/// How many runs are merged into one of the next level, so that each row is written again once a level only.
const FAN_IN: usize = 64;
/// Each file that is read or written has one.
const BUFFER: usize = 32 << 10;
const HEADER: usize = 20;

/// Runs that went to files.
pub(super) struct Runs {
    /// By level; fewer than [`FAN_IN`] on each.
    levels: Mutex<Vec<Vec<Run>>>,
    folder: Folder,
}

struct Run {
    file: seal::Writer,
    /// Entries dropped while it was made, for a lesser user's entry.
    dropped: u64,
}

/// Collects entries and sorts them, up to a limit of bytes.
pub(super) struct Sorter<'r> {
    runs: &'r Runs,
    limit: usize,
    sorted: Sorted,
}

/// Entries in memory.
#[derive(Default)]
pub(super) struct Sorted {
    arena: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    key: usize,
    user: usize,
    rows: usize,
    end: usize,
    count: u32,
}

impl Sorted {
    fn slice(&self, from: usize, to: usize) -> &[u8] {
        self.arena.get(from..to).unwrap_or_default()
    }

    fn sort(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        let place = |e: &Entry| (self.slice(e.key, e.user), self.slice(e.user, e.rows));
        entries.sort_unstable_by(|a, b| place(a).cmp(&place(b)));
        entries.reverse(); // read from the end
        self.entries = entries;
    }

    /// The size of what is in it, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.arena.len() as u64
    }
}

impl<'r> Sorter<'r> {
    /// Adds the rows of one conversion, sorted by id. No rows are no entry.
    pub(super) fn add(&mut self, rows: &[Row<'_>]) -> Result<(), Error> {
        let Some(first) = rows.first() else { return Ok(()) };
        let Sorted { arena, entries } = &mut self.sorted;
        let key = arena.len();
        order::write_key(first, arena);
        let user = arena.len();
        arena.extend_from_slice(first.user_id.as_bytes());
        let start = arena.len();
        for row in rows {
            json::write_row(row, arena);
            arena.push(b'\n');
        }
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        entries.push(Entry { key, user, rows: start, end: arena.len(), count });
        if arena.len() > self.limit { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), Error> {
        self.sorted.sort();
        let sorted =
            Sorted { arena: std::mem::take(&mut self.sorted.arena), entries: std::mem::take(&mut self.sorted.entries) };
        let room = self.runs.add(sorted)?;
        self.sorted.arena = room;
        Ok(())
    }

    /// What did not go to files, sorted.
    pub(super) fn finish(mut self) -> Sorted {
        self.sorted.sort();
        self.sorted
    }
}

impl Runs {
    pub(super) fn new(folder: &Folder) -> Self {
        Self { levels: Mutex::default(), folder: folder.clone() }
    }

    /// A sorter that moves a run to a file once it has more than `limit` bytes.
    pub(super) fn sorter(&self, limit: usize) -> Sorter<'_> {
        Sorter { runs: self, limit, sorted: Sorted::default() }
    }

    /// Writes a run to a file and returns its empty arena.
    fn add(&self, sorted: Sorted) -> Result<Vec<u8>, Error> {
        let mut source = Source::Memory(sorted);
        let run = self.write(|out| {
            let mut next = Cursor::default();
            while source.next(&mut next)? {
                next.write_header(out)?;
                source.copy(&next, out)?;
            }
            Ok(0)
        })?;
        self.file(run)?;
        let Source::Memory(Sorted { mut arena, .. }) = source else {
            return Ok(Vec::new());
        };
        arena.clear();
        Ok(arena)
    }

    /// Puts a run beside those of its level; when there are enough, one of the next level comes of them.
    fn file(&self, mut run: Run) -> Result<(), Error> {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        for level in levels.iter_mut() {
            level.push(run);
            if level.len() < FAN_IN {
                return Ok(());
            }
            let many = std::mem::take(level);
            run = self.write(|out| {
                let earlier: u64 = many.iter().map(|run| run.dropped).sum();
                let sources = many.into_iter().map(Source::open).collect::<io::Result<Vec<_>>>()?;
                let dropped = merge(sources, |source, next| {
                    next.write_header(out)?;
                    source.copy(next, out)
                })?;
                Ok(earlier + dropped)
            })?;
        }
        levels.push(vec![run]);
        Ok(())
    }

    fn write(&self, fill: impl FnOnce(&mut BufWriter<seal::Writer>) -> io::Result<u64>) -> Result<Run, Error> {
        let mut out = BufWriter::with_capacity(BUFFER, self.folder.file()?);
        let dropped = fill(&mut out).map_err(|e| self.folder.error(e))?;
        let file = out.into_inner().map_err(|e| self.folder.error(e.into_error()))?;
        Ok(Run { file, dropped })
    }

    /// The bytes that lie in files.
    pub(super) fn bytes(&self) -> u64 {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        levels.iter().flatten().map(|run| run.file.written()).sum()
    }

    /// Merges all runs, with those that stayed in memory, into `out`. Returns (rows written, entries dropped for a lesser
    /// user's). An error is of `out` where `of_output` was set by it.
    pub(super) fn merge(self, memory: Vec<Sorted>, out: &mut impl Write) -> Result<(u64, u64), MergeError> {
        let levels = self.levels.into_inner().unwrap_or_else(PoisonError::into_inner);
        let files: Vec<Run> = levels.into_iter().flatten().collect();
        let earlier: u64 = files.iter().map(|run| run.dropped).sum();
        let opened = files.into_iter().map(Source::open).collect::<io::Result<Vec<_>>>();
        let mut sources = opened.map_err(|e| MergeError::Temporary(self.folder.error(e)))?;
        sources.extend(memory.into_iter().map(Source::Memory));
        let mut written = 0;
        let mut refused = None;
        let merged = merge(sources, |source, next| {
            written += u64::from(next.count);
            let mut out = Watched { inner: &mut *out, refused: &mut refused };
            source.copy(next, &mut out)
        });
        match (merged, refused) {
            (Ok(dropped), _) => Ok((written, earlier + dropped)),
            (Err(_), Some(error)) => Err(MergeError::Output(error)),
            (Err(error), None) => Err(MergeError::Temporary(self.folder.error(error))),
        }
    }
}

/// Whose fault it is that a merge failed.
pub(super) enum MergeError {
    Output(io::Error),
    Temporary(Error),
}

/// Keeps the error of a writer apart from that of what is copied into it.
struct Watched<'w, W> {
    inner: &'w mut W,
    refused: &'w mut Option<io::Error>,
}

impl<W: Write> Write for Watched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                *self.refused = Some(error);
            }
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Where a source stands: before the rows of this entry.
#[derive(Default)]
struct Cursor {
    key: Vec<u8>,
    user: Vec<u8>,
    count: u32,
    bytes: u64,
}

impl Cursor {
    fn write_header(&self, out: &mut impl Write) -> io::Result<()> {
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
        out.write_all(&length(&self.key))?;
        out.write_all(&length(&self.user))?;
        out.write_all(&self.count.to_le_bytes())?;
        out.write_all(&self.bytes.to_le_bytes())?;
        out.write_all(&self.key)?;
        out.write_all(&self.user)
    }
}

/// A run that is read entry by entry.
enum Source {
    Memory(Sorted),
    File { reader: BufReader<seal::Reader>, left: u64 },
}

impl Source {
    fn open(run: Run) -> io::Result<Self> {
        let left = run.file.written();
        Ok(Self::File { reader: BufReader::with_capacity(BUFFER, run.file.into_reader()?), left })
    }

    /// Goes to the next entry; false when there is none. Its rows must be copied or skipped before the one after it.
    fn next(&mut self, cursor: &mut Cursor) -> io::Result<bool> {
        cursor.key.clear();
        cursor.user.clear();
        match self {
            Self::Memory(sorted) => {
                let Some(entry) = sorted.entries.last() else {
                    return Ok(false);
                };
                cursor.key.extend_from_slice(sorted.slice(entry.key, entry.user));
                cursor.user.extend_from_slice(sorted.slice(entry.user, entry.rows));
                (cursor.count, cursor.bytes) = (entry.count, (entry.end - entry.rows) as u64);
                Ok(true)
            }
            Self::File { left: 0, .. } => Ok(false),
            Self::File { reader, left } => {
                let mut header = [0; HEADER];
                reader.read_exact(&mut header)?;
                let [k0, k1, k2, k3, u0, u1, u2, u3, c0, c1, c2, c3, b @ ..] = header;
                let key = u64::from(u32::from_le_bytes([k0, k1, k2, k3]));
                let user = u64::from(u32::from_le_bytes([u0, u1, u2, u3]));
                cursor.count = u32::from_le_bytes([c0, c1, c2, c3]);
                cursor.bytes = u64::from_le_bytes(b);
                reader.take(key).read_to_end(&mut cursor.key)?;
                reader.take(user).read_to_end(&mut cursor.user)?;
                *left = left.saturating_sub(HEADER as u64 + key + user + cursor.bytes);
                Ok(true)
            }
        }
    }

    /// Copies the rows of the entry that it stands before.
    fn copy(&mut self, cursor: &Cursor, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Memory(sorted) => {
                let Some(entry) = sorted.entries.pop() else {
                    return Ok(());
                };
                out.write_all(sorted.slice(entry.rows, entry.end))
            }
            Self::File { reader, .. } => {
                let copied = io::copy(&mut reader.take(cursor.bytes), out)?;
                if copied == cursor.bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            }
        }
    }
}

/// Calls `take` with each entry of all sources in order, the least user's of one key. Returns how many were dropped.
fn merge(sources: Vec<Source>, mut take: impl FnMut(&mut Source, &Cursor) -> io::Result<()>) -> io::Result<u64> {
    let mut heap = BinaryHeap::new();
    for mut source in sources {
        let mut cursor = Cursor::default();
        if source.next(&mut cursor)? {
            heap.push(Head { cursor, source });
        }
    }
    let (mut last, mut dropped) = (Vec::new(), 0);
    while let Some(mut head) = heap.pop() {
        if last == head.cursor.key {
            dropped += 1;
            head.source.copy(&head.cursor, &mut io::sink())?;
        } else {
            last.clone_from(&head.cursor.key);
            take(&mut head.source, &head.cursor)?;
        }
        if head.source.next(&mut head.cursor)? {
            heap.push(head);
        }
    }
    Ok(dropped)
}

struct Head {
    cursor: Cursor,
    source: Source,
}

impl Ord for Head {
    /// Reversed: the heap gives the greatest, wanted is the least.
    fn cmp(&self, other: &Self) -> Ordering {
        (&other.cursor.key, &other.cursor.user).cmp(&(&self.cursor.key, &self.cursor.user))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}
