//! `tributary schemas`.

use tributary::app::checks;

use super::{ConfigArgs, Outcome};

/// Register the schemas of events and rows with the schema registry, or check them against it
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example: tributary schemas check --config tributary.toml")]
pub enum Command {
    /// Register every schema under its subject, where it is compatible with what is there
    #[command(after_help = "Example: tributary schemas register --config tributary.toml")]
    Register {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Ask the registry whether each schema is compatible with what is registered
    #[command(after_help = "Example: tributary schemas check --config tributary.toml")]
    Check {
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Registers or asks.
pub fn run(command: &Command) -> Outcome {
    let lines = match command {
        Command::Register { config } => checks::register_schemas(&config.load()?)?,
        Command::Check { config } => checks::schemas(&config.load()?)?,
    };
    Ok(super::check::print(&lines))
}
