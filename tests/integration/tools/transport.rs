//! Plaintext or TLS: what a conversation travels in. Tests are written once and run over both.

use std::path::Path;
use std::sync::Arc;

use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::harness::{RunningServer, serve, serve_plaintext};

/// What both sides name in the TLS handshake.
pub const ALPN: &[u8] = b"fileshare/1";

/// Bytes in both directions, over whatever.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Any stream.
pub type AnyStream = Box<dyn Stream>;

/// What a conversation travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Plaintext,
    Tls,
}

impl Transport {
    /// Every transport that the programs have.
    pub const ALL: &[Transport] = &[Transport::Plaintext, Transport::Tls];

    /// What the clients of this server speak.
    pub fn of(server: &RunningServer) -> Self {
        match server.plaintext {
            true => Transport::Plaintext,
            false => Transport::Tls,
        }
    }

    /// A server process that speaks it.
    pub fn serve(self, root: &Path, options: &[&str]) -> RunningServer {
        match self {
            Transport::Plaintext => serve_plaintext(root, options),
            Transport::Tls => serve(root, options),
        }
    }

    /// Connects to an address as somebody who takes every certificate.
    pub async fn dial(self, address: &str) -> AnyStream {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        match self {
            Transport::Plaintext => Box::new(stream),
            Transport::Tls => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(connector().connect(name, stream).await.unwrap())
            }
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn connector() -> TlsConnector {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TakesEverything))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// A self-signed certificate and its key.
pub fn new_identity() -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    (made.cert.der().clone(), key)
}

/// Accepts TLS with this certificate and this key, whether or not they belong together.
pub fn acceptor(
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
) -> TlsAcceptor {
    let key = provider().key_provider.load_private_key(key.into());
    // Does not compare the two, as everything else in rustls does.
    let pair = CertifiedKey::new(vec![certificate], key.unwrap());
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Trusts everybody: what is tested is the other side.
#[derive(Debug)]
struct TakesEverything;

impl ServerCertVerifier for TakesEverything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
