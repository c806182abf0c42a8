//! TLS 1.3 from the first byte (RFC 8446), with keys that are known by their fingerprints.
//!
//! A client checks that the server holds the key that it shows, whoever issued the certificate
//! around it; whether that key is the right one is decided above, before anything is sent. Nothing
//! is resumed: every connection proves the key anew.

mod accept;
mod connect;
mod identity;
mod opening;
mod peer;

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use crate::types::Fingerprint;

pub use accept::{TlsAcceptor, TlsServerStream};
pub use connect::{PresentedKey, TlsClientStream, secure};
pub use identity::{IdentityError, TlsIdentity};
pub use peer::PeerTls;

/// What both sides say that they speak inside (RFC 7301).
const ALPN: &[u8] = b"fileshare/1";

/// The same between two clients: whoever takes one for the other finds out at once.
const PEER_ALPN: &[u8] = b"fileshare-peer/1";

fn crypto() -> Arc<CryptoProvider> {
    Arc::new(provider::default_provider())
}

/// The fingerprint of the public key in a certificate.
fn fingerprint(certificate: &CertificateDer<'_>) -> Result<Fingerprint, rustls::Error> {
    let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    let hash = digest::digest(&digest::SHA256, &key);
    let bytes = hash.as_ref().try_into();
    Ok(Fingerprint::new(bytes.map_err(|_| {
        rustls::Error::General("a SHA-256 of another length".to_owned())
    })?))
}

#[cfg(test)]
mod tests;
