//! The command line: arguments in, exit code out. Everything else is in the library.

mod cli;

use std::process::ExitCode;

/// One allocator for Rust and for RocksDB, whose C++ is where memory fragments.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
