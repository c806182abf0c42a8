//! The legal order of messages, as state machines without I/O.
//!
//! Each side runs the machine for what it receives: [`ServerSession`] holds every message of a
//! client against the state of the conversation, [`ClientSession`] every message of a server.
//! A [`Violation`] ends the connection; there is no way back into the conversation.

mod batch;
mod client;
mod server;

use super::limits::MAX_LABEL;

pub use batch::Batch;
pub use client::{Answer, ClientSession};
pub use server::{Received, ServerSession};

/// What the other side did that it must not do in this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub &'static str);

/// The name of a program or host has its limit.
fn check_label(label: &str) -> Result<(), Violation> {
    if label.len() > MAX_LABEL {
        return Err(Violation("the name of a program or host that is too long"));
    }
    Ok(())
}

/// There are three ways for file content to come.
fn check_compression(mode: u8) -> Result<(), Violation> {
    match mode {
        0..=2 => Ok(()),
        _ => Err(Violation("a way of compression that does not exist")),
    }
}
