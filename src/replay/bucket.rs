//! Buckets: the records of events by the hash of their user, in memory while small, in temporary files beyond.
//!
//! A record is framed as hash of the user (8 bytes), occurred_at (8), kind (1), length (4), all little-endian, then the
//! stored form of `codec::record`. Their order in a bucket means nothing: a journey is a set.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::codec::record;
use crate::core::event::ConversionEvent;
use crate::core::{Millis, Touchpoint};
use crate::seal;

use super::Error;
use super::user::Events;

const FRAME: usize = 8 + 8 + 1 + 4;
const TOUCHPOINT: u8 = 0;
const CONVERSION: u8 = 1;
const ADJUSTMENT: u8 = 2;

/// The folder of temporary files. They have no name in it.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Whether they are sealed.
    pub(super) sealed: bool,
}

impl Folder {
    pub(super) fn file(&self) -> Result<seal::Writer, Error> {
        let file = tempfile::tempfile_in(&self.path).and_then(|file| seal::Writer::new(file, self.sealed));
        file.map_err(|e| self.error(e))
    }

    pub(super) fn error(&self, source: io::Error) -> Error {
        Error::Temporary { folder: super::input::visible(&self.path.to_string_lossy()), source }
    }
}

/// A power of two of buckets, chosen by some bits of the user's hash.
pub(super) struct Buckets {
    buckets: Vec<Mutex<Bucket>>,
    /// How many high bits of the hash were used to get here.
    used: u32,
    bits: u32,
    folder: Folder,
}

/// The records of some users.
#[derive(Default)]
pub(super) struct Bucket {
    memory: Vec<Vec<u8>>,
    file: Option<seal::Writer>,
}

impl Buckets {
    /// 2^`bits` empty buckets for records whose hashes agree in their highest `used` bits.
    pub(super) fn new(bits: u32, used: u32, folder: &Folder) -> Self {
        let buckets = (0..1usize << bits).map(|_| Mutex::default()).collect();
        Self { buckets, used, bits, folder: folder.clone() }
    }

    /// A writer of its own for one thread, which holds `limit` bytes before it moves them to files.
    pub(super) fn writer(&self, limit: usize) -> Writer<'_> {
        let buffers = self.buckets.iter().map(|_| Vec::new()).collect();
        Writer { buckets: self, buffers, held: 0, limit }
    }

    /// The filled buckets.
    pub(super) fn into_buckets(self) -> Vec<Bucket> {
        self.buckets.into_iter().map(|b| b.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    fn place(&self, hash: u64) -> usize {
        let rest = hash.wrapping_shl(self.used);
        usize::try_from(rest >> (u64::BITS - self.bits)).unwrap_or_default()
    }
}

/// Adds records to buckets, through buffers of its own.
pub(super) struct Writer<'b> {
    buckets: &'b Buckets,
    buffers: Vec<Vec<u8>>,
    held: usize,
    limit: usize,
}

impl Writer<'_> {
    pub(super) fn touchpoint(&mut self, t: &Touchpoint<'_>) -> Result<(), Error> {
        self.add(hash(t.user_id), t.occurred_at, TOUCHPOINT, |out| record::encode_touchpoint(t, out))
    }

    pub(super) fn conversion(&mut self, event: &ConversionEvent<'_>) -> Result<(), Error> {
        let hash = hash(event.user_id());
        match event {
            ConversionEvent::Conversion(c) => {
                self.add(hash, c.occurred_at, CONVERSION, |out| record::encode_conversion(c, out))
            }
            ConversionEvent::Adjustment(a) => {
                self.add(hash, a.occurred_at, ADJUSTMENT, |out| record::encode_adjustment(a, out))
            }
        }
    }

    fn add(&mut self, hash: u64, at: Millis, kind: u8, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        let place = self.buckets.place(hash);
        let Some(buffer) = self.buffers.get_mut(place) else {
            return Ok(());
        };
        let before = buffer.len();
        buffer.extend_from_slice(&hash.to_le_bytes());
        buffer.extend_from_slice(&at.to_le_bytes());
        buffer.push(kind);
        let length = buffer.len();
        buffer.extend_from_slice(&[0; 4]);
        encode(buffer);
        let encoded = u32::try_from(buffer.len() - length - 4).unwrap_or(u32::MAX); // a record has at most 5 KiB
        if let Some(room) = buffer.get_mut(length..length + 4) {
            room.copy_from_slice(&encoded.to_le_bytes());
        }
        self.held += buffer.len() - before;
        if self.held > self.limit { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<(), Error> {
        for (buffer, bucket) in self.buffers.iter_mut().zip(&self.buckets.buckets) {
            if buffer.is_empty() {
                continue;
            }
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.append(buffer, &self.buckets.folder)?;
            buffer.clear();
        }
        self.held = 0;
        Ok(())
    }

    /// Leaves what was not moved to files in the memory of the buckets.
    pub(super) fn finish(self) {
        for (buffer, bucket) in self.buffers.into_iter().zip(&self.buckets.buckets) {
            if !buffer.is_empty() {
                bucket.lock().unwrap_or_else(PoisonError::into_inner).memory.push(buffer);
            }
        }
    }
}

impl Bucket {
    fn append(&mut self, records: &[u8], folder: &Folder) -> Result<(), Error> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(folder.file()?),
        };
        file.write_all(records).map_err(|e| folder.error(e))
    }

    fn file_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, seal::Writer::written)
    }

    /// Its records' size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.file_bytes() + self.memory.iter().map(|chunk| chunk.len() as u64).sum::<u64>()
    }

    /// Its records by 2^`bits` smaller buckets, without holding more than `limit` bytes of them that lie in a file.
    pub(super) fn split(self, bits: u32, used: u32, limit: usize, folder: &Folder) -> Result<Vec<Self>, Error> {
        let buckets = Buckets::new(bits, used, folder);
        let mut writer = buckets.writer(limit);
        let mut again = |hash, at, kind, record: &[u8]| writer.add(hash, at, kind, |out| out.extend_from_slice(record));
        for chunk in self.memory {
            let mut rest = chunk.as_slice();
            while let Some((hash, at, kind, record)) = next(&mut rest) {
                again(hash, at, kind, record)?;
            }
        }
        if let Some(file) = self.file {
            let (mut left, mut record) = (file.written(), Vec::new());
            let mut reader = BufReader::with_capacity(64 << 10, file.into_reader().map_err(|e| folder.error(e))?);
            while left > 0 {
                let (hash, at, kind, length) = read_frame(&mut reader).map_err(|e| folder.error(e))?;
                record.clear();
                let read = reader.by_ref().take(u64::from(length)).read_to_end(&mut record);
                read.map_err(|e| folder.error(e))?;
                again(hash, at, kind, &record)?;
                left = left.saturating_sub(FRAME as u64 + u64::from(length));
            }
        }
        writer.finish();
        Ok(buckets.into_buckets())
    }

    /// All its records in memory.
    pub(super) fn load(mut self, folder: &Folder) -> Result<Records, Error> {
        if let Some(file) = self.file.take() {
            let mut chunk = Vec::with_capacity(usize::try_from(file.written()).unwrap_or_default());
            let read = file.into_reader().and_then(|mut file| file.read_to_end(&mut chunk));
            read.map_err(|e| folder.error(e))?;
            self.memory.push(chunk);
        }
        Ok(Records(self.memory))
    }
}

/// The records of a bucket.
pub(super) struct Records(Vec<Vec<u8>>);

impl Records {
    /// Calls `each` with the events of one user after the other.
    pub(super) fn users<'a>(&'a self, mut each: impl FnMut(&mut Events<'a>) -> Result<(), Error>) -> Result<(), Error> {
        let mut index: Vec<(u64, &'a [u8])> = Vec::new();
        for chunk in &self.0 {
            let mut rest = chunk.as_slice();
            loop {
                let here = rest;
                let Some((hash, ..)) = next(&mut rest) else { break };
                index.push((hash, here));
            }
        }
        index.sort_unstable_by_key(|(hash, _)| *hash);
        let mut events = Events::default();
        for user in index.chunk_by(|(a, _), (b, _)| a == b) {
            events.clear();
            for (_, framed) in user {
                decode(framed, &mut events)?;
            }
            if events.is_of_one_user() {
                each(&mut events)?;
                continue;
            }
            let ids: BTreeSet<&str> = events.user_ids().collect();
            ids.into_iter().try_for_each(|id| each(&mut events.of(id)))?;
        }
        Ok(())
    }
}

fn decode<'a>(mut framed: &'a [u8], events: &mut Events<'a>) -> Result<(), Error> {
    let Some((_, at, kind, bytes)) = next(&mut framed) else {
        return Ok(());
    };
    match kind {
        TOUCHPOINT => events.touchpoints.push(record::decode_touchpoint(at, bytes)?),
        CONVERSION => events.conversions.push(record::decode_conversion(at, bytes)?),
        _ => events.adjustments.push(record::decode_adjustment(at, bytes)?),
    }
    Ok(())
}

/// Nothing depends on the hash but where a record lies meanwhile, so any good one will do.
fn hash(user_id: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(user_id.as_bytes())
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, Millis, u8, &'a [u8])> {
    let (frame, after) = rest.split_at_checked(FRAME)?;
    let (hash, at, kind, length) = parts(frame.try_into().ok()?);
    let (record, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some((hash, at, kind, record))
}

fn read_frame(reader: &mut impl Read) -> io::Result<(u64, Millis, u8, u32)> {
    let mut frame = [0; FRAME];
    reader.read_exact(&mut frame)?;
    Ok(parts(frame))
}

fn parts(frame: [u8; FRAME]) -> (u64, Millis, u8, u32) {
    let [h0, h1, h2, h3, h4, h5, h6, h7, t0, t1, t2, t3, t4, t5, t6, t7, kind, l0, l1, l2, l3] = frame;
    (
        u64::from_le_bytes([h0, h1, h2, h3, h4, h5, h6, h7]),
        i64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
        kind,
        u32::from_le_bytes([l0, l1, l2, l3]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::DEFAULT_INTERACTION;

    fn touchpoint(event_id: &'static str, user_id: &'static str) -> Touchpoint<'static> {
        Touchpoint {
            event_id,
            user_id,
            occurred_at: 5,
            channel: None,
            interaction: DEFAULT_INTERACTION,
            source: None,
            medium: None,
            campaign: None,
            content: None,
            term: None,
            cost_micros: None,
            currency: None,
            milestone: None,
        }
    }

    /// Users whose hashes are the same, with too little memory for one record, through a split.
    #[test]
    fn users_are_told_apart_by_more_than_their_hash() {
        let folder = Folder { path: std::env::temp_dir(), sealed: true };
        let sent = [touchpoint("a", "u1"), touchpoint("b", "u2"), touchpoint("c", "u1"), touchpoint("d", "u3")];
        let buckets = Buckets::new(2, 0, &folder);
        let mut writer = buckets.writer(0);
        for t in &sent {
            let hash = if t.user_id == "u3" { 0 } else { u64::MAX };
            writer.add(hash, t.occurred_at, TOUCHPOINT, |out| record::encode_touchpoint(t, out)).unwrap();
        }
        writer.finish();
        let sizes: Vec<_> = buckets.buckets.iter().map(|b| b.lock().unwrap().file_bytes() > 0).collect();
        assert_eq!(sizes, [true, false, false, true]);
        let mut found = Vec::new();
        for bucket in buckets.into_buckets() {
            let bytes = bucket.bytes();
            let smaller = bucket.split(4, 2, 1, &folder).unwrap();
            assert_eq!(smaller.iter().map(Bucket::bytes).sum::<u64>(), bytes);
            for bucket in smaller {
                let records = bucket.load(&folder).unwrap();
                let each = |events: &mut Events<'_>| {
                    let mut ids: Vec<_> = events.touchpoints.iter().map(|t| t.event_id.to_owned()).collect();
                    ids.sort();
                    found.push((events.touchpoints[0].user_id.to_owned(), ids.concat()));
                    Ok(())
                };
                records.users(each).unwrap();
            }
        }
        found.sort();
        assert_eq!(found, [("u1", "ac"), ("u2", "b"), ("u3", "d")].map(|(u, ids)| (u.to_owned(), ids.to_owned())));
    }
}
