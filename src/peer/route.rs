use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tracing::debug;

use super::shelf::invalid_request;
use super::{Event, Observer, Peer};
use crate::client::{Client, Opening, Route, Stream};
use crate::net::{self, PeerTls};
use crate::protocol::message::{ClientBody, ServerBody};
use crate::protocol::{ErrorCode, Failure, Ticket};
use crate::types::{Digest, FileName, Fingerprint, PeerName};

/// How long to try a direct connection before the server is asked to relay.
const DIRECT: Duration = Duration::from_secs(3);

/// The way to a file of another client: a ticket from the server, then straight there, or through
/// the server when that does not work.
pub(super) struct PeerRoute {
    pub(super) owner: PeerName,
    pub(super) file: FileName,
    pub(super) asker: Asker,
    pub(super) tls: Option<PeerTls>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) known: Mutex<Known>,
}

/// Who asks the server.
pub(super) struct Asker {
    /// Makes connections to the server.
    pub(super) client: Client,
    /// The registered client that asks, if one does: the other side sees its name.
    pub(super) peer: Option<Peer>,
}

/// What is known of a file by now.
#[derive(Default)]
pub(super) struct Known {
    /// A ticket that was not used yet.
    admission: Option<Admission>,
    /// What the file must be.
    file: Option<(Digest, u64)>,
    /// Whether the last connection goes through the server.
    relayed: bool,
}

/// A ticket, and where it is good.
#[derive(Clone)]
struct Admission {
    address: IpAddr,
    port: u16,
    key: Option<Fingerprint>,
    ticket: Box<Ticket>,
}

impl PeerRoute {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Asks the server for the file; returns where it is, and what it must be.
    pub(super) async fn prepare(&self) -> Result<(IpAddr, u16, Digest), Failure> {
        let admission = self.ask().await?;
        let id = Digest::try_from(admission.ticket.terms.id.clone());
        let id = id.map_err(|_| broken("a ticket for a file with no id"))?;
        let (address, port) = (admission.address, admission.port);
        let mut known = self.known();
        known.file = Some((id, admission.ticket.terms.size));
        known.admission = Some(admission);
        Ok((address, port, id))
    }

    async fn ask(&self) -> Result<Admission, Failure> {
        let request = ClientBody::Ticket {
            owner: self.owner.as_str().to_owned(),
            file: self.file.as_str().to_owned(),
            key: self.tls.as_ref().map(|tls| tls.fingerprint().bytes()),
        };
        let answer = match &self.asker.peer {
            Some(peer) => peer.ask(request).await,
            None => self.asker.client.beside().ask_once_for(request).await,
        };
        match answer {
            Ok(ServerBody::Ticket {
                address,
                port,
                key,
                ticket,
            }) => Ok(Admission {
                address: address.into(),
                port,
                key: key.map(Fingerprint::new),
                ticket,
            }),
            Ok(_) => Err(broken("another answer than a ticket")),
            Err(failure) if failure.code == ErrorCode::NotFound => Err(invalid_request(format!(
                "{} of client {}",
                self.file, self.owner
            ))),
            Err(failure) => Err(failure),
        }
    }

    /// A ticket for a further try: for the same file, or none.
    async fn ask_again(&self) -> Result<Admission, Failure> {
        let admission = match self.ask().await {
            // It was there a moment ago, and may come back.
            Err(failure) if failure.code == ErrorCode::NotFound => {
                let message = format!("client {} has gone: {failure}", self.owner);
                return Err(Failure::new(ErrorCode::Disconnected, message));
            }
            other => other?,
        };
        let terms = &admission.ticket.terms;
        let now = Digest::try_from(terms.id.clone())
            .ok()
            .map(|id| (id, terms.size));
        match now == self.known().file {
            true => Ok(admission),
            false => Err(Failure::new(
                ErrorCode::Conflict,
                format!("client {} offers another {} by now", self.owner, self.file),
            )),
        }
    }

    async fn go(&self) -> Result<(Box<dyn Stream>, Box<Ticket>), Failure> {
        let unused = self.known().admission.take();
        let admission = match unused {
            Some(admission) => admission,
            None => self.ask_again().await?,
        };
        let direct = self.directly(&admission).await;
        let relayed = direct.is_err();
        let stream = match direct {
            Ok(stream) => stream,
            Err(why) => {
                debug!(%why, owner = %self.owner, "no direct connection");
                self.relayed(&admission, &why).await?
            }
        };
        self.known().relayed = relayed;
        Ok((stream, admission.ticket))
    }

    async fn directly(&self, admission: &Admission) -> Result<Box<dyn Stream>, Failure> {
        let (host, port) = (admission.address.to_string(), admission.port);
        let dialled = net::dial(&host, port, DIRECT).await;
        let stream = dialled.map_err(|error| unreachable(&error))?;
        self.secure(Box::new(stream), admission).await
    }

    async fn relayed(
        &self,
        admission: &Admission,
        why: &Failure,
    ) -> Result<Box<dyn Stream>, Failure> {
        let relay = ClientBody::Relay(admission.ticket.clone());
        let unreached = |failure: Failure| {
            let (owner, address, port) = (&self.owner, admission.address, admission.port);
            let message = format!(
                "client {owner} cannot be reached at {address} port {port} ({why}), nor through the server ({failure})"
            );
            Failure::new(ErrorCode::Unreachable, message)
        };
        let relaying = self.asker.client.beside().relay(relay).await;
        let stream = relaying.map_err(unreached)?;
        match self.secure(stream, admission).await {
            Err(failure) if failure.code == ErrorCode::Unreachable => Err(unreached(failure)),
            secured => secured,
        }
    }

    /// The stream encrypted, once the other side has proved to be who the server says. In plaintext
    /// nobody proves anything.
    async fn secure(
        &self,
        stream: Box<dyn Stream>,
        admission: &Admission,
    ) -> Result<Box<dyn Stream>, Failure> {
        match (&self.tls, admission.key) {
            (None, None) => Ok(stream),
            (Some(tls), Some(key)) => {
                let secured = tls.connect(stream, key).await;
                let stream = secured.map_err(|error| match error {
                    net::NetError::OtherKey | net::NetError::KeyNotHeld => {
                        let message = format!("somebody else than client {} is there", self.owner);
                        Failure::new(ErrorCode::Untrusted, message)
                    }
                    error => unreachable(&error),
                })?;
                Ok(Box::new(stream))
            }
            _ => {
                let message = format!("the server vouches for no key of client {}", self.owner);
                Err(Failure::new(ErrorCode::Untrusted, message))
            }
        }
    }
}

impl Route for PeerRoute {
    fn open(&self) -> Opening<'_> {
        Box::pin(self.go())
    }

    fn met(&self) {
        let relayed = self.known().relayed;
        let owner = self.owner.clone();
        self.observer
            .happened(&Event::Established { owner, relayed });
    }

    fn size(&self) -> Option<u64> {
        self.known().file.map(|(_, size)| size)
    }
}

fn unreachable(error: &net::NetError) -> Failure {
    Failure::new(ErrorCode::Unreachable, error.to_string())
}

fn broken(what: &str) -> Failure {
    let message = format!("the server broke the protocol: {what}");
    Failure::new(ErrorCode::Protocol, message)
}
