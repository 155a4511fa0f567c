//! The subscriber: one line an event, as text or JSON, on standard error, so that standard output stays a command's own.

use std::io::IsTerminal;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use super::{Error, traces};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For eyes.
    #[default]
    Text,
    /// One JSON object a line, for a log shipper.
    Json,
}

/// What logs and traces need to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Text or JSON.
    pub format: Format,
    /// Directives as `tracing` knows them, `info,tributary=debug`.
    pub filter: String,
    /// Where spans go, the whole address (`http://127.0.0.1:4318/v1/traces`); none sends none.
    pub otlp_endpoint: Option<String>,
    /// The share of traces kept, 0 to 1.
    pub otlp_ratio: f64,
    /// The instance's name in traces.
    pub instance: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Text,
            filter: "info".into(),
            otlp_endpoint: None,
            otlp_ratio: 1.0,
            instance: "tributary".into(),
        }
    }
}

/// What is logged, to be changed while the process runs.
#[derive(Clone, Debug)]
pub struct Filter(reload::Handle<EnvFilter, Registry>);

/// A filter that was read and can be put in place.
pub struct Parsed(EnvFilter);

impl Filter {
    /// Reads directives, and changes nothing.
    pub fn read(directives: &str) -> Result<Parsed, Error> {
        let given = EnvFilter::try_new(directives).map_err(|error| Error::Filter(error.to_string()))?;
        // rdkafka says of every consumer that is dropped after it was closed that it cannot be closed, as an error.
        let noise = "rdkafka::consumer::base_consumer=off".parse().map_err(|_| Error::Filter("of our own".into()))?;
        Ok(Parsed(given.add_directive(noise)))
    }

    /// From now on this is logged.
    pub fn put(&self, Parsed(filter): Parsed) {
        if let Err(error) = self.0.reload(filter) {
            tracing::error!(%error, "the log filter stays as it was");
        }
    }

    /// One that filters nothing, for tests of those who hand filters on.
    #[cfg(test)]
    pub(crate) fn idle() -> Self {
        Self(reload::Layer::new(EnvFilter::default()).1)
    }
}

/// Keeps telemetry alive; the last thing to be shut down.
#[derive(Debug)]
#[must_use = "spans are sent only while this is kept"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
    filter: Filter,
}

impl Guard {
    /// What is logged.
    pub fn filter(&self) -> Filter {
        self.filter.clone()
    }

    /// Sends what spans are left, on a thread of its own (the exporter blocks, and would deadlock a one-thread runtime),
    /// waiting for it up to a few seconds.
    pub fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        let sender = std::thread::spawn(move || traces::stop(&provider));
        if sender.join().is_err() {
            tracing::warn!("the trace exporter panicked while stopping");
        }
    }
}

/// Starts logging (and tracing where an endpoint is set) for the whole process, once.
pub fn start(settings: &Settings) -> Result<Guard, Error> {
    let (layers, provider, filter) = layers(settings, std::io::stderr, std::io::stderr().is_terminal())?;
    Registry::default().with(layers).try_init().map_err(|_| Error::Started)?;
    Ok(Guard { provider, filter })
}

type Layers = Vec<Box<dyn Layer<Registry> + Send + Sync>>;

fn layers<W>(
    settings: &Settings,
    writer: W,
    colours: bool,
) -> Result<(Layers, Option<SdkTracerProvider>, Filter), Error>
where
    W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let Parsed(filter) = Filter::read(&settings.filter)?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match settings.format {
        Format::Text => lines.with_ansi(colours).with_target(false).with_filter(filter).boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_filter(filter).boxed(),
    };
    let mut layers = vec![lines];
    let provider = match &settings.otlp_endpoint {
        None => None,
        Some(endpoint) => {
            let (layer, provider) = traces::layer(endpoint, settings.otlp_ratio, &settings.instance)?;
            layers.push(layer);
            Some(provider)
        }
    };
    Ok((layers, provider, Filter(handle)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines_of(settings: &Settings, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let copy = sink.clone();
        let (layers, _, _) = layers(settings, move || copy.clone(), false).unwrap();
        tracing::subscriber::with_default(Registry::default().with(layers), log);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_parse_and_the_filter_holds() {
        let settings = Settings { format: Format::Json, filter: "warn".into(), ..Settings::default() };
        let text = lines_of(&settings, || {
            tracing::info!("not this");
            tracing::warn!(partition = 3, "this\nwith a break");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["partition"], &line["message"]), (&3.into(), &"this\nwith a break".into()));
    }

    #[test]
    fn text_lines_let_no_terminal_escape_through() {
        let text = lines_of(&Settings::default(), || tracing::info!("{}", "\u{1b}[31mred"));
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn a_bad_filter_names_its_setting() {
        let settings = Settings { filter: "tributary=loud".into(), ..Settings::default() };
        let error = layers(&settings, std::io::sink, false).err().unwrap().to_string();
        assert!(error.starts_with("telemetry.log_filter: "), "{error}");
    }
}
