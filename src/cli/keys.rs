//! `tributary keys`.

use std::num::NonZeroU32;

use ipnet::IpNet;
use tributary::access::socket::{self, Reply, Request};
use tributary::access::token::Token;
use tributary::access::{Listed, NewKey, Rate, Role, Rotation, now_ms, request};
use tributary::config::Config;
use tributary::config::units::Span;

use super::{ConfigArgs, Exit, Failure, Outcome};

/// Make, list, rotate and revoke API keys of the running instance
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Example: tributary keys create --role analyst --note dashboard")]
pub enum Command {
    /// Make a key and show it, this once
    #[command(after_help = "Examples: tributary keys create --role analyst --note dashboard
          tributary keys create --role ingestor --expires-in 90d --rate 50 --burst 200 --network 10.2.0.0/16

The key alone goes to standard output, so that it can be piped to where it is kept.")]
    Create {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Make a successor of a key and show it, this once; the old key stays good for a while
    #[command(after_help = "Example: tributary keys rotate 4f3kq0v2m8x1t7bz --grace 1h

The successor has the old key's role, note, limits and networks, and an id of its own. The key alone goes to standard
output. `tributary keys list` shows whether the old key is still used; `keys revoke` ends it before the grace does.")]
    Rotate {
        #[command(flatten)]
        place: Place,
        /// Its id, as the list shows it
        id: String,
        /// How long the old key stays good: 0s to 30d
        #[arg(long, value_parser = span, value_name = "TIME", default_value = "24h")]
        grace: Span,
        /// When the successor expires; it lives as long as the old key was made for where this is not given
        #[arg(long, value_parser = span, value_name = "TIME")]
        expires_in: Option<Span>,
    },
    /// Show every key's id, role, state, times and note
    #[command(after_help = "Example: tributary keys list --config tributary.toml

State is open, expired or revoked, or \"another pepper\": made under one that this instance does not have, so it opens
nothing here.")]
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

/// A key to be made.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// What it is for: viewer reads reports, analyst journeys and conversions too, ingestor writes events, operator
    /// looks after the instance, admin after keys
    #[arg(long, value_parser = |text: &str| text.parse::<Role>())]
    role: Role,
    /// What to write down beside it
    #[arg(long, default_value = "")]
    note: String,
    /// After how long it opens nothing any longer: 12h, 90d; never where this is not given
    #[arg(long, value_parser = span, value_name = "TIME")]
    expires_in: Option<Span>,
    /// The most requests per second of its bearer
    #[arg(long, value_parser = requests, value_name = "REQUESTS")]
    rate: Option<NonZeroU32>,
    /// The most requests at once; as many as per second where this is not given
    #[arg(long, value_parser = requests, value_name = "REQUESTS", requires = "rate")]
    burst: Option<NonZeroU32>,
    /// Where its bearer may ask from, an address or a network; may be given more than once
    #[arg(long = "network", value_parser = request::network, value_name = "CIDR")]
    networks: Vec<IpNet>,
}

impl KeyArgs {
    fn new_key(&self) -> NewKey {
        NewKey {
            role: self.role,
            note: self.note.clone(),
            expires_at: self.expires_in.map(from_now),
            rate: self.rate.map(|per_second| Rate { per_second, burst: self.burst.unwrap_or(per_second) }),
            networks: self.networks.clone(),
        }
    }
}

fn span(text: &str) -> Result<Span, String> {
    Span::try_from(text.to_owned())
}

fn requests(text: &str) -> Result<NonZeroU32, String> {
    request::requests(text.parse().unwrap_or(0))
}

fn millis(span: Span) -> i64 {
    i64::try_from(span.millis()).unwrap_or(i64::MAX)
}

fn from_now(span: Span) -> i64 {
    now_ms().saturating_add(millis(span))
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
        Command::Create { place, key } => (place, Request::Create(key.new_key())),
        Command::Rotate { place, id, grace, expires_in } => {
            let rotation = Rotation { grace_ms: millis(*grace), expires_at: expires_in.map(from_now) };
            (place, Request::Rotate { id: id_of(id), rotation })
        }
        Command::List { place } => (place, Request::List),
        Command::Revoke { place, id } => (place, Request::Revoke { id: id_of(id) }),
    };
    let reply = socket::ask(&place.folder()?, &request).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    match reply {
        Reply::Created(made) => {
            eprintln!("key {} for {}; it is shown this once:", made.id, made.role);
            println!("{}", made.key);
        }
        Reply::Rotated(made, until) => {
            let until = until.map_or_else(|| "it is revoked".to_owned(), date);
            eprintln!("key {} for {}; the old one is good until {until}. It is shown this once:", made.id, made.role);
            println!("{}", made.key);
        }
        Reply::Keys(keys) => print(&keys),
        Reply::Revoked(id) => eprintln!("key {id} is revoked"),
        Reply::Error(reason) => return Err(Failure::new(Exit::Failed, reason)),
    }
    Ok(Exit::Done)
}

fn print(keys: &[Listed]) {
    println!(
        "{:<16}  {:<8}  {:<14}  {:<20}  {:<20}  {:<20}  note",
        "id", "role", "state", "made", "expires", "last used"
    );
    for key in keys {
        let moment = |at: Option<i64>| at.map_or_else(|| "never".to_owned(), date);
        let state = if key.is_shut_out() { "another pepper" } else { key.state.name() };
        let (role, made) = (key.role.name(), date(key.created_at));
        let (expires, used, more) = (moment(key.expires_at), moment(key.last_used_at), remarks(key));
        println!("{:<16}  {role:<8}  {state:<14}  {made:<20}  {expires:<20}  {used:<20}  {more}", key.id);
    }
}

/// A key's id, also where the whole key was given, which is not to be shown again in an answer.
fn id_of(given: &str) -> String {
    Token::parse(given).map_or(given, |token| token.id).to_owned()
}

/// What its maker wrote down, and what else is to be said of a key.
fn remarks(key: &Listed) -> String {
    let mut said = Vec::new();
    said.extend(Some(key.note.replace(char::is_control, "\u{fffd}")).filter(|note| !note.is_empty()));
    said.extend(key.rate.map(|rate| format!("[{}/s, {} at once]", rate.per_second, rate.burst)));
    let networks: Vec<_> = key.networks.iter().map(ToString::to_string).collect();
    said.extend((!networks.is_empty()).then(|| format!("[from {}]", networks.join(", "))));
    said.extend(key.replaced_by.as_ref().map(|id| format!("[replaced by {id}]")));
    said.join(" ")
}

/// A moment in UTC, to the second.
fn date(millis: i64) -> String {
    let moment = chrono::DateTime::from_timestamp_millis(millis);
    moment.map_or_else(|| millis.to_string(), |moment| moment.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
