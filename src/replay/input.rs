//! Inputs as blocks of whole lines, whatever they are packed in.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use super::Error;
use super::progress::{Counted, Progress};

/// The longest line, in bytes without its end.
pub const MAX_LINE: usize = 1 << 20;
/// How much is read at a time, unless a line is longer.
const BLOCK: usize = 256 << 10;
/// How much of an over-long line is kept for the dead letter.
const HEAD: usize = 1024;

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl From<&OsStr> for Input {
    /// As the command line names it: `-` is standard input.
    fn from(name: &OsStr) -> Self {
        if name == "-" { Self::Stdin } else { Self::File(name.into()) }
    }
}

impl fmt::Display for Input {
    /// The name, with control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::File(path) => f.write_str(&visible(&path.to_string_lossy())),
        }
    }
}

/// A text as it may be printed: control characters escaped.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

impl Input {
    /// Its size in bytes, where that can be known before reading.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|m| m.len()),
        }
    }

    fn open(&self, progress: &Progress) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Stdin => unpacked(Counted { inner: io::stdin(), progress: progress.clone() }),
            Self::File(path) => unpacked(Counted { inner: File::open(path)?, progress: progress.clone() }),
        }
    }
}

/// The content of a stream that may be packed with gzip or zstd, in one piece or several, by its first bytes.
fn unpacked(mut raw: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::with_capacity(4);
    raw.by_ref().take(4).read_to_end(&mut magic)?;
    let gzip = magic.starts_with(&[0x1f, 0x8b]);
    // A frame of zstd, or one to be skipped before it.
    let zstd = magic == [0x28, 0xb5, 0x2f, 0xfd] || matches!(*magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18]);
    let whole = io::Cursor::new(magic).chain(raw);
    Ok(match (gzip, zstd) {
        (true, _) => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        (_, true) => Box::new(zstd::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

/// What the lines of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Touchpoints,
    Conversions,
}

/// Some whole lines of one input, or the head of one line that is too long.
pub(super) struct Block {
    /// Blocks are numbered from 0 over all inputs.
    pub(super) number: u64,
    /// Which input, in the order given.
    pub(super) input: usize,
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
    /// Whether this is the head of one line longer than [`MAX_LINE`].
    pub(super) too_long: bool,
}

/// All inputs, block by block.
pub(super) struct Blocks<'i> {
    inputs: &'i [(Kind, &'i Input)],
    input: usize,
    number: u64,
    reader: Option<Box<dyn Read + Send>>,
    ended: bool,
    /// The begin of a line whose end was not read yet.
    carry: Vec<u8>,
    progress: &'i Progress,
}

impl<'i> Blocks<'i> {
    pub(super) fn new(inputs: &'i [(Kind, &'i Input)], progress: &'i Progress) -> Self {
        Self { inputs, input: 0, number: 0, reader: None, ended: false, carry: Vec::new(), progress }
    }

    /// The next block, in the room of an old one; none when all is read.
    pub(super) fn next(&mut self, mut bytes: Vec<u8>) -> Result<Option<Block>, Error> {
        loop {
            let Some((kind, input)) = self.inputs.get(self.input) else {
                return Ok(None);
            };
            let read = self.read(input, &mut bytes);
            let too_long = read.map_err(|source| Error::Input { input: (*input).clone(), source })?;
            let block = |bytes| Block { number: self.number, input: self.input, kind: *kind, bytes, too_long };
            let found = (!bytes.is_empty()).then(|| block(std::mem::take(&mut bytes)));
            if self.ended && self.carry.is_empty() {
                (self.reader, self.ended, self.input) = (None, false, self.input + 1);
            }
            if found.is_some() {
                self.number += 1;
                return Ok(found);
            }
        }
    }

    /// Reads whole lines, or the head of one that is too long and says so.
    fn read(&mut self, input: &Input, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(input.open(self.progress)?),
        };
        bytes.clear();
        bytes.append(&mut self.carry);
        let mut limit = BLOCK;
        loop {
            self.ended = self.ended || !fill(reader, bytes, limit)?;
            if let Some(end) = memchr::memrchr(b'\n', bytes) {
                self.carry.extend_from_slice(bytes.get(end + 1..).unwrap_or_default());
                bytes.truncate(end + 1);
                return Ok(false);
            }
            if self.ended {
                return Ok(false);
            }
            if limit > MAX_LINE {
                bytes.truncate(HEAD);
                self.ended = !skip_line(reader, &mut self.carry)?;
                return Ok(true);
            }
            limit = MAX_LINE + 1;
        }
    }
}

/// Reads until `bytes` has `limit`; false when the end came first.
fn fill(reader: &mut impl Read, bytes: &mut Vec<u8>, limit: usize) -> io::Result<bool> {
    let wanted = limit.saturating_sub(bytes.len());
    let read = reader.take(wanted as u64).read_to_end(bytes)?;
    Ok(read == wanted)
}

/// Reads on until a line has ended and leaves what comes after it in `rest`; false when the end came first.
fn skip_line(reader: &mut impl Read, rest: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        rest.clear();
        let more = fill(reader, rest, BLOCK / 4)?;
        if let Some(end) = memchr::memchr(b'\n', rest) {
            rest.drain(..=end);
            return Ok(more);
        }
        if !more {
            rest.clear();
            return Ok(false);
        }
    }
}
