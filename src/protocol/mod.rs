//! What goes over the wire: bytes, limits, and the legal order of messages.
//!
//! This room has no sockets and no clock. `docs/PROTOCOL.md` is its specification; tests compare
//! the two byte by byte.

pub mod codec;
pub mod frame;
pub mod limits;
pub mod message;
pub mod preface;
pub mod session;

mod error_code;
mod failure;
mod list;
mod text;
mod ticket;
mod wire;

pub use error_code::ErrorCode;
pub use failure::Failure;
pub use ticket::{Secret, Terms, Ticket};
pub use wire::{WireAddress, WireDigest, WireEntry, WireError, WireItem, WireRef};
