//! `tributary topics`.

use tributary::app::checks;

use super::{ConfigArgs, Exit, Outcome};

/// Make the Kafka topics, or say which differs how
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example: tributary topics check --config tributary.toml")]
pub enum Command {
    /// Make the topics that are missing, with the settings that exactness rests on
    #[command(after_help = "Example: tributary topics create --config tributary.toml

Partitions, copies and retention come from [topics]. A topic that is there is left as it is; `topics check` looks at it.")]
    Create {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Look at every topic: partitions, cleanup, retention against the age of the data, timestamps, sizes, limits
    #[command(after_help = "Example: tributary topics check --config tributary.toml")]
    Check {
        #[command(flatten)]
        config: ConfigArgs,
    },
}

/// Makes or looks.
pub fn run(command: &Command) -> Outcome {
    let lines = match command {
        Command::Create { config } => checks::create_topics(&config.load()?)?,
        Command::Check { config } => checks::topics(&config.load()?)?,
    };
    Ok(super::check::print(&lines))
}

impl From<bool> for Exit {
    /// All well, or differences found.
    fn from(well: bool) -> Self {
        if well { Self::Done } else { Self::Differences }
    }
}
