//! `tributary replay`.

use std::ffi::OsString;
use std::path::PathBuf;

use tributary::config::Config;
use tributary::config::units::Size;
use tributary::core::Rules;
use tributary::replay::{self, Input, Progress, Request};

use super::{ConfigArgs, Exit, Failure, Outcome};

/// Compute the final rows of event files in one batch pass: no broker, no state kept, bounded memory
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: tributary replay --touchpoints touchpoints.ndjson.zst --conversions conversions.ndjson.gz --output rows.ndjson

Inputs are NDJSON, plain, gzip or zstd; - is standard input. A record's log timestamp is taken to be its occurred_at.
Rows come sorted by the bytes of row_id. The exit code is 4 where lines could not be used."
)]
pub struct Args {
    /// Files of touchpoints
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    touchpoints: Vec<OsString>,
    /// Files of conversions and adjustments
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    conversions: Vec<OsString>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where the rows go; standard output unless given
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where lines that cannot be used go, as NDJSON; standard error, as text, unless given
    #[arg(long, value_name = "FILE")]
    dead_letters: Option<PathBuf>,
    /// Memory to work in; what does not fit goes to temporary files
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = |text: &str| Size::try_from(text.to_owned()))]
    memory: Size,
}

/// Replays.
pub fn run(args: &Args) -> Outcome {
    let (rules, sealed) = match &args.config.file {
        // Nothing else in the file bears on a replay, so nothing else of it is asked to hold.
        Some(file) => {
            let config = Config::load_unchecked(file)?;
            let rules = config.core_rules().map_err(|e| Failure::new(Exit::Configuration, e.to_string()))?;
            (rules, config.seal.key_file.is_some())
        }
        None => (Rules::default(), false),
    };
    let inputs = |names: &[OsString]| names.iter().map(|name| Input::from(name.as_os_str())).collect();
    let request = Request {
        touchpoints: inputs(&args.touchpoints),
        conversions: inputs(&args.conversions),
        rules,
        output: args.output.clone(),
        dead_letters: args.dead_letters.clone(),
        memory_bytes: args.memory.as_usize(),
        sealed,
    };
    let summary =
        replay::run(&request, &Progress::on_terminal()).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    eprintln!("{summary}");
    Ok(if summary.bad > 0 { Exit::Differences } else { Exit::Done })
}
