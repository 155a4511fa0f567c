//! The settings of the sidecar: where it listens, how it is reached, what it takes on.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::{between, within};
use super::error::Problem;
use super::tree::comma_separated;
use super::units::{Size, Span};

/// `[sidecar]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Sidecar {
    pub listen: SocketAddr,
    pub admin_listen: Option<SocketAddr>,
    pub plain_http: bool,
    pub trusted_proxies: usize,
    #[serde(deserialize_with = "comma_separated")]
    pub cors_origins: Vec<String>,
    pub connections: usize,
    pub connections_per_address: usize,
    pub header_timeout: Span,
    pub write_timeout: Span,
    pub drain: Span,
}

impl Default for Sidecar {
    fn default() -> Self {
        Self {
            listen: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8_686)),
            admin_listen: None,
            plain_http: false,
            trusted_proxies: 0,
            cors_origins: Vec::new(),
            connections: 2_000,
            connections_per_address: 200,
            header_timeout: Span::from_secs(5),
            write_timeout: Span::from_secs(30),
            drain: Span::from_secs(10),
        }
    }
}

/// `[tls]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Tls {
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub client_ca_file: Option<PathBuf>,
}

/// `[limits]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // see `settings`
pub struct Limits {
    pub rate: u32,
    pub burst: u32,
    pub key_rate: u32,
    pub key_burst: u32,
    pub bad_keys: u32,
    pub stranger_rate: u32,
    pub concurrency: usize,
    pub request_timeout: Span,
    pub body_size: Size,
    pub report_range: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate: 20_000,
            burst: 20_000,
            key_rate: 500,
            key_burst: 1_000,
            bad_keys: 30,
            stranger_rate: 200,
            concurrency: 256,
            request_timeout: Span::from_secs(10),
            body_size: Size::from_mib(8),
            report_range: Span::from_days(1_100),
        }
    }
}

impl Sidecar {
    pub(super) fn check(&self, tls: &Tls, problems: &mut Vec<Problem>) {
        within("sidecar.trusted_proxies", self.trusted_proxies as u64, 0, 16, problems);
        let connections = [
            ("sidecar.connections", self.connections),
            ("sidecar.connections_per_address", self.connections_per_address),
        ];
        connections.into_iter().for_each(|(setting, most)| within(setting, most as u64, 1, 1_000_000, problems));
        between("sidecar.header_timeout", self.header_timeout, Span::from_millis(100), Span::from_secs(60), problems);
        between("sidecar.write_timeout", self.write_timeout, Span::from_millis(100), Span::from_secs(600), problems);
        between("sidecar.drain", self.drain, Span::from_millis(0), Span::from_secs(300), problems);
        let origins = self.cors_origins.iter().filter(|origin| !is_origin(origin));
        problems.extend(origins.map(|origin| {
            let reason = format!("{origin:?} is no origin");
            Problem::new("sidecar.cors_origins", reason, "write each as https://host or https://host:port")
        }));
        let plain = tls.certificate_file.is_none() && !self.plain_http;
        let addresses = [("sidecar.listen", Some(self.listen)), ("sidecar.admin_listen", self.admin_listen)];
        problems.extend(addresses.into_iter().filter_map(|(setting, address)| {
            let open = address.filter(|address| plain && !address.ip().to_canonical().is_loopback())?;
            let reason = format!("{open} would carry API keys over plain HTTP beyond this machine");
            let advice = "set tls.certificate_file and tls.key_file, or sidecar.plain_http = true behind something that speaks TLS";
            Some(Problem::new(setting, reason, advice))
        }));
    }
}

/// `https://host`, with a port or not; also `http://`, for a page under development.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    !host.is_empty() && host.bytes().all(legal)
}

impl Tls {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let (certificate, key) = (&self.certificate_file, &self.key_file);
        if certificate.is_some() != key.is_some() {
            let mut settings = ["tls.key_file", "tls.certificate_file"];
            if key.is_some() {
                settings.reverse();
            }
            let [missing, given] = settings;
            problems.push(Problem::new(missing, format!("missing, but {given} is there"), "give both or neither"));
        }
        if self.client_ca_file.is_some() && certificate.is_none() {
            let reason = "client certificates need TLS, and there is none";
            problems.push(Problem::new("tls.client_ca_file", reason, "set tls.certificate_file and tls.key_file"));
        }
    }
}

impl Limits {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let rates = [
            ("limits.rate", self.rate),
            ("limits.burst", self.burst),
            ("limits.key_rate", self.key_rate),
            ("limits.key_burst", self.key_burst),
            ("limits.bad_keys", self.bad_keys),
            ("limits.stranger_rate", self.stranger_rate),
        ];
        rates.into_iter().for_each(|(setting, rate)| within(setting, rate.into(), 1, 10_000_000, problems));
        within("limits.concurrency", self.concurrency as u64, 1, 100_000, problems);
        let (least, most) = (Span::from_millis(100), Span::from_secs(300));
        between("limits.request_timeout", self.request_timeout, least, most, problems);
        between("limits.report_range", self.report_range, Span::from_days(1), Span::from_days(36_525), problems);
        within("limits.body_size", self.body_size.bytes(), 1 << 10, 1 << 30, problems);
    }
}
