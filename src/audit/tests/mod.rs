//! The chain against whoever meddles with it, and the writer against a log that is away.

mod meddling;
mod remarks;
mod retention;
mod stopping;
mod story;
mod writing;
