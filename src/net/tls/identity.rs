use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;

use super::{ALPN, PeerTls, TlsAcceptor, crypto, fingerprint};
use crate::disk::{Document, Folder};
use crate::types::Fingerprint;

/// Where a server keeps the key that it made for itself.
const LEAF: &str = "identity.pem";

/// The largest file that may hold a key and its certificates, in bytes.
const MAX_PEM: u64 = 1024 * 1024;

/// The key that a server proves itself with, and the certificate around it.
#[derive(Debug)]
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    fingerprint: Fingerprint,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Key and certificate are no use for TLS, or do not belong together.
    #[error("the key and certificate cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

impl TlsIdentity {
    /// The identity in this state folder (`identity.pem`, readable by its owner only), made and
    /// self-signed when there is none. One that cannot be read is an error and never replaced:
    /// clients rely on it (contract section 7).
    pub fn open(state: &Folder) -> Result<Self, IdentityError> {
        let file = PathBuf::from(LEAF);
        let document = Document::new(state, LEAF, MAX_PEM);
        let read = |source| IdentityError::Io {
            file: file.clone(),
            source,
        };
        if let Some(pem) = document.read().map_err(read)? {
            return Self::from_pem(&pem, &pem, &file, &file);
        }
        let mut pem = Vec::new();
        document
            .update(|there| {
                // Another process may have been faster.
                pem = there.map_or_else(generate, Ok)?;
                Ok(pem.clone())
            })
            .map_err(read)?;
        Self::from_pem(&pem, &pem, &file, &file)
    }

    /// An identity that is kept nowhere.
    pub fn unkept() -> Result<Self, IdentityError> {
        let nowhere = Path::new(LEAF);
        let pem = generate().map_err(|source| IdentityError::Io {
            file: nowhere.to_owned(),
            source,
        })?;
        Self::from_pem(&pem, &pem, nowhere, nowhere)
    }

    /// The identity in two PEM files: the certificate with the ones that vouch for it behind it,
    /// and its private key.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let read = |path: &Path| {
            let mut bytes = Vec::new();
            let file = File::open(path);
            let read = file.and_then(|file| file.take(MAX_PEM).read_to_end(&mut bytes));
            match read {
                Ok(_) => Ok(bytes),
                Err(source) => Err(IdentityError::Io {
                    file: path.to_owned(),
                    source,
                }),
            }
        };
        Self::from_pem(&read(certificate)?, &read(key)?, certificate, key)
    }

    /// What clients know it by.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What accepts connections with this identity.
    pub fn acceptor(&self) -> Result<TlsAcceptor, IdentityError> {
        let mut config = ServerConfig::builder_with_provider(crypto())
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(TlsAcceptor::new(config))
    }

    /// What meets other clients with this identity.
    pub fn peer_tls(&self) -> Result<PeerTls, IdentityError> {
        Ok(PeerTls::new(&self.chain, &self.key, self.fingerprint)?)
    }

    fn from_pem(
        certificates: &[u8],
        key: &[u8],
        certificate_file: &Path,
        key_file: &Path,
    ) -> Result<Self, IdentityError> {
        let wrong = |file: &Path, what: &str, error: PemError| IdentityError::Content {
            file: file.to_owned(),
            problem: match error {
                PemError::NoItemsFound => format!("there is no {what} in it"),
                error => format!("the {what} cannot be read ({error})"),
            },
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(certificate_file, "certificate", error))?;
        let first = chain.first();
        let first =
            first.ok_or_else(|| wrong(certificate_file, "certificate", PemError::NoItemsFound))?;
        let identity = TlsIdentity {
            fingerprint: fingerprint(first)?,
            key: PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| wrong(key_file, "private key", error))?,
            chain,
        };
        // That the two belong together is checked where they are first used.
        identity.acceptor()?;
        Ok(identity)
    }
}

/// A new key and a certificate that it has signed itself, as PEM.
fn generate() -> io::Result<Vec<u8>> {
    let generated = || {
        let key = KeyPair::generate()?;
        let mut certificate = CertificateParams::new(Vec::new())?;
        certificate
            .distinguished_name
            .push(DnType::CommonName, "fileshare");
        let certificate = certificate.self_signed(&key)?;
        Ok::<_, rcgen::Error>(key.serialize_pem() + &certificate.pem())
    };
    generated()
        .map(String::into_bytes)
        .map_err(io::Error::other)
}
