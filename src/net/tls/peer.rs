use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::connect::HoldsItsKey;
use super::{PEER_ALPN, crypto, fingerprint};
use crate::net::NetError;
use crate::protocol::limits::HANDSHAKE_TIME;
use crate::types::Fingerprint;

/// TLS between two clients, in which both sides prove that they hold the keys that they show. No
/// authority is asked: who a key belongs to is known from the server.
#[derive(Clone)]
pub struct PeerTls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    fingerprint: Fingerprint,
}

impl PeerTls {
    pub(super) fn new(
        chain: &[CertificateDer<'static>],
        key: &PrivateKeyDer<'static>,
        fingerprint: Fingerprint,
    ) -> Result<Self, Error> {
        let mut accepting = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(ShowsAKey(crypto())))
            .with_single_cert(chain.to_vec(), key.clone_key())?;
        accepting.alpn_protocols = vec![PEER_ALPN.to_vec()];
        accepting.send_tls13_tickets = 0;
        accepting.session_storage = Arc::new(NoServerSessionStorage {});
        let mut connecting = ClientConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(HoldsItsKey(crypto())))
            .with_client_auth_cert(chain.to_vec(), key.clone_key())?;
        connecting.alpn_protocols = vec![PEER_ALPN.to_vec()];
        connecting.resumption = Resumption::disabled();
        connecting.enable_sni = false;
        Ok(PeerTls {
            acceptor: Arc::new(accepting).into(),
            connector: Arc::new(connecting).into(),
            fingerprint,
        })
    }

    /// What the other side will know this one by.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Shakes hands with whoever has connected, within 5 s; returns the key that it holds. Whether
    /// that one may have anything is for the caller to decide.
    pub async fn accept<S>(
        &self,
        stream: S,
    ) -> Result<(server::TlsStream<S>, Fingerprint), NetError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = timeout(HANDSHAKE_TIME, self.acceptor.accept(stream))
            .await
            .map_err(|_| NO_HANDSHAKE)??;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(PEER_ALPN) {
            return Err(NetError::NotFileshare(OTHER_TLS));
        }
        let shown = session.peer_certificates().unwrap_or_default().first();
        let shown = shown.ok_or(Error::NoCertificatesPresented);
        let key = shown.and_then(fingerprint).map_err(unsound)?;
        Ok((stream, key))
    }

    /// Shakes hands, within 5 s, with a client that must hold the key `expected`. Nothing was sent
    /// to anybody else.
    pub async fn connect<S>(
        &self,
        stream: S,
        expected: Fingerprint,
    ) -> Result<client::TlsStream<S>, NetError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // Not sent, and in nobody's certificate.
        let nobody = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let stream = timeout(HANDSHAKE_TIME, self.connector.connect(nobody, stream))
            .await
            .map_err(|_| NO_HANDSHAKE)??;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(PEER_ALPN) {
            return Err(NetError::NotFileshare(OTHER_TLS));
        }
        let shown = session.peer_certificates().unwrap_or_default().first();
        let shown = shown.ok_or(Error::NoCertificatesPresented);
        match shown.and_then(fingerprint).map_err(unsound)? == expected {
            true => Ok(stream),
            false => Err(NetError::OtherKey),
        }
    }
}

const NO_HANDSHAKE: NetError = NetError::Timeout("no TLS handshake came in time");

const OTHER_TLS: &str = "the other side speaks TLS, but not as a client of ours";

/// Without the configurations, which hold the private key.
impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeerTls").field(&self.fingerprint).finish()
    }
}

/// Checks that whoever connects holds the key of the certificate that it shows, and nothing else.
#[derive(Debug)]
struct ShowsAKey(Arc<CryptoProvider>);

impl ClientCertVerifier for ShowsAKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
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

fn unsound(error: Error) -> NetError {
    NetError::Tls(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::TlsIdentity;
    use rcgen::{CertificateParams, KeyPair};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn peer() -> PeerTls {
        TlsIdentity::unkept().unwrap().peer_tls().unwrap()
    }

    #[tokio::test]
    async fn both_sides_learn_the_key_of_the_other_one() {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (a, b) = (peer(), peer());
        let (connected, accepted) = tokio::join!(a.connect(near, b.fingerprint()), b.accept(far));
        let (mut near, (mut far, key)) = (connected.unwrap(), accepted.unwrap());
        assert_eq!(key, a.fingerprint());
        near.write_all(b"x").await.unwrap();
        near.flush().await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn another_key_than_the_expected_one_is_nobody_to_talk_to() {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (a, b) = (peer(), peer());
        let (connected, _) = tokio::join!(a.connect(near, a.fingerprint()), b.accept(far));
        assert!(matches!(connected.err().unwrap(), NetError::OtherKey));
    }

    /// Having seen the certificate of a client is not having its key.
    #[tokio::test]
    async fn a_certificate_without_its_key_opens_nothing() {
        let new = || {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(Vec::new()).unwrap();
            let shown = params.self_signed(&key).unwrap();
            (shown.der().clone(), key)
        };
        let ((shown, _), (_, held)) = (new(), new());
        let held = PrivateKeyDer::try_from(held.serialize_der()).unwrap();
        let signs = crypto().key_provider.load_private_key(held).unwrap();
        let chain = vec![shown.into_owned()];
        let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, signs));

        #[derive(Debug)]
        struct Shows(Arc<rustls::sign::CertifiedKey>);
        impl client::ResolvesClientCert for Shows {
            fn resolve(
                &self,
                _: &[&[u8]],
                _: &[SignatureScheme],
            ) -> Option<Arc<rustls::sign::CertifiedKey>> {
                Some(self.0.clone())
            }
            fn has_certs(&self) -> bool {
                true
            }
        }
        use rustls::client;

        let mut config = ClientConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(HoldsItsKey(crypto())))
            .with_client_cert_resolver(Arc::new(Shows(certified)));
        config.alpn_protocols = vec![PEER_ALPN.to_vec()];
        let (near, far) = tokio::io::duplex(64 * 1024);
        let nobody = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let connecting = TlsConnector::from(Arc::new(config)).connect(nobody, near);
        let b = peer();
        let (_connected, accepted) = tokio::join!(connecting, b.accept(far));
        assert!(accepted.is_err(), "the owner of the files sees through it");
    }

    #[tokio::test]
    async fn whoever_shows_no_key_is_not_heard() {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let b = peer();
        let (_stranger, accepted) = tokio::join!(crate::net::secure(near, "b"), b.accept(far));
        assert!(accepted.is_err());
    }
}
