//! Spans over OTLP/HTTP. A span covers a transaction, never an event: at hundreds of thousands of events a second a span
//! each would cost more than the work it describes.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span, Tracer, TracerProvider};
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::{Layer, Registry};

use super::Error;

/// How long the last spans may take to be sent.
const STOP: Duration = Duration::from_secs(3);

/// The layer that sends our spans to `endpoint`, and what stops it.
///
/// Only spans of this crate pass: those of the exporter's own HTTP client would beget more of themselves.
pub(super) fn layer(
    endpoint: &str,
    ratio: f64,
    instance: &str,
) -> Result<(Box<dyn Layer<Registry> + Send + Sync>, SdkTracerProvider), Error> {
    if !(0.0..=1.0).contains(&ratio) {
        return Err(Error::Exporter(format!("the share of traces kept is {ratio}, not between 0 and 1")));
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .build()
        .map_err(|e| Error::Exporter(e.to_string()))?;
    let resource = Resource::builder()
        .with_service_name("tributary")
        .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build();
    global::set_tracer_provider(provider.clone());
    let ours = Targets::new().with_target("tributary", LevelFilter::INFO);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tributary")).with_filter(ours).boxed();
    Ok((layer, provider))
}

/// Sends what is left. Blocks: never call it on an async runtime's thread.
pub(super) fn stop(provider: &SdkTracerProvider) {
    if let Err(error) = provider.shutdown_with_timeout(STOP) {
        tracing::warn!(%error, "the last spans could not be sent");
    }
}

/// The span of one transaction, from its begin until now: `took` is known only when it has ended, so it is made then.
/// Without an exporter this costs next to nothing.
pub(super) fn transaction(took: Duration, records: u64) {
    #[allow(clippy::disallowed_methods)] // a span is placed on the wall clock
    let ended = SystemTime::now();
    let mut span = global::tracer("tributary")
        .span_builder("transaction")
        .with_start_time(ended.checked_sub(took).unwrap_or(ended))
        .with_attributes([KeyValue::new("tributary.records", i64::try_from(records).unwrap_or(i64::MAX))])
        .start(&global::tracer("tributary"));
    span.end_with_timestamp(ended);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Takes one request, answers 200, and gives what came.
    fn collector() -> (String, std::thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let taken = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let (mut got, mut room) = (Vec::new(), [0; 4096]);
            while !got.windows(10).any(|w| w == b"instance-7") {
                match stream.read(&mut room) {
                    Ok(count) if count > 0 => got.extend_from_slice(&room[..count]),
                    _ => break,
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            got
        });
        (address, taken)
    }

    #[test]
    fn the_span_of_a_transaction_reaches_the_collector() {
        let (address, taken) = collector();
        let (layer, provider) = layer(&address, 1.0, "instance-7").unwrap();
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            transaction(Duration::from_millis(5), 12);
            tracing::info_span!(target: "tributary::api", "request").in_scope(|| ());
            tracing::info_span!(target: "hyper", "foreign").in_scope(|| ());
        });
        stop(&provider);
        let got = String::from_utf8_lossy(&taken.join().unwrap()).into_owned();
        assert!(got.starts_with("POST /v1/traces"), "{got}");
        assert!(got.contains("transaction") && got.contains("tributary.records") && got.contains("request"), "{got}");
    }

    #[test]
    fn a_share_beyond_one_is_refused() {
        assert!(layer("http://127.0.0.1:1/v1/traces", 1.5, "x").is_err());
    }
}
