//! A progress bar on a terminal, and nothing anywhere else.

use std::io::{self, IsTerminal, Read};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how far a replay is, on standard error.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar where standard error is a terminal, nothing where it is not.
    pub fn on_terminal() -> Self {
        if !io::stderr().is_terminal() {
            return Self::none();
        }
        Self { bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)) }
    }

    /// No progress is shown.
    pub fn none() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// Begins to read, `total` bytes where that is known.
    pub(super) fn reading(&self, total: Option<u64>) {
        match total {
            Some(total) => {
                self.begin("reading    {bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left", total)
            }
            None => self.begin("reading    {spinner} {bytes}, {bytes_per_sec}", 0),
        }
    }

    /// Begins to credit so many buckets of users.
    pub(super) fn crediting(&self, buckets: u64) {
        self.begin("crediting  {bar:40} {percent} %", buckets);
    }

    /// Begins to write so many bytes.
    pub(super) fn writing(&self, total: u64) {
        self.begin("writing    {bar:40} {bytes} of {total_bytes}, {eta} left", total);
    }

    /// So much more is done.
    pub(super) fn add(&self, amount: u64) {
        self.bar.inc(amount);
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Runs `print` while the bar is out of its way.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    fn begin(&self, template: &str, length: u64) {
        self.bar.reset();
        self.bar.set_length(length);
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }
}

/// Counts what is read as progress.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

/// Counts what is written as progress.
pub(super) struct Advancing<'p, W> {
    pub(super) inner: W,
    pub(super) progress: &'p Progress,
}

impl<W: io::Write> io::Write for Advancing<'_, W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.progress.add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
