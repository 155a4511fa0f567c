//! `tributary tail`.

use std::io::{BufWriter, stdout};
use std::path::{Path, PathBuf};

use tributary::app::tail;
use tributary::config::{Config, LogKind};

use super::{ConfigArgs, Exit, Failure, Outcome};

/// Print the rows as they come, one JSON object a line
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tributary tail --config tributary.toml --from beginning | jq .channel

A row that was deleted shows as {\"row_id\":…,\"deleted\":true}. On the embedded log, rows come from the running instance;
where none runs, those that are there are printed.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The data folder of an instance on the embedded log, instead of the configuration's
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Where to begin
    #[arg(long, value_enum, default_value_t = From::End)]
    from: From,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum From {
    /// With the oldest rows that are still there
    Beginning,
    /// With the next one
    End,
}

/// Prints until interrupted.
pub fn run(args: &Args) -> Outcome {
    let config = config(args.data_dir.as_deref(), &args.config)?;
    tail::run(&config, args.from == From::Beginning, &mut BufWriter::new(stdout().lock()))?;
    Ok(Exit::Done)
}

/// The configuration, or that of an embedded log in this folder.
pub(super) fn config(data_dir: Option<&Path>, args: &ConfigArgs) -> Result<Config, Failure> {
    let Some(folder) = data_dir else { return args.load() };
    let mut config = Config::default();
    config.log.kind = LogKind::Embedded;
    config.engine.data_dir = folder.to_owned();
    Ok(config)
}
