//! `tributary demo`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use tributary::config::Config;
use tributary::config::units::Span;
use tributary::demo;

use super::{Exit, Failure, Outcome};

/// Run everything in this one process, with synthetic shoppers on the embedded log, and watch it live
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tributary demo --rate 5000 --users 50000

Ctrl-C stops it cleanly; started again, it goes on where it was. Remove the data folder to begin anew.")]
pub struct Args {
    /// Events a second
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    rate: u32,
    /// Shoppers about at once
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    users: u32,
    /// The same seed makes the same events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where log and state are kept
    #[arg(long, value_name = "FOLDER", default_value = "data/demo")]
    data_dir: PathBuf,
    /// Where the sidecar listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8686")]
    listen: SocketAddr,
    /// Stop after this long (30s, 5m)
    #[arg(long = "for", value_name = "DURATION", value_parser = |text: &str| Span::try_from(text.to_owned()))]
    time: Option<Span>,
    /// Print plain lines also on a terminal
    #[arg(long)]
    plain: bool,
}

/// Runs until Ctrl-C.
pub fn run(args: &Args) -> Outcome {
    let mut config: Config = demo::config(&args.data_dir, args.listen);
    let terminal = std::io::stdout().is_terminal() && !args.plain;
    if terminal && std::io::stderr().is_terminal() {
        config.telemetry.log_filter = "off".into(); // lines would tear the picture; what ends the demo is said after it
    }
    let options = demo::Options {
        rate: args.rate,
        users: args.users,
        seed: args.seed,
        time: args.time.map(Span::duration),
        terminal,
    };
    demo::run(&config, &options).map_err(Failure::from)?;
    Ok(Exit::Done)
}
