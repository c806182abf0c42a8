use std::io;

use crate::protocol::codec::CodecError;
use crate::protocol::frame::FrameError;
use crate::protocol::preface::Refusal;
use crate::protocol::session::Violation;

/// Why a conversation could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The host's name stands for no address.
    #[error("the name cannot be resolved ({0})")]
    Resolve(io::Error),
    /// Nobody answers there.
    #[error("{0}")]
    Connect(io::Error),
    /// Nothing, or too little, came or went in time.
    #[error("{0}")]
    Timeout(&'static str),
    /// The other side closed the connection between two frames.
    #[error("the connection was closed")]
    Closed,
    /// The connection broke.
    #[error("the connection was cut ({})", cut(.0))]
    Cut(#[from] io::Error),
    /// The other side refused the conversation in its preface.
    #[error("the conversation was refused")]
    Refused {
        /// Why.
        reason: Refusal,
        /// The highest version that the other side speaks.
        highest: u8,
    },
    /// The other side speaks something else.
    #[error("{0}")]
    NotFileshare(&'static str),
    /// This side began with TLS, and the server was told to speak plaintext.
    #[error("the other side speaks plaintext")]
    SpeaksPlaintext,
    /// The server has shown a certificate and not proved that it holds the key in it: it is not
    /// the one that the certificate was made for.
    #[error("it does not hold the key of the certificate that it shows")]
    KeyNotHeld,
    /// Somebody holds a key, but another one than was to be expected.
    #[error("it holds another key than the server vouches for")]
    OtherKey,
    /// The TLS handshake failed, or something inside TLS was not sound.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// A frame that may not come.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A message that cannot be read or written.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// A message that may not come in this state.
    #[error("{0}")]
    Violation(#[from] Violation),
}

/// Why, in words of ours where the library's are none for users.
fn cut(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the other side closed in the middle".to_owned(),
        _ => error.to_string(),
    }
}
