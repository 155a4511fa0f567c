//! Why a TLS handshake came to nothing, in words for whoever looks after the service.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::net::IpAddr;

use rustls::{AlertDescription, CertificateError, Error};

use crate::telemetry::Metrics;
use crate::telemetry::events::{Handshake, HandshakeFailed};

/// Counts it, and tells of it now and then.
pub(super) fn failed(from: IpAddr, error: &io::Error, metrics: &Metrics) {
    let (kind, reason) = explained(error);
    HandshakeFailed { from, kind, reason: &reason }.emit(metrics);
}

fn explained(error: &io::Error) -> (Handshake, Cow<'static, str>) {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            ErrorKind::TimedOut => (Handshake::Timeout, "it took longer than sidecar.header_timeout".into()),
            _ => (Handshake::Closed, "the client hung up".into()),
        };
    };
    match error {
        Error::NoCertificatesPresented => {
            (Handshake::Certificate, "the client showed no certificate; tls.client_ca_file asks for one".into())
        }
        Error::InvalidCertificate(why) => (Handshake::Certificate, certificate(why)),
        Error::AlertReceived(alert) => (Handshake::Rejected, rejected(*alert)),
        Error::InvalidMessage(_) => (Handshake::Protocol, "what the client sent is no TLS; is it plain HTTP?".into()),
        Error::PeerIncompatible(why) => {
            (Handshake::Protocol, format!("the client speaks no TLS that is spoken here: {why:?}").into())
        }
        other => (Handshake::Protocol, other.to_string().into()),
    }
}

fn certificate(why: &CertificateError) -> Cow<'static, str> {
    use CertificateError::*;
    match why {
        UnknownIssuer => "the client's certificate is signed by nobody in tls.client_ca_file".into(),
        Expired | ExpiredContext { .. } => "the client's certificate has expired".into(),
        NotValidYet | NotValidYetContext { .. } => "the client's certificate is not valid yet".into(),
        InvalidPurpose | InvalidPurposeContext { .. } => {
            "the client's certificate is not for clients: it needs the extended key usage clientAuth".into()
        }
        BadSignature => "the client's certificate has a signature that does not fit".into(),
        Other(why) if format!("{why:?}").contains("UnsupportedCertVersion") => {
            "the client's certificate is of X.509 version 1: make one with extensions".into()
        }
        other => format!("the client's certificate is refused: {other}").into(),
    }
}

/// An alert that the client sent.
fn rejected(alert: AlertDescription) -> Cow<'static, str> {
    use AlertDescription::*;
    match alert {
        UnknownCA | BadCertificate | CertificateUnknown | CertificateExpired | UnsupportedCertificate => {
            format!("the client does not accept the certificate of tls.certificate_file: {alert:?}").into()
        }
        alert => format!("the client turned away: {alert:?}").into(),
    }
}
