//! Where rows and dead letters go: a standard stream, or a file that is there only once it is whole.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Error;
use super::input::visible;

const BUFFER: usize = 256 << 10;

/// A file that is written, or a stream.
pub(super) enum Output {
    Stdout(BufWriter<io::Stdout>),
    /// A neighbour of the file, renamed to it at the end.
    Neighbour {
        out: BufWriter<tempfile::NamedTempFile>,
        path: PathBuf,
    },
    /// Something that is no file (a device, a pipe), which must not be replaced.
    Device {
        out: BufWriter<File>,
        path: PathBuf,
    },
}

impl Output {
    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self::Stdout(BufWriter::with_capacity(BUFFER, io::stdout()))
    }

    /// A file at `path`, which is made or replaced by [`Self::finish`].
    pub(super) fn file(path: &Path) -> Result<Self, Error> {
        // Through a link, what it leads to is replaced.
        let path = path.canonicalize().unwrap_or_else(|_| path.into());
        let error = |source| Error::Output { target: visible(&path.to_string_lossy()), source };
        if path.metadata().is_ok_and(|m| !m.is_file()) {
            let out = File::options().write(true).open(&path).map_err(error)?;
            return Ok(Self::Device { out: BufWriter::with_capacity(BUFFER, out), path });
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".tributary-").suffix(".part");
        let as_usual = usual_permissions();
        if let Some(permissions) = as_usual {
            builder.permissions(permissions);
        }
        let neighbour = builder.tempfile_in(folder(&path)).map_err(error)?;
        Ok(Self::Neighbour { out: BufWriter::with_capacity(BUFFER, neighbour), path })
    }

    /// Flushes, and puts the file in its place.
    pub(super) fn finish(self) -> Result<(), Error> {
        let target = self.target();
        let finished = match self {
            Self::Stdout(mut out) => out.flush(),
            Self::Device { mut out, .. } => out.flush(),
            Self::Neighbour { out, path } => match out.into_inner() {
                Ok(file) => file.persist(path).map(drop).map_err(|e| e.error),
                Err(error) => Err(error.into_error()),
            },
        };
        finished.map_err(|source| Error::Output { target, source })
    }

    /// What it is, for an error.
    pub(super) fn error(&self, source: io::Error) -> Error {
        Error::Output { target: self.target(), source }
    }

    fn target(&self) -> String {
        match self {
            Self::Stdout(_) => "standard output".into(),
            Self::Neighbour { path, .. } | Self::Device { path, .. } => visible(&path.to_string_lossy()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::Neighbour { out, .. } => out.write(bytes),
            Self::Device { out, .. } => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::Neighbour { out, .. } => out.flush(),
            Self::Device { out, .. } => out.flush(),
        }
    }
}

/// The folder that a file is or will be in.
pub(super) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        _ => PathBuf::from("."),
    }
}

/// What any new file gets: all may read and write, less what the process masks.
#[cfg(unix)]
fn usual_permissions() -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn usual_permissions() -> Option<Permissions> {
    None
}
