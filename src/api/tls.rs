//! TLS for the sidecar: certificate, key and, where clients must have certificates too, who signs those. TLS 1.2 and 1.3, no
//! more and no less; the crates' own choice of ciphers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use crate::access::file;

const CERTIFICATE: &str = "tls.certificate_file";
const KEY: &str = "tls.key_file";

/// The files, each PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those between it and its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the certificates that clients must show; without it they need none.
    pub client_ca: Option<PathBuf>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {path}: {reason}", path = path.display())]
pub struct Error {
    setting: &'static str,
    path: PathBuf,
    reason: String,
}

impl Error {
    fn new(setting: &'static str, path: &Path, reason: impl ToString) -> Self {
        Self { setting, path: path.into(), reason: reason.to_string() }
    }
}

/// Certificates in use; new ones take their place for the connections to come.
#[derive(Clone, Debug)]
pub struct Tls(RustlsConfig);

impl Tls {
    /// Reads the files.
    pub fn load(files: &Files) -> Result<Self, Error> {
        Ok(Self(RustlsConfig::from_config(read(files)?)))
    }

    /// Takes what [`read`] has found; connections under way go on as they are.
    pub fn renew(&self, read: Arc<ServerConfig>) {
        self.0.reload_from_config(read);
    }

    pub(super) fn config(&self) -> RustlsConfig {
        self.0.clone()
    }
}

/// Reads and checks the files, and changes nothing.
pub fn read(files: &Files) -> Result<Arc<ServerConfig>, Error> {
    let chain = certificates(CERTIFICATE, &files.certificate)?;
    let key = private_key(&files.key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| Error::new(CERTIFICATE, &files.certificate, error);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(failed)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(path, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Error::new(
            KEY,
            &files.key,
            format!(
                "not the key of the certificate in {} ({CERTIFICATE}): name two files that belong together",
                files.certificate.display()
            ),
        ),
        other => failed(other),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    // Of a file that cannot be looked at, reading it says why.
    if file::is_open_to_everybody(path).unwrap_or(false) {
        return Err(Error::new(KEY, path, format!("can be read by everybody; `chmod 600 {}`", path.display())));
    }
    PrivateKeyDer::from_pem_file(path).map_err(|error| Error::new(KEY, path, unusable("private key", &error)))
}

fn verifier(
    path: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, Error> {
    const CLIENT_CA: &str = "tls.client_ca_file";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CLIENT_CA, path)? {
        roots.add(certificate).map_err(|error| Error::new(CLIENT_CA, path, error))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::new(CLIENT_CA, path, error))
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err(Error::new(setting, path, "no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(Error::new(setting, path, unusable("certificate", &error))),
    }
}

/// A file that is not there is another mistake than one that holds something else.
fn unusable(wanted: &str, error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}; correct the path or the file's permissions"),
        pem::Error::NoItemsFound => format!("no {wanted} in PEM"),
        other => format!("no {wanted} in PEM: {other}"),
    }
}
