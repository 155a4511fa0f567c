//! The commands: one file each.

mod audit;
mod check;
mod demo;
mod exit;
mod keys;
mod panics;
mod replay;
mod run;
mod schemas;
mod tail;
mod topics;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tributary::config::{self, Config};

use exit::{Exit, Failure, Outcome};

/// Streaming multi-touch attribution: touchpoints and conversions in, exact attribution rows out.
#[derive(Debug, Parser)]
#[command(name = "tributary", version, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 bad records were set aside or differences found,
5 refused by the broker or registry, 6 state refused.

Example: tributary demo";

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Run(run::Args),
    Replay(replay::Args),
    Check(check::Args),
    #[command(subcommand)]
    Topics(topics::Command),
    #[command(subcommand)]
    Schemas(schemas::Command),
    #[command(subcommand)]
    Keys(keys::Command),
    Tail(tail::Args),
    Verify(verify::Args),
    #[command(subcommand)]
    Audit(audit::Command),
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, clap::Args)]
struct ConfigArgs {
    /// The configuration, a TOML file; TRIBUTARY__SECTION__SETTING variables stand over it
    #[arg(long = "config", value_name = "FILE", env = "TRIBUTARY_CONFIG")]
    file: Option<PathBuf>,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, Failure> {
        Ok(self.read()?)
    }

    fn read(&self) -> Result<Config, config::Error> {
        Config::load(self.file.as_deref())
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    panics::hook();
    let outcome = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Topics(command) => topics::run(&command),
        Command::Schemas(command) => schemas::run(&command),
        Command::Keys(command) => keys::run(&command),
        Command::Tail(args) => tail::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Audit(command) => audit::run(&command),
    };
    outcome.unwrap_or_else(report).into()
}

fn report(failure: Failure) -> Exit {
    eprintln!("tributary: {}", failure.message);
    failure.exit
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Cli::command().debug_assert();
    }

    /// Everybody on the machine can read a command line.
    #[test]
    fn no_argument_takes_a_secret() {
        fn visit(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let takes =
                    ["password", "secret", "token", "pepper", "credential"].iter().any(|word| name.contains(word));
                assert!(!takes, "{} takes {name}", command.get_name());
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    #[test]
    fn every_command_has_a_text_and_an_example() {
        fn visit(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
                let path = format!("{path} {}", sub.get_name());
                assert!(sub.get_about().is_some(), "{path} says nothing of itself");
                visit(sub, &path);
                let example = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(example.contains(&format!("tributary{path}")), "{path} has no example: {example}");
            }
        }
        visit(&Cli::command(), "");
    }
}
