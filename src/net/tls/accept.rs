use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::net::{NetError, turn_away};
use crate::protocol::limits::HANDSHAKE_TIME;

/// A connection that a server has accepted, encrypted.
pub type TlsServerStream = tokio_rustls::server::TlsStream<TcpStream>;

/// The first byte of a TLS connection: a handshake record.
const HANDSHAKE: u8 = 0x16;

/// Accepts TLS connections with one identity. Cheap to clone.
#[derive(Clone)]
pub struct TlsAcceptor(tokio_rustls::TlsAcceptor);

impl TlsAcceptor {
    pub(super) fn new(config: ServerConfig) -> Self {
        TlsAcceptor(Arc::new(config).into())
    }

    /// Shakes hands, within 5 s. Whoever speaks plaintext (a client that was told to, a web browser,
    /// anybody else) gets one clear answer in its own words, and the error says who it was.
    pub async fn accept(&self, stream: TcpStream) -> Result<TlsServerStream, NetError> {
        timeout(HANDSHAKE_TIME, self.shake_hands(stream))
            .await
            .unwrap_or(Err(NetError::Timeout("no TLS handshake came in time")))
    }

    async fn shake_hands(&self, mut stream: TcpStream) -> Result<TlsServerStream, NetError> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(NetError::Closed);
        }
        if first != [HANDSHAKE] {
            return Err(turn_away(&mut stream).await);
        }
        self.0.accept(stream).await.map_err(explain)
    }
}

fn explain(error: io::Error) -> NetError {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(tls) => NetError::Tls(rustls::Error::to_string(tls)),
        None => NetError::Cut(error),
    }
}

/// Without the configuration, which holds the private key.
impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsAcceptor")
    }
}
