use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error,
    PeerIncompatible, SignatureScheme,
};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::opening::Opening;
use super::{ALPN, crypto, fingerprint};
use crate::net::{NetError, Stranger};
use crate::protocol::preface::MAGIC;
use crate::types::Fingerprint;

/// A client's connection, encrypted.
pub type TlsClientStream<S> = tokio_rustls::client::TlsStream<Opening<S>>;

/// The key that a server has proved to hold.
#[derive(Debug)]
pub struct PresentedKey {
    fingerprint: Fingerprint,
    chain: Vec<CertificateDer<'static>>,
    host: Option<ServerName<'static>>,
}

/// Shakes hands with the server at `host`, as a client. It has proved then that it holds the key
/// that it presents; whether that is the right key is for the caller to decide, before it sends
/// anything. Has no deadline of its own.
pub async fn secure<S>(
    stream: S,
    host: &str,
) -> Result<(TlsClientStream<S>, PresentedKey), NetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A zone (`fe80::1%eth0`) is no part of any certificate.
    let host = ServerName::try_from(host.to_owned()).ok();
    let connector = TlsConnector::from(Arc::new(config(host.is_some())?));
    // Stands for a host that no certificate can name; it is not sent.
    let unnamed = || ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let name = host.clone().unwrap_or_else(unnamed);
    let connecting = connector.connect(name, Opening::new(stream));
    let stream = match connecting.into_fallible().await {
        Ok(stream) => stream,
        Err((error, opening)) => return Err(explain(error, opening.first())),
    };
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(ALPN) {
        return Err(NetError::NotFileshare(OTHER_TLS));
    }
    let chain = session.peer_certificates().unwrap_or_default();
    let first = chain.first().ok_or(Error::NoCertificatesPresented);
    let fingerprint = first.and_then(fingerprint).map_err(unsound)?;
    let key = PresentedKey {
        fingerprint,
        chain: chain.to_vec(),
        host,
    };
    Ok((stream, key))
}

const OTHER_TLS: &str = "the other side speaks TLS, but not the fileshare protocol";

impl PresentedKey {
    /// What the key is known by.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Whether an authority that this system trusts says that the key belongs to the host that was
    /// connected to. Reads the system's certificates: it blocks.
    pub fn is_vouched_for(&self) -> bool {
        let (Some(host), [first, others @ ..]) = (&self.host, self.chain.as_slice()) else {
            return false;
        };
        let verified = Verifier::new(crypto()).and_then(|verifier| {
            verifier.verify_server_cert(first, others, host, &[], UnixTime::now())
        });
        if let Err(error) = &verified {
            tracing::debug!(%error, "the system does not vouch for the server");
        }
        verified.is_ok()
    }
}

fn config(send_name: bool) -> Result<ClientConfig, NetError> {
    let builder = ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&TLS13])
        .map_err(unsound)?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(HoldsItsKey(crypto())))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = send_name;
    Ok(config)
}

/// Checks that the server holds the key of the certificate that it shows, and nothing else: the
/// certificate may have been issued by anybody.
#[derive(Debug)]
pub(super) struct HoldsItsKey(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for HoldsItsKey {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Why the handshake failed: what came first from the other side may tell more than the error.
fn explain(error: io::Error, first: &[u8]) -> NetError {
    // A plaintext server of ours sends an alert for TLS clients in general, and then its preface.
    if first.windows(MAGIC.len()).any(|bytes| bytes == MAGIC) {
        return NetError::SpeaksPlaintext;
    }
    if !first.is_empty() && !is_tls(first) {
        return NetError::NotFileshare(Stranger::of(first).description());
    }
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            NetError::NotFileshare(OTHER_TLS)
        }
        Some(Error::AlertReceived(
            AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure,
        )) => NetError::Tls("the other side does not speak TLS 1.3".to_owned()),
        Some(Error::InvalidCertificate(CertificateError::BadSignature)) => NetError::KeyNotHeld,
        Some(error) => unsound(error.clone()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => NetError::Closed,
        None => NetError::Cut(error),
    }
}

/// Whether the bytes begin with a TLS record.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x14..=0x17] | [0x14..=0x17, 0x03, ..])
}

fn unsound(error: Error) -> NetError {
    NetError::Tls(error.to_string())
}
