use std::future::pending;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::info;

use super::table::{Offer, Online, Taken, not_registered};
use super::{Cursor, EVENTS, Line, Portion, Registry, SILENCE, Viewer, in_use};
use crate::net::NetError;
use crate::protocol::limits::{MAX_MESSAGE_BODY, TICKET_TIME};
use crate::protocol::message::{ServerBody, WireOffered};
use crate::protocol::{ErrorCode, Failure, Secret, Terms, Ticket, WireDigest, WireError};
use crate::server::Origin;
use crate::server::sessions::Session;
use crate::types::{Digest, FileName, PeerName};

/// How long a registered client may take to show that it is still there, when somebody who seems to
/// be the same wants its name.
const PROBE_TIME: Duration = Duration::from_secs(2);

/// The lowest port that a client may listen on.
const LOWEST_PORT: u16 = 1024;

/// What is sent unasked when the table has changed; of more only that it is so. The bytes leave room
/// for what is around them.
const PUSH: Portion = Portion {
    items: 1024,
    bytes: MAX_MESSAGE_BODY - 256,
};

/// The place of one conversation in the registry: what its client is registered as, if it is, and
/// what it is told. Whoever is dropped is offline.
pub(in crate::server) struct Member {
    registry: Arc<Registry>,
    session: Arc<Session>,
    address: IpAddr,
    viewer: Viewer,
    registration: Option<Registration>,
}

struct Registration {
    name: PeerName,
    events: mpsc::Receiver<ServerBody>,
    told: watch::Receiver<u64>,
    /// What it has been told.
    cursor: Cursor,
    heard: watch::Sender<u64>,
    heard_at: Instant,
}

impl Member {
    /// A client that has been let in, not registered yet.
    pub(in crate::server) fn new(
        registry: Arc<Registry>,
        session: Arc<Session>,
        origin: Origin,
    ) -> Self {
        let address = origin.address.map(|address| address.ip().to_canonical());
        Member {
            registry,
            session,
            // A pipe leads to somebody on this machine.
            address: address.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            viewer: Viewer {
                reached: origin.reached,
            },
            registration: None,
        }
    }

    /// Whether it is registered.
    pub(in crate::server) fn is_registered(&self) -> bool {
        self.registration.is_some()
    }

    /// From where it looks at the table.
    pub(in crate::server) fn viewer(&self) -> Viewer {
        self.viewer
    }

    /// Where it is, for itself.
    pub(in crate::server) fn address(&self) -> IpAddr {
        self.address
    }

    /// Gives it a name, which it may have had before: a connection of the same client that is dead
    /// and does not know it yet loses the name.
    pub(in crate::server) async fn register(
        &mut self,
        name: &str,
        port: u16,
        key: Option<[u8; 32]>,
        secret: Secret,
    ) -> Result<ServerBody, Failure> {
        let name: PeerName = name
            .parse()
            .map_err(|error| Failure::new(ErrorCode::InvalidName, format!("{error}")))?;
        if port < LOWEST_PORT {
            let what = "[Invalid client TCP port]";
            return Err(Failure::new(ErrorCode::InvalidPort, what));
        }
        if let Some(Registration { name, .. }) = &self.registration {
            let what = format!("this client is registered as {name} already: say dereg first");
            return Err(Failure::new(ErrorCode::Conflict, what));
        }
        let mut identity = [0; 32];
        identity.copy_from_slice(digest(&SHA256, &secret.0).as_ref());
        let online = Online {
            session: self.session.id(),
            identity,
            key,
            ticket_key: Secret(rand::random()),
        };
        match self.enter(&name, port, online.clone()) {
            Err(Taken::BySame(session)) => {
                if !self.registry.vacate(&name, session).await {
                    return Err(in_use());
                }
                let again = self.enter(&name, port, online.clone());
                again.map_err(refusal)?;
            }
            entered => entered.map_err(refusal)?,
        }
        info!(%name, port, "registered");
        Ok(ServerBody::Registered {
            epoch: self.registry.epoch,
            address: self.viewer.show(self.address).into(),
            ticket_key: online.ticket_key,
            clock: self.registry.clock(),
        })
    }

    fn enter(&mut self, name: &PeerName, port: u16, online: Online) -> Result<(), Taken> {
        let (sender, events) = mpsc::channel(EVENTS);
        let heard = watch::Sender::new(0);
        let line = Line {
            session: self.session.clone(),
            viewer: self.viewer,
            events: sender,
            heard: heard.subscribe(),
        };
        let (address, session) = (self.address, self.session.id());
        let told = self.registry.told.subscribe();
        self.registry.change(|inner| {
            inner.table.enter(name, address, port, online)?;
            inner.lines.insert(session, line);
            Ok(())
        })?;
        self.registration = Some(Registration {
            name: name.clone(),
            events,
            told,
            cursor: Cursor::at(0),
            heard,
            heard_at: Instant::now(),
        });
        Ok(())
    }

    /// Takes its name away again, at its own word.
    pub(in crate::server) fn deregister(
        &mut self,
        name: Option<&str>,
    ) -> Result<ServerBody, Failure> {
        let own = self.name()?;
        if name.is_some_and(|name| name != own.as_str()) {
            let what = format!("this client is {own}, and nobody takes another client's name away");
            return Err(Failure::new(ErrorCode::Forbidden, what));
        }
        self.leave();
        Ok(ServerBody::Done)
    }

    /// The client is offline.
    pub(in crate::server) fn leave(&mut self) {
        if let Some(Registration { name, .. }) = self.registration.take() {
            self.registry.remove(&name, self.session.id());
            info!(%name, "offline");
        }
    }

    /// It offers these files, too: all of them or none.
    pub(in crate::server) fn offer(&self, files: Vec<WireOffered>) -> Result<ServerBody, Failure> {
        let name = self.name()?;
        let files: Vec<Offer> = files
            .into_iter()
            .map(|file| {
                Ok(Offer {
                    name: FileName::parse(&file.name)?,
                    size: file.size,
                    id: Digest::try_from(file.id)?,
                })
            })
            .collect::<Result<_, WireError>>()?;
        let session = self.session.id();
        let offered = self
            .registry
            .change(|inner| inner.table.offer(name, session, files));
        offered.map(|()| ServerBody::Done)
    }

    /// It offers these files no more; none named: nothing at all.
    pub(in crate::server) fn withdraw(&self, names: &[String]) -> Result<ServerBody, Failure> {
        let name = self.name()?;
        let files: Vec<FileName> = names
            .iter()
            .map(|name| FileName::parse(name))
            .collect::<Result<_, _>>()
            .map_err(WireError::Name)?;
        let session = self.session.id();
        let withdrawn = self
            .registry
            .change(|inner| inner.table.withdraw(name, session, &files));
        withdrawn.map(|()| ServerBody::Done)
    }

    /// A ticket for this file of that client, for who shows this key there.
    pub(in crate::server) fn ticket(
        &self,
        owner: &str,
        file: &str,
        key: Option<[u8; 32]>,
    ) -> Result<ServerBody, Failure> {
        let named = owner.parse().ok().zip(FileName::parse(file).ok());
        let provider = named.and_then(|(owner, file)| self.registry.provider(&owner, &file));
        let provider = provider.ok_or_else(invalid_request)?;
        let requester = self.registration.as_ref();
        let terms = Terms {
            owner: owner.to_owned(),
            file: file.to_owned(),
            size: provider.size,
            id: WireDigest::from(provider.id),
            requester: requester.map(|registration| registration.name.to_string()),
            key,
            expires: self.registry.clock() + TICKET_TIME.as_millis() as u64,
        };
        let ticket = Ticket::new(terms, &provider.online.ticket_key);
        Ok(ServerBody::Ticket {
            address: self.viewer.show(provider.address).into(),
            port: provider.port,
            key: provider.online.key,
            ticket: Box::new(ticket.ok_or_else(invalid_request)?),
        })
    }

    /// Notes that the client is there.
    pub(in crate::server) fn heard(&mut self) {
        if let Some(registration) = &mut self.registration {
            registration.heard_at = Instant::now();
            registration.heard.send_modify(|times| *times += 1);
        }
    }

    /// By when something must have been heard of it, if it is registered.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        let registration = self.registration.as_ref()?;
        Some(registration.heard_at + SILENCE)
    }

    /// What the client has to be told next; an error when nothing was heard of it for too long. Can
    /// be dropped and called again.
    pub(in crate::server) async fn event(&mut self) -> Result<ServerBody, NetError> {
        let Some(registration) = &mut self.registration else {
            return pending().await;
        };
        loop {
            tokio::select! {
                biased;
                () = sleep_until(registration.heard_at + SILENCE) => {
                    return Err(NetError::Timeout("a registered client was not heard of in time"));
                }
                Some(event) = registration.events.recv() => return Ok(event),
                Ok(()) = registration.told.changed() => {
                    if let Some(news) = registration.news(&self.registry, self.viewer) {
                        return Ok(news);
                    }
                }
                else => return pending().await,
            }
        }
    }

    fn name(&self) -> Result<&PeerName, Failure> {
        let registration = self.registration.as_ref();
        Ok(&registration.ok_or_else(not_registered)?.name)
    }
}

impl Registration {
    /// What has changed since it was told, if anything has.
    fn news(&mut self, registry: &Registry, viewer: Viewer) -> Option<ServerBody> {
        let news = registry.read(self.cursor, PUSH, viewer);
        if news.version == self.cursor.version {
            return None;
        }
        self.cursor = Cursor::at(news.version);
        Some(match news.more {
            false => news.body,
            true => ServerBody::Changed {
                epoch: registry.epoch,
                version: news.version,
            },
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Registry {
    /// Asks the client that is registered in this session whether it is still there. If it does not
    /// answer it loses its name, and its session ends. Whether the name is free.
    async fn vacate(self: &Arc<Self>, name: &PeerName, session: u64) -> bool {
        let Some(mut line) = self.inner().lines.get(&session).cloned() else {
            return true;
        };
        line.heard.mark_unchanged();
        // Who cannot even take the question does not answer it.
        let _ = line.events.try_send(ServerBody::Probe);
        match timeout(PROBE_TIME, line.heard.changed()).await {
            Ok(Ok(())) => false,
            Ok(Err(_)) => true,
            Err(_) => {
                self.remove(name, session);
                line.session.end(Failure::new(
                    ErrorCode::Conflict,
                    "this client has registered again on another connection",
                ));
                true
            }
        }
    }

    fn remove(self: &Arc<Self>, name: &PeerName, session: u64) {
        self.change(|inner| {
            inner.lines.remove(&session);
            inner.table.leave(name, session);
        });
    }
}

fn refusal(taken: Taken) -> Failure {
    match taken {
        Taken::BySame(_) | Taken::ByOther => in_use(),
        Taken::Full => Failure::new(
            ErrorCode::QuotaExceeded,
            "the server has as many registered clients as it takes",
        ),
    }
}

/// The refusal of whatever is not offered, a malformed name included.
pub(in crate::server) fn invalid_request() -> Failure {
    Failure::new(ErrorCode::NotFound, "[Invalid Request]")
}
