use std::net::IpAddr;

use crate::protocol::Failure;
use crate::types::{Entry, FileName, PeerName};

/// What happens to a registered client while its user does something else, and to one that fetches
/// a file from another one.
#[derive(Debug, Clone)]
pub enum Event {
    /// The server has not acknowledged; so many times it was tried again.
    Retrying(u32),
    /// The server was tried often enough: this client is offline until it is back.
    NotResponding,
    /// The server is back, and this client with it.
    Online,
    /// The server does not want this client any more; it stays offline.
    SentAway(Failure),
    /// The server does not take an offer that it had taken before.
    OfferRefused(Failure),
    /// Somebody came or went, or offers something else.
    TableChanged,
    /// Somebody with a ticket is here.
    Accepted {
        /// From where.
        from: IpAddr,
        /// Whether through the server.
        relayed: bool,
    },
    /// A file is on its way to somebody.
    Sending(FileName),
    /// Somebody has got a file.
    Sent(Entry),
    /// Somebody has not got a file.
    NotSent(FileName, Failure),
    /// Somebody has left; an unregistered client is called by its address.
    Closed(String),
    /// Another client has let this one in.
    Established {
        /// Which one.
        owner: PeerName,
        /// Whether through the server.
        relayed: bool,
    },
}

/// Who hears of events. They come from several threads; it returns at once.
pub trait Observer: Send + Sync {
    /// This has happened.
    fn happened(&self, event: &Event);
}
