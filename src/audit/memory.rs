//! What the instance remembers of its chain, in one small file of the data folder: where the log is known to end, and the
//! entries that are about to be written.
//!
//! Entries are put here before they go to the log, and taken away when they stand there. So whatever moment a life is cut
//! short, the next one finishes what it began and knows exactly where the chain ends: what the log has beyond that, or
//! lacks of it, was somebody else's work. The price is that entries may stand in the log twice, which shows.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::chain::End;
use super::entry::{self, Entry, Record, hashes};

const FILE: &str = "audit.chain";
const KAFKA: &str = "audit-kafka.chain";

/// The file.
#[derive(Debug)]
pub struct Memory {
    folder: PathBuf,
    file: &'static str,
}

/// What it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The last entry that the log has for certain.
    pub end: Option<End>,
    /// Entries that follow it and are in the log or not.
    pub pending: Vec<Record>,
}

/// The first line of the file; each further line is an entry.
#[derive(Serialize, Deserialize)]
struct Head {
    end: Option<End>,
}

impl Memory {
    /// The memory of a data folder.
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: FILE }
    }

    /// The memory of a data folder for a log of Kafka: a start that is refused, because the folder is of the other log, must
    /// not end up in the chain of this one.
    pub fn of_kafka(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: KAFKA }
    }

    /// Reads it; nothing where there is no file.
    ///
    /// # Errors
    /// [`Error::Refused`] where it cannot be read or what it says cannot be: to begin anew is for people to decide.
    pub fn read(&self) -> Result<Remembered, Error> {
        let path = self.folder.join(self.file);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Remembered::default()),
            Err(error) => return Err(Error::Refused(format!("{}: {error}", path.display()))),
        };
        let mut lines = text.lines();
        let head = lines.next().and_then(|line| serde_json::from_str::<Head>(line).ok());
        let pending: Option<Vec<_>> = lines.map(pending).collect();
        let (Some(head), Some(pending)) = (head, pending) else {
            return Err(Error::Refused(format!(
                "{} is corrupt: look at it and move it away; the chain then begins anew, and `tributary audit verify` will \
                 say so",
                path.display()
            )));
        };
        Ok(Remembered { end: head.end, pending })
    }

    /// Writes it beside its name and renames it into place, durably.
    ///
    /// # Errors
    /// [`Error::Away`]: the disk may have room again later.
    pub fn keep(&self, end: Option<&End>, pending: &[Record]) -> Result<(), Error> {
        let path = self.folder.join(self.file);
        self.write(&path, end, pending).map_err(|error| Error::Away(format!("{}: {error}", path.display())))
    }

    fn write(&self, path: &Path, end: Option<&End>, pending: &[Record]) -> std::io::Result<()> {
        let draft = path.with_extension("chain.new");
        let mut options = OpenOptions::new();
        let mut file = BufWriter::new(options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?);
        serde_json::to_writer(&mut file, &Head { end: end.cloned() })?;
        file.write_all(b"\n")?;
        for record in pending {
            file.write_all(&record.value)?;
            file.write_all(b"\n")?;
        }
        file.into_inner()?.sync_data()?;
        fs::rename(&draft, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

/// An entry of the file, as the record that it becomes.
fn pending(line: &str) -> Option<Record> {
    let (has, told) = hashes(line.as_bytes())?;
    let entry: Entry = serde_json::from_str(line).ok()?;
    let record = Record { key: entry.actor.into_bytes(), value: line.as_bytes().to_vec() };
    (has == told).then_some(record)
}

/// The last of these records.
pub(super) fn end_of(records: &[Record]) -> Option<End> {
    let entry: entry::Entry = serde_json::from_slice(&records.last()?.value).ok()?;
    Some(End { chain: entry.chain, seq: entry.seq, hash: entry.hash })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::audit::chain::Chain;
    use crate::audit::{Action, Caller, Draft, Outcome};

    #[test]
    fn what_is_kept_is_read_and_what_is_spoiled_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::of(folder.path());
        assert_eq!(memory.read().unwrap(), Remembered::default());
        let mut chain = Chain::new("a", 1, None).unwrap();
        let draft = Draft::new(Caller::system(), Action::Start, "a\nb", Outcome::Done);
        let end = end_of(&[chain.seal(&draft, 1)]).unwrap();
        let pending = vec![chain.seal(&draft, 2), chain.seal(&draft, 3)];
        memory.keep(Some(&end), &pending).unwrap();
        assert_eq!(memory.read().unwrap(), Remembered { end: Some(end), pending });
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        for spoiled in [text.replacen("\"seq\":1", "\"seq\":9", 1), text.replacen("{\"end", "end", 1), "x".into()] {
            fs::write(&path, spoiled).unwrap();
            assert!(memory.read().unwrap_err().to_string().contains("corrupt"));
        }
    }
}
