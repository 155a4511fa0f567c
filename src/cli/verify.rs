//! `tributary verify`.

use tributary::app::verify;

use super::{ConfigArgs, Exit, Outcome};

/// Compare the compacted output of each partition with what its state answers
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tributary verify --config tributary.toml

It works on the data folder of an instance that was stopped cleanly, with no other instance of the group running. Each
difference is a line: missing (the state answers it, the log has it not), differs, or extra. The exit code is 4 where
there are some; --repair emits them again, in transactions with the group's offsets.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Emit what differs again
    #[arg(long)]
    repair: bool,
}

/// Compares every partition of the data folder.
pub fn run(args: &Args) -> Outcome {
    let config = args.config.load()?;
    let found = verify::run(&config, args.repair, &mut |partition, wrong, row_id| {
        println!("partition {partition} {} {row_id}", wrong.name());
    })?;
    let done = if args.repair { ", emitted again" } else { "" };
    eprintln!("{} rows of {} partitions: {} differences{done}", found.rows, found.partitions, found.differences);
    Ok(if found.differences > 0 { Exit::Differences } else { Exit::Done })
}
