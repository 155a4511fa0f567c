//! `tributary audit`.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use tributary::app::audit::verify;

use super::{ConfigArgs, Exit, Outcome, tail};

/// The audit log: who did what
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example: tributary audit verify --config tributary.toml")]
pub enum Command {
    /// Read the whole audit log and say what was removed, altered, moved or put in
    #[command(after_help = "Example: tributary audit verify --config tributary.toml

Each finding is a line: the chain (one life of one process), the number of the entry in it, and what is wrong. Notes, which
honest stories have too, end in (note). The exit code is 0 when there is nothing but notes, 4 when there is, 5 when the log
cannot be read to its end. Last come the newest entry of each instance and its hash: kept elsewhere, they show later that
nothing up to there was rewritten. On the embedded log, entries come from the running instance; where none runs, from its
folder.")]
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
pub struct Verify {
    #[command(flatten)]
    config: ConfigArgs,
    /// The data folder of an instance on the embedded log, instead of the configuration's
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// Reads it back.
pub fn run(command: &Command) -> Outcome {
    let Command::Verify(args) = command;
    let config = tail::config(args.data_dir.as_deref(), &args.config)?;
    let mut out = BufWriter::new(stdout().lock());
    let mut told = Ok(());
    let read = verify::run(&config, &mut |finding| {
        if told.is_ok() {
            told = writeln!(out, "{finding}");
        }
    });
    told?;
    out.flush()?;
    let summary = read?;
    for end in &summary.ends {
        eprintln!("newest: {} {} {}", end.chain.escape_debug(), end.seq, end.hash);
    }
    eprintln!(
        "{} entries in {} chains: {} differences, {} notes",
        summary.entries, summary.chains, summary.differences, summary.notes
    );
    Ok(if summary.differences > 0 { Exit::Differences } else { Exit::Done })
}
