//! The server's side of peers: who is registered, who is told of what, tickets and relays.

#[cfg(target_os = "linux")]
mod many;
mod names;
mod relays;
#[cfg(unix)]
mod restart;
mod table;
mod tickets;

use std::collections::VecDeque;
use std::time::Duration;

use fileshare::access::Role;
use fileshare::net::NetError;
use fileshare::protocol::message::{ClientBody, ServerBody, ServerMessage, WireOffered};
use fileshare::protocol::{Secret, WireDigest};
use fileshare::server::{Origin, Server, ServerOptions};
use fileshare::store::{Store, StoreOptions};
use fileshare::types::Digest;
use tempfile::TempDir;

use crate::wire::{Conversation, PIPE_ORIGIN, RawClient};

/// A server of an empty folder, in this process, where everybody may do anything.
fn server() -> (TempDir, Server) {
    server_with(ServerOptions::default())
}

fn server_with(options: ServerOptions) -> (TempDir, Server) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(root.path())).unwrap();
    let options = ServerOptions {
        anonymous: options.anonymous.or(Some(Role::Admin)),
        ..options
    };
    (root, Server::new(store, options))
}

/// A client on its control connection. What it is told unasked is kept until somebody looks.
struct Guest<S = Conversation> {
    client: RawClient<S>,
    number: u32,
    events: VecDeque<ServerBody>,
}

impl Guest {
    async fn new(server: &Server) -> Self {
        Guest::of(RawClient::greeted(server).await)
    }

    /// A client that comes from somewhere else.
    async fn from(server: &Server, address: &str, reached: &str) -> Self {
        let origin = Origin {
            address: Some(address.parse().unwrap()),
            reached: Some(reached.parse().unwrap()),
            ..PIPE_ORIGIN
        };
        let mut client = RawClient::connect(server, origin).await;
        client.hello(0, None).await;
        Guest::of(client)
    }

    /// One that is registered under this name.
    async fn registered(server: &Server, name: &str) -> Self {
        let mut guest = Guest::new(server).await;
        guest.register(name).await;
        guest
    }
}

impl<S> Guest<S> {
    fn of(client: RawClient<S>) -> Self {
        Guest {
            client,
            number: 0,
            events: VecDeque::new(),
        }
    }

    async fn send(&mut self, body: ClientBody) -> u32 {
        self.number += 1;
        self.client.send(self.number, body).await;
        self.number
    }

    /// The next message that is no event.
    async fn answer(&mut self) -> Result<ServerMessage, NetError> {
        loop {
            let message = self.client.receive().await?;
            match message.number {
                0 => self.events.push_back(message.body),
                _ => return Ok(message),
            }
        }
    }

    /// Makes a request and takes its one answer.
    async fn ask(&mut self, body: ClientBody) -> ServerBody {
        let number = self.send(body).await;
        let answer = self.answer().await.unwrap();
        assert_eq!(answer.number, number);
        answer.body
    }

    /// What it is told unasked next.
    async fn event(&mut self) -> ServerBody {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        let message = self.client.receive().await.unwrap();
        assert_eq!(message.number, 0, "{message:?}");
        message.body
    }

    /// Whether it is told nothing for so long.
    async fn hears_nothing_for(&mut self, time: Duration) -> bool {
        self.events.is_empty() && tokio::time::timeout(time, self.event()).await.is_err()
    }

    /// Registers, and returns the key of its tickets.
    async fn register(&mut self, name: &str) -> Secret {
        match self.ask(registration(name, name)).await {
            ServerBody::Registered { ticket_key, .. } => ticket_key,
            other => panic!("{other:?}"),
        }
    }

    async fn offer(&mut self, files: &[&str]) {
        assert_eq!(self.ask(offer(files)).await, ServerBody::Done);
    }

    /// All that the table says, in one piece.
    async fn table(&mut self) -> Seen {
        self.send(ClientBody::Table { epoch: 0, since: 0 }).await;
        let mut seen = Seen::default();
        while !seen.take(self.answer().await.unwrap().body) {}
        seen
    }
}

/// What somebody knows of the table.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    epoch: u64,
    version: u64,
    /// Name, address and port, and whether it is there.
    peers: Vec<(String, String, bool)>,
    /// Owner and file.
    offers: Vec<(String, String)>,
    messages: usize,
}

impl Seen {
    /// Takes in a message; whether it was the last.
    fn take(&mut self, body: ServerBody) -> bool {
        let ServerBody::Table {
            epoch,
            since,
            version,
            peers,
            offers,
            gone,
            last,
        } = body
        else {
            panic!("{body:?}");
        };
        if since == 0 {
            *self = Seen::default();
        }
        assert!(since <= self.version, "{since} is missing");
        (self.epoch, self.version) = (epoch, version);
        self.messages += 1;
        for peer in peers {
            let address = std::net::IpAddr::from(peer.address);
            self.offers.retain(|(owner, _)| *owner != peer.name);
            self.peers.retain(|(name, ..)| *name != peer.name);
            let place = format!("{address}:{}", peer.port);
            self.peers.push((peer.name, place, peer.online));
        }
        for offer in offers {
            let offer = (offer.owner, offer.file);
            self.offers.retain(|known| *known != offer);
            self.offers.push(offer);
        }
        for gone in gone {
            let file = gone.file.expect("nobody is forgotten here");
            self.offers
                .retain(|known| *known != (gone.owner.clone(), file.clone()));
        }
        last
    }

    fn online(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .peers
            .iter()
            .filter(|(_, _, online)| *online)
            .map(|(name, ..)| name.as_str())
            .collect();
        names.sort_unstable();
        names
    }
}

/// The registration of whoever knows this secret.
fn registration(name: &str, secret: &str) -> ClientBody {
    let mut bytes = [0; 32];
    bytes[..secret.len()].copy_from_slice(secret.as_bytes());
    ClientBody::Register {
        name: name.to_owned(),
        port: 1401,
        key: Some([0xb0; 32]),
        secret: Secret(bytes),
    }
}

fn id() -> WireDigest {
    WireDigest::from(Digest::Md5([7; 16]))
}

fn offer(files: &[&str]) -> ClientBody {
    let offered = |name: &&str| WireOffered {
        name: (*name).to_owned(),
        size: 5,
        id: id(),
    };
    ClientBody::Offer {
        files: files.iter().map(offered).collect(),
    }
}

/// Code and words of a refusal.
fn refusal(body: ServerBody) -> (u16, String) {
    match body {
        ServerBody::Refused { code, detail } => (code, detail),
        other => panic!("{other:?}"),
    }
}
