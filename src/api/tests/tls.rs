//! Certificates on real sockets: which versions are spoken, who is let in, and that a renewal drops nobody.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::sockets::{listen, start_on};
use super::{Bench, Lines};
use crate::api::Listen;
use crate::api::tls::{self, Files, Tls};

/// Who signs, and the files of the certificates signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        Self::named("Authority of a test")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn root(&self) -> PathBuf {
        self.file("ca.crt", &self.issuer.pem())
    }

    /// A certificate and its key, for a server and a client alike.
    fn signed(&self, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(name, &params)
    }

    /// A certificate for servers alone, and its key.
    fn signed_for_servers(&self, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(name, &params)
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let private = self.file(&format!("{name}.key"), &key.serialize_pem());
        fs::set_permissions(&private, fs::Permissions::from_mode(0o600)).unwrap();
        (self.file(&format!("{name}.crt"), &certificate.pem()), private)
    }

    fn files(&self, client_ca: Option<PathBuf>) -> Files {
        let (certificate, key) = self.signed("localhost");
        Files { certificate, key, client_ca }
    }
}

fn client(
    root: &PathBuf,
    versions: &[&'static SupportedProtocolVersion],
    own: Option<(PathBuf, PathBuf)>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    })
}

async fn connect(address: std::net::SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Asks for `/livez` and leaves the connection open. An error where the other side hung up.
async fn alive(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let mut buffer = vec![0; 4096];
    let read = stream.read(&mut buffer).await?;
    Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_are_spoken_and_plain_http_is_not() {
    let (bench, authority) = (Bench::open(), Authority::new());
    let tls = Some(Tls::load(&authority.files(None)).unwrap());
    let (serving, stop) = start_on(&bench, &Listen { tls, ..listen() });
    for version in BOTH {
        let mut stream = connect(serving.address(), client(&authority.root(), &[version], None)).await.unwrap();
        assert!(alive(&mut stream).await.unwrap().starts_with("HTTP/1.1 200"), "{version:?}");
    }
    let mut plain = TcpStream::connect(serving.address()).await.unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut got = Vec::new();
    drop(plain.read_to_end(&mut got).await);
    assert!(!String::from_utf8_lossy(&got).contains("HTTP/1"), "neither an answer nor a redirect");
    let stranger = client(&Authority::new().root(), BOTH, None);
    assert!(connect(serving.address(), stranger).await.is_err(), "signed by nobody the client knows");
    stop.cancel();
    serving.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_mutual_tls_only_clients_with_a_certificate_get_in() {
    let (bench, authority, strangers) = (Bench::open(), Authority::new(), Authority::new());
    let tls = Some(Tls::load(&authority.files(Some(authority.root()))).unwrap());
    let (serving, stop) = start_on(&bench, &Listen { tls, ..listen() });
    for (own, let_in) in
        [(Some(authority.signed("client")), true), (None, false), (Some(strangers.signed("client")), false)]
    {
        // In TLS 1.3 the client learns of the refusal when it reads.
        let answer = match connect(serving.address(), client(&authority.root(), BOTH, own)).await {
            Ok(mut stream) => alive(&mut stream).await,
            Err(error) => Err(error),
        };
        assert_eq!(answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")), let_in);
    }
    stop.cancel();
    serving.ended().await.unwrap();
}

/// What somebody does who does not get in.
enum Fails {
    With(Arc<ClientConfig>),
    Saying(&'static [u8]),
    Silently,
}

impl Fails {
    async fn at(self, address: std::net::SocketAddr) {
        match self {
            Self::With(config) => {
                if let Ok(mut stream) = connect(address, config).await {
                    assert!(!alive(&mut stream).await.unwrap_or_default().starts_with("HTTP"), "let in");
                }
            }
            Self::Saying(bytes) => {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(bytes).await.unwrap();
            }
            Self::Silently => {
                let mut stream = TcpStream::connect(address).await.unwrap();
                drop(stream.read(&mut [0; 9]).await); // until it is closed
            }
        }
    }
}

/// On one thread, so that its lines are heard.
#[tokio::test]
async fn a_handshake_that_fails_is_counted_and_told_of_in_plain_words() {
    let (authority, strangers) = (Authority::new(), Authority::named("Another authority"));
    let (root, unknown) = (authority.root(), strangers.root());
    let with = |root, own| Fails::With(client(root, BOTH, own));
    let cases = [
        (with(&root, None), "certificate", "the client showed no certificate; tls.client_ca_file asks for one"),
        (with(&root, Some(strangers.signed("client"))), "certificate", "signed by nobody in tls.client_ca_file"),
        (with(&root, Some(authority.signed_for_servers("server"))), "certificate", "the extended key usage clientAuth"),
        (with(&unknown, None), "rejected", "does not accept the certificate of tls.certificate_file: UnknownCA"),
        (Fails::Saying(b"GET / HTTP/1.1\r\n\r\n"), "protocol", "is no TLS; is it plain HTTP?"),
        (Fails::Silently, "timeout", "it took longer than sidecar.header_timeout"),
        (Fails::Saying(b""), "closed", ""),
    ];
    for (fails, kind, words) in cases {
        let bench = Bench::open();
        let tls = Some(Tls::load(&authority.files(Some(root.clone()))).unwrap());
        let (serving, stop) = start_on(&bench, &Listen { tls, ..listen() });
        let lines = Lines::hear(tracing::Level::INFO);
        fails.at(serving.address()).await;
        let counted = format!("tributary_tls_handshakes_failed_total{{reason=\"{kind}\"}} 1");
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while !bench.state.metrics.render(&bench.health).unwrap().contains(&counted) {
            assert!(std::time::Instant::now() < until, "{kind} is not counted");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let heard = lines.heard();
        let told = heard.contains("WARN") && heard.contains("from=127.0.0.1") && heard.contains(words);
        assert_eq!(told, !words.is_empty(), "{kind}: {heard}");
        stop.cancel();
        serving.ended().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_to_newcomers_and_drops_nobody() {
    let (bench, old, new) = (Bench::open(), Authority::new(), Authority::new());
    let tls = Tls::load(&old.files(None)).unwrap();
    let (serving, stop) = start_on(&bench, &Listen { tls: Some(tls.clone()), ..listen() });
    let (knows_old, knows_new) = (client(&old.root(), BOTH, None), client(&new.root(), BOTH, None));
    let mut before = connect(serving.address(), Arc::clone(&knows_old)).await.unwrap();
    assert!(alive(&mut before).await.unwrap().starts_with("HTTP/1.1 200"));
    tls.renew(tls::read(&new.files(None)).unwrap());
    assert!(alive(&mut before).await.unwrap().starts_with("HTTP/1.1 200"), "the connection goes on");
    let mut after = connect(serving.address(), knows_new).await.unwrap();
    assert!(alive(&mut after).await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(connect(serving.address(), knows_old).await.is_err());
    stop.cancel();
    serving.ended().await.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let good = authority.files(Some(authority.root()));
    assert!(tls::read(&good).is_ok());
    let (other, broken) = (authority.signed("other").1, authority.file("broken", "no PEM at all"));
    let shown = authority.file("shown.key", &fs::read_to_string(&good.key).unwrap());
    fs::set_permissions(&shown, fs::Permissions::from_mode(0o644)).unwrap();
    let error = tls::read(&Files { key: shown.clone(), ..good.clone() }).unwrap_err().to_string();
    assert!(error.starts_with("tls.key_file: ") && error.contains("can be read by everybody; `chmod 600 "), "{error}");
    fs::set_permissions(&shown, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(tls::read(&Files { key: shown, ..good.clone() }).is_ok(), "a group is somebody");
    for (files, setting) in [
        (Files { certificate: broken.clone(), ..good.clone() }, "tls.certificate_file"),
        (Files { certificate: "/nowhere".into(), ..good.clone() }, "tls.certificate_file"),
        (Files { key: broken.clone(), ..good.clone() }, "tls.key_file"),
        (Files { key: "/nowhere".into(), ..good.clone() }, "tls.key_file"),
        (Files { client_ca: Some(broken), ..good.clone() }, "tls.client_ca_file"),
    ] {
        let error = tls::read(&files).unwrap_err().to_string();
        assert!(error.starts_with(setting), "{error}");
    }
    let error = |files: Files| tls::read(&files).unwrap_err().to_string();
    let missing = error(Files { certificate: "/nowhere".into(), ..good.clone() });
    assert!(missing.starts_with("tls.certificate_file: /nowhere: cannot be read: No such file"), "{missing}");
    let strangers = error(Files { key: other.clone(), ..good.clone() });
    let (key, certificate) = (other.display().to_string(), good.certificate.display().to_string());
    assert!(strangers.starts_with(&format!("tls.key_file: {key}: ")), "the key may be the wrong one: {strangers}");
    assert!(strangers.contains(&certificate) && strangers.contains("belong together"), "{strangers}");
}
