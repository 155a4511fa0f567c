//! `tributary keys`.

use tributary::access::Role;
use tributary::access::socket::{self, Reply, Request};
use tributary::config::Config;

use super::{ConfigArgs, Exit, Failure, Outcome};

/// Make, list and revoke API keys of the running instance
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example: tributary keys create --role analyst --note dashboard")]
pub enum Command {
    /// Make a key and show it, this once
    #[command(after_help = "Example: tributary keys create --role analyst --note dashboard

The key alone goes to standard output, so that it can be piped to where it is kept.")]
    Create {
        #[command(flatten)]
        place: Place,
        /// What it is for: viewer reads reports, analyst journeys and conversions too, ingestor writes events
        #[arg(long, value_parser = |text: &str| text.parse::<Role>())]
        role: Role,
        /// What to write down beside it
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Show every key's id, role, age and note
    #[command(after_help = "Example: tributary keys list --config tributary.toml")]
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a key: it opens nothing any longer
    #[command(after_help = "Example: tributary keys revoke 4f3kq0v2m8x1t7bz")]
    Revoke {
        #[command(flatten)]
        place: Place,
        /// Its id, as the list shows it
        id: String,
    },
}

/// Which instance: that of a data folder.
#[derive(Debug, clap::Args)]
pub struct Place {
    #[command(flatten)]
    config: ConfigArgs,
    /// The data folder of the instance, instead of the configuration's
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<std::path::PathBuf>,
}

impl Place {
    pub(super) fn folder(&self) -> Result<std::path::PathBuf, Failure> {
        match &self.data_dir {
            Some(folder) => Ok(folder.clone()),
            None if self.config.file.is_some() => Ok(self.config.load()?.engine.data_dir),
            None => Ok(Config::default().engine.data_dir),
        }
    }
}

/// Asks the running instance.
pub fn run(command: &Command) -> Outcome {
    let (place, request) = match command {
        Command::Create { place, role, note } => (place, Request::Create { role: *role, note: note.clone() }),
        Command::List { place } => (place, Request::List),
        Command::Revoke { place, id } => (place, Request::Revoke { id: id.clone() }),
    };
    let reply = socket::ask(&place.folder()?, &request).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    match reply {
        Reply::Created(made) => {
            eprintln!("key {} for {}; it is shown this once:", made.id, made.role);
            println!("{}", made.key);
        }
        Reply::Keys(keys) => {
            println!("{:<18} {:<9} {:<20} {:<8} note", "id", "role", "made", "state");
            for key in keys {
                let state = if key.revoked { "revoked" } else { "open" };
                println!("{:<18} {:<9} {:<20} {state:<8} {}", key.id, key.role.name(), date(key.created_at), key.note);
            }
        }
        Reply::Revoked(id) => eprintln!("key {id} is revoked"),
        Reply::Error(reason) => return Err(Failure::new(Exit::Failed, reason)),
    }
    Ok(Exit::Done)
}

/// A moment in UTC, to the second.
fn date(millis: i64) -> String {
    let moment = chrono::DateTime::from_timestamp_millis(millis);
    moment.map_or_else(|| millis.to_string(), |moment| moment.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
