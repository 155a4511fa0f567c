//! Temporary files that are written once and read once, each sealed under a key that nobody keeps: a disk that is taken away
//! holds nothing that any key opens.
//!
//! A sealed file is a row of frames: length 4, then up to [`FRAME`] bytes as one sealed value, whose place is the frame's
//! number.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use secrecy::zeroize::Zeroizing;

use super::Error;
use super::envelope::{DataKey, OVERHEAD, SECRET, Sealed};

/// The most bytes of one frame.
const FRAME: usize = 32 << 10;

/// A temporary file that is being written. Give it large pieces: each becomes a frame.
pub struct Writer {
    file: File,
    key: Option<DataKey>,
    frames: u64,
    written: u64,
    room: Vec<u8>,
}

/// A temporary file that is read from its beginning.
pub struct Reader {
    file: File,
    key: Option<DataKey>,
    frames: u64,
    /// The frame that is being read, and how much of it was.
    room: Vec<u8>,
    read: usize,
}

impl Writer {
    /// Writes into an empty file, as it is or sealed.
    ///
    /// # Errors
    /// Where there are no random bytes to be had.
    pub fn new(file: File, sealed: bool) -> io::Result<Self> {
        let key = if sealed { Some(throwaway().map_err(io::Error::other)?) } else { None };
        Ok(Self { file, key, frames: 0, written: 0, room: Vec::new() })
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// Those of the file.
    pub fn into_reader(mut self) -> io::Result<Reader> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(Reader { file: self.file, key: self.key, frames: 0, room: Vec::new(), read: 0 })
    }
}

fn throwaway() -> Result<DataKey, Error> {
    let mut secret = Zeroizing::new([0; SECRET]);
    let filled = getrandom::fill(secret.as_mut_slice());
    filled.map_err(|error| Error::Unable(format!("no random bytes to be had: {error}")))?;
    DataKey::new(0, &secret)
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &self.key {
            None => self.file.write(bytes)?,
            Some(key) => {
                let piece = bytes.get(..bytes.len().min(FRAME)).unwrap_or_default();
                let length = u32::try_from(piece.len() + OVERHEAD).map_err(io::Error::other)?;
                self.room.clear();
                self.room.extend_from_slice(&length.to_le_bytes());
                key.seal(&self.frames.to_be_bytes(), piece, &mut self.room).map_err(io::Error::other)?;
                self.file.write_all(&self.room)?;
                self.frames += 1;
                piece.len()
            }
        };
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Reader {
    /// Reads the next frame; false at the end of the file.
    fn next(&mut self, frame: &mut Vec<u8>) -> io::Result<bool> {
        let Some(key) = &self.key else { return Ok(false) };
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        let length = u64::from(u32::from_le_bytes(length)).min((FRAME + OVERHEAD) as u64);
        frame.clear();
        Read::by_ref(&mut self.file).take(length).read_to_end(frame)?;
        self.room.clear();
        self.read = 0;
        let sealed = Sealed::parse(frame).map_err(io::Error::other)?;
        key.open(&self.frames.to_be_bytes(), &sealed, &mut self.room).map_err(io::Error::other)?;
        self.frames += 1;
        Ok(true)
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.key.is_none() {
            return self.file.read(into);
        }
        if self.read == self.room.len() && !into.is_empty() && !self.next(&mut Vec::new())? {
            return Ok(0);
        }
        let rest = self.room.get(self.read..).unwrap_or_default();
        let length = rest.len().min(into.len());
        into.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.read += length;
        Ok(length)
    }
}
