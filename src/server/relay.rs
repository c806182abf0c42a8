//! Carrying bytes between two clients of which one cannot reach the other. They speak TLS with each
//! other inside: what is carried says nothing to the server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tracing::info;

use super::conversation::{Conversation, blocking, refused};
use super::permission;
use super::registry::{Registry, invalid_request};
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
    _permit: OwnedSemaphorePermit,
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
            _permit: permit,
        };
        let address = address.into();
        match registry.send(session, ServerBody::RelayWanted { id, address }) {
            true => Ok(wanted),
            false => Err(unreachable()),
        }
    }

    /// The owner has come.
    fn accept(&self, id: Secret) -> Result<DuplexStream, Failure> {
        let gone = || {
            let what = "nobody waits for this relay any more";
            Failure::new(ErrorCode::NotFound, what)
        };
        let waiting = self.waiting().remove(&id).ok_or_else(gone)?;
        let (near, far) = duplex(PIPE);
        waiting.send(far).map_err(|_| gone())?;
        Ok(near)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Secret, oneshot::Sender<DuplexStream>>> {
        self.waiting.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Wanted<'_> {
    async fn accepted(&mut self) -> Result<DuplexStream, Failure> {
        let accepted = timeout(ACCEPT_TIME, &mut self.accepted).await;
        accepted.ok().and_then(Result::ok).ok_or_else(unreachable)
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
    /// Answers `Relay` and `RelayAccept`: what comes after that are the bytes of another client,
    /// and this conversation ends with them.
    pub(super) async fn relay(&mut self, number: u32, request: ClientBody) -> Result<(), NetError> {
        let context = self.context.clone();
        let session = self.session.session();
        if let Some(action) = permission::needs(&request) {
            let session = session.clone();
            if let Err(failure) = blocking(move || session.allow(action)).await {
                return self.not_relayed(number, &failure).await;
            }
        }
        let mut wanted = None;
        let pipe = match request {
            ClientBody::Relay(ticket) => {
                let address = self.member.address();
                match context.relays.open(&context.registry, &ticket, address) {
                    Err(failure) => Err(failure),
                    Ok(relay) => {
                        let accepted = wanted.insert(relay).accepted();
                        self.outbox.alive_during(number, accepted).await?
                    }
                }
            }
            ClientBody::RelayAccept { id } => context.relays.accept(id),
            _ => Err(invalid_request()),
        };
        let pipe = match pipe {
            Ok(pipe) => pipe,
            Err(failure) => return self.not_relayed(number, &failure).await,
        };
        self.outbox.answer(number, ServerBody::Relaying).await?;
        info!("relaying");
        // One of the two sides counts.
        let meter = wanted.is_some().then_some(&context.relays.meter);
        self.carry(pipe, meter).await?;
        Err(NetError::Closed)
    }

    async fn not_relayed(&mut self, number: u32, failure: &Failure) -> Result<(), NetError> {
        self.outbox.answer(number, refused(failure)).await?;
        Err(NetError::Closed)
    }

    /// Carries bytes both ways, until both sides have come to their end.
    async fn carry(&mut self, pipe: DuplexStream, meter: Option<&Meter>) -> Result<(), NetError> {
        let session = self.session.session();
        let (mut from_other, mut to_other) = split(pipe);
        let (reader, writer) = (&mut self.reader, &mut self.outbox.writer);
        let moved = AtomicU64::new(0);
        let count = async |bytes: usize| {
            moved.fetch_add(1, Ordering::Relaxed);
            match meter {
                Some(meter) => meter.take(bytes).await,
                None => Ok(()),
            }
        };
        let up = async {
            loop {
                let bytes = reader.raw().await?;
                if bytes.is_empty() {
                    return to_other.shutdown().await.map_err(NetError::Cut);
                }
                count(bytes.len()).await?;
                session.received(bytes.len());
                to_other.write_all(&bytes).await.map_err(NetError::Cut)?;
            }
        };
        let down = async {
            let mut buffer = vec![0; PIPE];
            loop {
                let read = from_other.read(&mut buffer).await.map_err(NetError::Cut)?;
                let bytes = buffer.get(..read).unwrap_or_default();
                if bytes.is_empty() {
                    return writer.shutdown().await;
                }
                count(bytes.len()).await?;
                session.sent(bytes.len());
                writer.raw(bytes).await?;
            }
        };
        let idle = async {
            let (mut seen, mut since) = (0, Instant::now());
            while since.elapsed() < IDLE_TIME {
                sleep(IDLE_LOOK).await;
                let now = moved.load(Ordering::Relaxed);
                if now != seen {
                    (seen, since) = (now, Instant::now());
                }
            }
        };
        tokio::select! {
            carried = async { tokio::try_join!(up, down) } => carried.map(|_| ()),
            () = idle => Err(NetError::Timeout("nothing moved in a relay")),
        }
    }
}
