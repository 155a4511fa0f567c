//! The chain against whoever meddles with it, and the writer against a log that is away.

mod meddling;
mod retention;
mod story;
mod writing;
