//! Bytes on the wire: dialling, accepting, and frames under limits and deadlines.
//!
//! Everything above is generic over the stream, so that TCP, TLS and a pipe in memory are the same
//! to it. Nothing here knows what a message means.

mod connection;
mod dial;
mod error;
mod heartbeat;
mod listen;
mod pace;
mod preface;
mod reader;
mod throttle;
mod tls;
mod writer;

pub use connection::{Connection, Rest};
pub use dial::{configure, dial};
pub use error::NetError;
pub use heartbeat::heartbeat;
pub use listen::listen;
pub use preface::{accept_preface, offer_preface, refuse};
pub use reader::{Frame, FrameReader, Patience};
pub use throttle::Throttle;
pub use tls::{
    IdentityError, PeerTls, PresentedKey, TlsAcceptor, TlsClientStream, TlsIdentity,
    TlsServerStream, secure,
};
pub use writer::FrameWriter;

use preface::{Stranger, turn_away};
