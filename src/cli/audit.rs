//! `tributary audit`.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;

use tributary::access::now_ms;
use tributary::access::token::Token;
use tributary::app::audit;
use tributary::audit::shown::{Escaped, Wanted};
use tributary::config::units::Span;

use super::{ConfigArgs, Exit, Outcome, tail};

/// The audit log: who did what
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples: tributary audit tail --config tributary.toml --follow
          tributary audit verify --config tributary.toml")]
pub enum Command {
    /// Print the entries of the audit log, one a line, the oldest first
    #[command(
        after_help = "Examples: tributary audit tail --config tributary.toml --request 5b1c7d20e4f94a6bb0c8d1f2a3e4b5c6
          tributary audit tail --config tributary.toml --since 1h --outcome denied --follow
          tributary audit tail --config tributary.toml --json | jq -c 'select(.action == \"key.create\")'

A line holds the time, who, what, the outcome, on what, the caller's address, the request's id and why, two spaces between
them. It ends with the log, or with --follow goes on until it is interrupted. Nothing is checked: that is what
`tributary audit verify` is for. On the embedded log, entries come from the running instance; where none runs, from its
folder, and --follow has nothing to wait for."
    )]
    Tail(Tail),
    /// Read the whole audit log and say what was removed, altered, moved or put in
    #[command(after_help = "Example: tributary audit verify --config tributary.toml

Each finding is a line: the chain (one life of one process), the number of the entry in it, and what is wrong. Notes, which
honest stories have too, end in (note). The exit code is 0 when there is nothing but notes, 4 when there is, 5 when the log
cannot be read to its end. Last come the newest entry of each instance and its hash: kept elsewhere, they show later that
nothing up to there was rewritten. On the embedded log, entries come from the running instance; where none runs, from its
folder.")]
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
pub struct Tail {
    #[command(flatten)]
    config: ConfigArgs,
    /// The data folder of an instance on the embedded log, instead of the configuration's
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Go on with those to come
    #[arg(long)]
    follow: bool,
    /// The entries themselves, one JSON object a line
    #[arg(long)]
    json: bool,
    /// Those of this request, by the id that its answer bears (X-Request-Id)
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Those of this key, by its id, or of this actor as an entry names it: local:1000, anonymous, system
    #[arg(long, value_name = "KEY")]
    who: Option<String>,
    /// Those with this outcome
    #[arg(long, value_parser = ["allowed", "denied", "done", "failed"])]
    outcome: Option<String>,
    /// Those of the last so long (10m, 2h, 7d), or from a moment on (2026-11-27T19:00:00Z)
    #[arg(long, value_parser = moment, value_name = "TIME")]
    since: Option<i64>,
}

#[derive(Debug, clap::Args)]
pub struct Verify {
    #[command(flatten)]
    config: ConfigArgs,
    /// The data folder of an instance on the embedded log, instead of the configuration's
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// Reads it.
pub fn run(command: &Command) -> Outcome {
    match command {
        Command::Tail(args) => print(args),
        Command::Verify(args) => verify(args),
    }
}

fn print(args: &Tail) -> Outcome {
    let config = tail::config(args.data_dir.as_deref(), &args.config)?;
    // Also where the whole key was given.
    let who = args.who.as_ref().map(|who| Token::parse(who).map_or(who.as_str(), |token| token.id).to_owned());
    // As the header has it, or `instance` of the answer.
    let request = args.request.as_deref().map(|id| id.strip_prefix("urn:tributary:request:").unwrap_or(id).to_owned());
    let outcome = args.outcome.clone();
    let wanted = Wanted { request, who, outcome, since: args.since };
    let ask = audit::tail::Ask { wanted, json: args.json, follow: args.follow };
    audit::tail::run(&config, &ask, &mut BufWriter::new(stdout().lock()))?;
    Ok(Exit::Done)
}

/// A moment in milliseconds since 1970: so long ago, or as RFC 3339 writes it.
fn moment(text: &str) -> Result<i64, String> {
    if let Ok(span) = Span::try_from(text.to_owned()) {
        return Ok(now_ms().saturating_sub(i64::try_from(span.millis()).unwrap_or(i64::MAX)));
    }
    let moment = chrono::DateTime::parse_from_rfc3339(text).map(|moment| moment.timestamp_millis());
    moment.map_err(|_| "a time like 10m, 2h or 7d, or a moment like 2026-11-27T19:00:00Z".into())
}

fn verify(args: &Verify) -> Outcome {
    let config = tail::config(args.data_dir.as_deref(), &args.config)?;
    let mut out = BufWriter::new(stdout().lock());
    let mut told = Ok(());
    let read = audit::verify::run(&config, &mut |finding| {
        if told.is_ok() {
            told = writeln!(out, "{finding}");
        }
    });
    told?;
    out.flush()?;
    let summary = read?;
    for end in &summary.ends {
        eprintln!("newest: {} {} {}", Escaped::word(&end.chain), end.seq, Escaped::word(&end.hash));
    }
    eprintln!(
        "{} entries in {} chains: {} differences, {} notes",
        summary.entries, summary.chains, summary.differences, summary.notes
    );
    Ok(if summary.differences > 0 { Exit::Differences } else { Exit::Done })
}
