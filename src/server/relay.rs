//! Carrying bytes between two clients of which one cannot reach the other. They speak TLS with each
//! other inside: what is carried says nothing to the server.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tracing::info;

use super::conversation::{Conversation, blocking, refused};
use super::registry::{Registry, invalid_request};
use super::sessions::Session;
use super::{Context, permission};
use crate::net::{NetError, Throttle};
use crate::protocol::message::{ClientBody, ServerBody};
use crate::protocol::{ErrorCode, Failure, Secret, Ticket};

/// How many relays there are at once, waiting ones included: each takes two connections and
/// buffers of [`PIPE`] bytes.
const MAX_RELAYS: usize = 256;

/// How long the owner of a file may take to come for a relay.
const ACCEPT_TIME: Duration = Duration::from_secs(10);

/// How long nothing may move in a relay: inside of it somebody says every 2 s that he is at work.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// How often to look whether anything moved.
const IDLE_LOOK: Duration = Duration::from_secs(5);

/// How many bytes of one relay wait in the server, each way.
const PIPE: usize = 64 * 1024;

/// Whether, how fast and how much a server relays.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// Whether it does at all.
    pub allowed: bool,
    /// The most bytes per second, all relays together.
    pub limit_rate: Option<u64>,
    /// The most bytes in all, from the start of the server to its end.
    pub limit: Option<u64>,
}

impl Default for RelayOptions {
    fn default() -> Self {
        RelayOptions {
            allowed: true,
            limit_rate: None,
            limit: None,
        }
    }
}

/// The relays of a server.
pub(super) struct Relays {
    allowed: bool,
    room: Arc<Semaphore>,
    waiting: Mutex<HashMap<Secret, oneshot::Sender<DuplexStream>>>,
    meter: Meter,
}

/// What is carried, all relays together.
struct Meter {
    throttle: Option<Throttle>,
    left: Option<AtomicU64>,
}

/// A relay that its owner is wanted for. Dropped, nobody can come for it any more.
struct Wanted<'a> {
    relays: &'a Relays,
    id: Secret,
    accepted: oneshot::Receiver<DuplexStream>,
    permit: Option<OwnedSemaphorePermit>,
}

/// One side of a relay that both sides have come to.
pub(super) struct Relay {
    pipe: DuplexStream,
    /// What the side has that asked for it, and that counts what is carried.
    permit: Option<OwnedSemaphorePermit>,
}

impl Relays {
    pub(super) fn new(options: &RelayOptions) -> Self {
        Relays {
            allowed: options.allowed,
            room: Arc::new(Semaphore::new(MAX_RELAYS)),
            waiting: Mutex::default(),
            meter: Meter {
                throttle: options.limit_rate.map(Throttle::new),
                left: options.limit.map(AtomicU64::new),
            },
        }
    }

    /// Asks the owner of the ticket's file to come, for a client at this address.
    fn open(
        &self,
        registry: &Registry,
        ticket: &Ticket,
        address: IpAddr,
    ) -> Result<Wanted<'_>, Failure> {
        if !self.allowed {
            let what = "this server relays nothing (--no-relay): that client has to be reachable";
            return Err(Failure::new(ErrorCode::Forbidden, what));
        }
        self.meter.check()?;
        let owner = ticket.terms.owner.parse().ok();
        let online = owner.and_then(|owner| registry.online(&owner));
        let (session, key) = online.ok_or_else(invalid_request)?;
        if !ticket.is_sealed_with(&key) || ticket.terms.expires < registry.clock() {
            return Err(invalid_request());
        }
        let permit = self.room.clone().try_acquire_owned();
        let permit = permit.map_err(|_| {
            let what = format!("{MAX_RELAYS} relays are under way already: try again later");
            Failure::new(ErrorCode::Busy, what)
        })?;
        let id = Secret(rand::random());
        let (accept, accepted) = oneshot::channel();
        self.waiting().insert(id, accept);
        let wanted = Wanted {
            relays: self,
            id,
            accepted,
            permit: Some(permit),
        };
        let sent = registry.send(session, |owner| ServerBody::RelayWanted {
            id,
            address: owner.show(address).into(),
        });
        match sent {
            true => Ok(wanted),
            false => Err(unreachable()),
        }
    }

    /// The owner has come.
    fn accept(&self, id: Secret) -> Result<Relay, Failure> {
        let gone = || {
            let what = "nobody waits for this relay any more";
            Failure::new(ErrorCode::NotFound, what)
        };
        let waiting = self.waiting().remove(&id).ok_or_else(gone)?;
        let (near, far) = duplex(PIPE);
        waiting.send(far).map_err(|_| gone())?;
        Ok(Relay {
            pipe: near,
            permit: None,
        })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Secret, oneshot::Sender<DuplexStream>>> {
        self.waiting.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Wanted<'_> {
    async fn accepted(mut self) -> Result<Relay, Failure> {
        let accepted = timeout(ACCEPT_TIME, &mut self.accepted).await;
        let pipe = accepted.ok().and_then(Result::ok);
        Ok(Relay {
            pipe: pipe.ok_or_else(unreachable)?,
            permit: self.permit.take(),
        })
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.relays.waiting().remove(&self.id);
    }
}

fn unreachable() -> Failure {
    let what = "that client did not come to the relay";
    Failure::new(ErrorCode::Unreachable, what)
}

impl Meter {
    /// Whether anything may be carried still.
    fn check(&self) -> Result<(), Failure> {
        match &self.left {
            Some(left) if left.load(Ordering::Relaxed) == 0 => {
                let what = "this server has relayed as much as it may (--relay-limit)";
                Err(Failure::new(ErrorCode::QuotaExceeded, what))
            }
            _ => Ok(()),
        }
    }

    /// Takes so many bytes, and waits until it is their turn.
    async fn take(&self, bytes: usize) -> Result<(), NetError> {
        if let Some(left) = &self.left {
            let take = |left: u64| left.checked_sub(bytes as u64);
            let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
            if taken.is_err() {
                left.store(0, Ordering::Relaxed);
                return Err(NetError::Timeout("all that may be relayed was relayed"));
            }
        }
        if let Some(throttle) = &self.throttle {
            throttle.sending(bytes).await;
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    /// Answers `Relay` and `RelayAccept`. What comes after that are the bytes of another client: the
    /// conversation is over, and leaves its side of the relay behind, or nothing.
    pub(super) async fn relay(&mut self, number: u32, request: ClientBody) -> Result<(), NetError> {
        match self.open_relay(number, request).await? {
            Ok(relay) => {
                self.outbox.answer(number, ServerBody::Relaying).await?;
                self.relay = Some(relay);
            }
            Err(failure) => self.outbox.answer(number, refused(&failure)).await?,
        }
        Err(NetError::Closed)
    }

    async fn open_relay(
        &mut self,
        number: u32,
        request: ClientBody,
    ) -> Result<Result<Relay, Failure>, NetError> {
        if let Some(action) = permission::needs(&request) {
            let session = self.session.session();
            if let Err(failure) = blocking(move || session.allow(action)).await {
                return Ok(Err(failure));
            }
        }
        let Context {
            relays, registry, ..
        } = &*self.context;
        match request {
            ClientBody::Relay(ticket) => {
                match relays.open(registry, &ticket, self.member.address()) {
                    Ok(wanted) => self.outbox.alive_during(number, wanted.accepted()).await,
                    Err(failure) => Ok(Err(failure)),
                }
            }
            ClientBody::RelayAccept { id } => Ok(relays.accept(id)),
            _ => Ok(Err(invalid_request())),
        }
    }
}

impl Relay {
    /// Carries bytes both ways, until both sides have come to their end or somebody ends the
    /// session.
    pub(super) async fn carry<S: AsyncRead + AsyncWrite + Send>(
        self,
        stream: S,
        session: &Session,
        relays: &Relays,
    ) -> Result<(), NetError> {
        info!("relaying");
        let meter = self.permit.is_some().then_some(&relays.meter);
        let moved = AtomicU64::new(0);
        let (from_own, to_own) = split(stream);
        let (from_other, to_other) = split(self.pipe);
        let up = pass(from_own, to_other, meter, &moved, |bytes| {
            session.received(bytes)
        });
        let down = pass(from_other, to_own, meter, &moved, |bytes| {
            session.sent(bytes)
        });
        tokio::select! {
            passed = async { tokio::try_join!(up, down) } => passed.map(|_| ()),
            () = until_idle(&moved) => Err(NetError::Timeout("nothing moved in a relay")),
            reason = session.ended() => {
                info!(%reason, "a relay was ended");
                Ok(())
            }
        }
    }
}

/// Passes on what comes, to its end.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    meter: Option<&Meter>,
    moved: &AtomicU64,
    count: impl Fn(usize),
) -> Result<(), NetError> {
    let mut buffer = vec![0; PIPE];
    loop {
        let read = match from.read(&mut buffer).await {
            // TLS without its last word: whether that was the end, those inside know.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
            read => read.map_err(NetError::Cut)?,
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return to.shutdown().await.map_err(NetError::Cut);
        }
        if let Some(meter) = meter {
            meter.take(read).await?;
        }
        to.write_all(bytes).await.map_err(NetError::Cut)?;
        to.flush().await.map_err(NetError::Cut)?;
        count(read);
        moved.fetch_add(1, Ordering::Relaxed);
    }
}

async fn until_idle(moved: &AtomicU64) {
    let (mut seen, mut since) = (0, Instant::now());
    while since.elapsed() < IDLE_TIME {
        sleep(IDLE_LOOK).await;
        let now = moved.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
}
