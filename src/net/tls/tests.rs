use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::disk::Folder;
use crate::net::{NetError, accept_preface, offer_preface};
use crate::protocol::preface::Refusal;

fn identity(folder: &Path) -> TlsIdentity {
    TlsIdentity::open(&Folder::open(folder).unwrap()).unwrap()
}

/// A listener that takes one connection, and a connection to it.
async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(connecting, listener.accept());
    (near.unwrap(), far.unwrap().0)
}

#[tokio::test]
async fn both_sides_meet_and_the_client_learns_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let identity = identity(folder.path());
    let acceptor = identity.acceptor().unwrap();
    let (near, far) = tcp().await;
    let (client, server) = tokio::join!(secure(near, "127.0.0.1"), acceptor.accept(far));
    let ((mut client, key), mut server) = (client.unwrap(), server.unwrap());
    assert_eq!(key.fingerprint(), identity.fingerprint());
    assert!(!key.is_vouched_for(), "nobody has signed it");
    let (offered, accepted) = tokio::join!(offer_preface(&mut client), accept_preface(&mut server));
    assert_eq!((offered.unwrap(), accepted.unwrap()), (1, 1));
}

#[test]
fn an_identity_is_made_once_private_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let first = identity(folder.path()).fingerprint();
    assert_eq!(identity(folder.path()).fingerprint(), first);
    let file = folder.path().join("identity.pem");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    // It is an ordinary pair of PEM blocks, whichever way it is read.
    let again = TlsIdentity::from_files(&file, &file).unwrap();
    assert_eq!(again.fingerprint(), first);

    std::fs::write(&file, "garbage").unwrap();
    let opened = TlsIdentity::open(&Folder::open(folder.path()).unwrap());
    let error = opened.unwrap_err().to_string();
    assert!(
        error.contains("identity.pem: there is no certificate"),
        "{error}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"garbage");
}

#[test]
fn a_key_and_a_certificate_that_do_not_belong_together_are_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    identity(one.path());
    identity(other.path());
    let file = |folder: &Path| folder.join("identity.pem");
    let mixed = TlsIdentity::from_files(&file(one.path()), &file(other.path()));
    assert!(matches!(mixed, Err(IdentityError::Unusable(_))));
    let missing = TlsIdentity::from_files(&file(one.path()), Path::new("/nowhere"));
    assert!(missing.unwrap_err().to_string().starts_with("/nowhere: "));
}

/// Shows one certificate and signs with the key of another one.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Reliability, "certificate pinned but signature not checked".
#[tokio::test]
async fn whoever_has_the_certificate_and_not_the_key_is_refused() {
    let new = || {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(Vec::new()).unwrap();
        (params.self_signed(&key).unwrap(), key)
    };
    let ((shown, _), (_, held)) = (new(), new());
    let held = PrivateKeyDer::try_from(held.serialize_der()).unwrap();
    let signs = crypto().key_provider.load_private_key(held).unwrap();
    let chain = vec![CertificateDer::from(shown.der().to_vec())];
    let impostor = Impostor(Arc::new(CertifiedKey::new(chain, signs)));
    let mut config = ServerConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(impostor));
    config.alpn_protocols = vec![ALPN.to_vec()];
    let (near, far) = tcp().await;
    let acceptor = TlsAcceptor::new(config);
    let (client, server) = tokio::join!(secure(near, "127.0.0.1"), acceptor.accept(far));
    assert!(matches!(client.err().unwrap(), NetError::KeyNotHeld));
    assert!(server.is_err(), "the server hears of it");
}

/// What a client makes of a server that begins with these bytes.
async fn met(answer: &[u8]) -> NetError {
    let (near, mut far): (DuplexStream, _) = tokio::io::duplex(64 * 1024);
    let answering = async {
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let mut hello = Vec::new();
        far.read_to_end(&mut hello).await.unwrap();
        hello
    };
    let (client, hello) = tokio::join!(secure(near, "nas"), answering);
    assert_eq!(hello.first(), Some(&0x16), "TLS from the first byte");
    client.err().unwrap()
}

#[tokio::test]
async fn a_client_says_who_answered_instead() {
    assert!(matches!(met(b"").await, NetError::Closed));
    for (answer, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"220 ftp.example ready\r\n", "does not speak"),
        (&[0x15, 3, 3, 0, 2, 2, 120], "TLS, but not"),
        (&[0x15, 3, 3, 0, 2, 2, 70], "does not speak TLS 1.3"),
        (b"FSHR\0\x01\0\x03", "plaintext"),
    ] {
        let error = met(answer).await;
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_plaintext_server_is_recognised() {
    let (near, far) = tcp().await;
    let mut far = far;
    let (client, server) = tokio::join!(secure(near, "nas"), accept_preface(&mut far));
    assert!(matches!(client.err().unwrap(), NetError::SpeaksPlaintext));
    assert!(matches!(server, Err(NetError::NotFileshare(_))));
}

#[tokio::test]
async fn whoever_speaks_plaintext_to_tls_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let acceptor = identity(folder.path()).acceptor().unwrap();
    let (mut near, far) = tcp().await;
    let (offered, accepted) = tokio::join!(offer_preface(&mut near), async {
        let accepted = acceptor.accept(far).await;
        accepted.map(drop)
    });
    assert!(matches!(
        offered,
        Err(NetError::Refused {
            reason: Refusal::TlsRequired,
            ..
        })
    ));
    assert!(matches!(accepted, Err(NetError::NotFileshare(_))));
    for (said, answer) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], &b"HTTP/1.1 400"[..]),
        (b"SSH-2.0-x\r\n", b"This is a fileshare server"),
        (b"FSHX", b"FSHR\0\x01\0\x02"),
    ] {
        let (mut near, far) = tcp().await;
        near.write_all(said).await.unwrap();
        let mut heard = Vec::new();
        let (_, accepted) = tokio::join!(
            async {
                near.read_to_end(&mut heard).await.unwrap();
                drop(near);
            },
            acceptor.accept(far)
        );
        assert!(accepted.is_err());
        assert!(heard.starts_with(answer), "{said:?} {heard:?}");
    }
}
