//! The demo itself: the whole process, the shoppers beside it, and the screen on top.

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike};

use super::feed::{self, Sent};
use super::key;
use super::live::{Live, MODELS};
use super::screen::{self, Figures, Frame, Terminal};
use super::shoppers::{Settings, Shoppers};
use crate::access::now_ms;
use crate::app::{self, App, Error};
use crate::config::units::Span;
use crate::config::{Config, LogFormat, LogKind};
use crate::core::Millis;
use crate::stream::meta::Meta;
use crate::telemetry;
use crate::topics::Input;
use crate::topics::embedded::{Broker, Topic};

/// Between two pictures.
const PICTURE: Duration = Duration::from_millis(250);
/// Between two plain lines.
const LINE: Duration = Duration::from_secs(5);
/// How long what was sent last may take to be answered.
const SETTLE: Duration = Duration::from_secs(5);

/// What the demo is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Events a second.
    pub rate: u32,
    /// Shoppers about at once.
    pub users: u32,
    /// Makes the same events.
    pub seed: u64,
    /// Stop after so long.
    pub time: Option<Duration>,
    /// Whether to draw on a terminal.
    pub terminal: bool,
}

/// The configuration of a demo: the embedded log, all else as it is when nothing is said, but for a shorter retention,
/// for nobody wants a demo to fill the disk.
pub fn config(data_dir: &Path, listen: SocketAddr) -> Config {
    let mut config = Config::default();
    config.log.kind = LogKind::Embedded;
    config.engine.data_dir = data_dir.to_path_buf();
    config.topics.retention = Span::from_secs(3_600);
    config.sidecar.listen = listen;
    config.telemetry.log_format = LogFormat::Text;
    config.telemetry.log_filter = "warn".into();
    config
}

/// Runs until a signal, a fatal error or the end of its time.
pub fn run(config: &Config, options: &Options) -> Result<(), Error> {
    let guard =
        telemetry::start(&app::settings::telemetry(config)).map_err(|error| Error::Configuration(error.to_string()))?;
    let outcome = App::start(config).and_then(|app| {
        let shown = show(&app, config, options);
        app.stop(shown)
    });
    if outcome.is_ok() {
        println!("Stopped. All of it is in {}; `tributary demo` goes on from there.", config.engine.data_dir.display());
    }
    guard.shutdown();
    outcome
}

fn show(app: &App, config: &Config, options: &Options) -> Result<(), Error> {
    let Some(broker) = app.broker.clone() else {
        return Err(Error::Failed("the demo needs the embedded log".into()));
    };
    let key = key::of(&config.engine.data_dir, &app.admin, &app.audit)?;
    let frame = frame(config, app.address, &key);
    let sent = Arc::new(Sent::default());
    let stop = Arc::new(AtomicBool::new(false));
    let feeding = {
        let settings = Settings::demo(options.seed, options.users, feed::position(&broker));
        let (sent, stop, rate) = (Arc::clone(&sent), Arc::clone(&stop), options.rate);
        let broker = Arc::clone(&broker);
        std::thread::spawn(move || {
            let stop = || stop.load(Ordering::Relaxed);
            feed::run(&broker, &mut Shoppers::new(settings), rate, &sent, (app::clock::now as fn() -> Millis, &stop))
        })
    };
    let mut view = View { app, broker, frame, live: Live::default(), sent: &sent, time: options.time };
    let shown = if options.terminal { view.pictures() } else { view.lines() };
    stop.store(true, Ordering::Relaxed);
    let fed = feeding.join().map_err(|_| Error::Failed("the shoppers panicked; this is a bug".into()))?;
    shown.and(fed.map_err(Error::from))?;
    settle(app)
}

/// Waits until everything that was sent is answered, so that what is left behind is whole. Not for long: the next start
/// would answer it too.
fn settle(app: &App) -> Result<(), Error> {
    let began = Instant::now();
    while began.elapsed() < SETTLE && !is_settled(app)? {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn is_settled(app: &App) -> Result<bool, Error> {
    let Some(broker) = &app.broker else { return Ok(true) };
    for (number, partition) in app.partitions.all() {
        let meta = partition.view().meta()?.and_then(|bytes| Meta::decode(&bytes).ok());
        for input in Input::ALL {
            let end = broker.bounds(input.into(), number)?.end;
            if meta.as_ref().map_or(0, |meta| *meta.applied.get(input)) < end {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn frame(config: &Config, address: SocketAddr, key: &str) -> Frame {
    let sidecar = format!("http://{address}");
    let year = DateTime::from_timestamp_millis(now_ms()).unwrap_or_default().year();
    let report = format!("/v1/reports/channels?model=linear&from={year}-01-01&to={}-01-01&group_by=channel", year + 1);
    Frame {
        models: (MODELS.0.name().into(), MODELS.1.name().into()),
        curl: format!("curl -s -H 'Authorization: Bearer {key}' '{sidecar}{report}'"),
        sidecar,
        data_dir: config.engine.data_dir.display().to_string(),
    }
}

struct View<'a> {
    app: &'a App,
    broker: Arc<Broker>,
    frame: Frame,
    live: Live,
    sent: &'a Sent,
    time: Option<Duration>,
}

impl View<'_> {
    fn figures(&mut self) -> Result<Figures, Error> {
        let rows: i64 = self.broker.ends(Topic::Attributions).iter().sum();
        let totals = (feed::position(&self.broker), rows.unsigned_abs());
        Ok(self.live.figures(&self.app.metrics, &self.app.partitions, self.sent.counts(), totals)?)
    }

    /// Draws until the end. What ends the process is shown after the terminal was given back.
    fn pictures(&mut self) -> Result<(), Error> {
        let mut terminal = Terminal::enter(stdout()).map_err(unwritable)?;
        let began = Instant::now();
        loop {
            let figures = self.figures()?;
            let size = size();
            terminal.show(&screen::draw(&self.frame, &figures, size), size).map_err(unwritable)?;
            if let Some(end) = self.pause(PICTURE, began) {
                drop(terminal);
                println!("{}", screen::line(&figures));
                return end;
            }
        }
    }

    fn lines(&mut self) -> Result<(), Error> {
        let Frame { sidecar, data_dir, curl, .. } = &self.frame;
        say(&format!("Tributary demo: sidecar {sidecar}, data in {data_dir}; ask it yourself:\n{curl}"))?;
        let began = Instant::now();
        loop {
            let end = self.pause(LINE, began);
            let figures = self.figures()?;
            say(&screen::line(&figures))?;
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Waits, unless there is a reason to end.
    fn pause(&self, time: Duration, began: Instant) -> Option<Result<(), Error>> {
        let left = self.time.map(|all| all.saturating_sub(began.elapsed()));
        if left == Some(Duration::ZERO) {
            return Some(Ok(()));
        }
        self.app.wait(Some(left.map_or(time, |left| left.min(time))))
    }
}

fn say(text: &str) -> Result<(), Error> {
    let mut out = stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(unwritable)
}

fn unwritable(error: std::io::Error) -> Error {
    Error::Failed(format!("standard output: {error}"))
}

/// The terminal's size: columns and rows.
fn size() -> (usize, usize) {
    let (rows, columns) = console::Term::stdout().size();
    (columns.into(), rows.into())
}
