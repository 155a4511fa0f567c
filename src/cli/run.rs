//! `tributary run`.

use tributary::app;

use super::{ConfigArgs, Exit, Failure, Outcome};

/// Run the engine and its sidecar, on Kafka or on the embedded log, until told to stop
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tributary run --config tributary.toml

SIGTERM and SIGINT stop it cleanly: what is under way is finished, and nothing is lost either way. SIGHUP reads the
configuration again and takes limits, certificates and the log filter from it.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs until a signal or a fatal error.
pub fn run(args: &Args) -> Outcome {
    let config = args.config.load()?;
    let again = args.config.clone();
    app::run(&config, move || again.read()).map_err(Failure::from)?;
    Ok(Exit::Done)
}

impl From<&app::Error> for Exit {
    fn from(error: &app::Error) -> Self {
        match error {
            app::Error::Configuration(_) => Self::Configuration,
            app::Error::Refused(_) | app::Error::Unreachable(_) => Self::Refused,
            app::Error::State(_) => Self::State,
            app::Error::Failed(_) | app::Error::Stopped => Self::Failed,
        }
    }
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        Self::new(Exit::from(&error), error.to_string())
    }
}
