//! `tributary check`.

use tributary::app::checks::{self, Line};

use super::{ConfigArgs, Exit, Outcome};

/// Look at everything that a run needs before the first record: configuration, data folder, broker, topics, permissions,
/// API keys, registry
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tributary check --config tributary.toml

Each line is ok, or says what to do; a warning is what `run` would start with all the same. Nothing of state and log is
locked or written, so it may be asked beside a running instance. The exit code is 4 where something is to be done, 5 where the broker or the registry does not answer; where `run`
would end because of a file or the data folder it is the one of `run`: 3, 5 for a file of Kafka's client, or 6 for a
state or log that it would refuse.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Looks at everything.
pub fn run(args: &Args) -> Outcome {
    let config = args.config.load()?;
    println!("ok       configuration: {}", config.core_rules().map(|rules| rules.canonical()).unwrap_or_default());
    Ok(print(&checks::everything(&config)))
}

/// Prints what was found, and says whether all is well.
pub(super) fn print(lines: &[Line]) -> Exit {
    for line in lines {
        println!("{line}");
    }
    let refused = lines.iter().find_map(Line::refusal);
    refused.map_or_else(|| Exit::from(lines.iter().all(Line::is_ok)), Exit::from)
}
