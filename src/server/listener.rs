use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span, warn};

use super::complaint::Complaint;
use super::{Origin, Server};
use crate::net::{self, NetError};
use crate::protocol::limits::GREETING_TIME;
use crate::protocol::preface::Refusal;

/// How long running requests get when the server stops (contract section 3).
const GRACE: Duration = Duration::from_secs(10);

/// How long to wait after a failed accept, which is almost always a lack of descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How many clients that find the server full are told so at once; the rest are just closed.
const REFUSALS: usize = 64;

/// How long a client that finds the server full may take to read that.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

pub(super) async fn run(server: Server, listeners: Vec<TcpListener>, shutdown: CancellationToken) {
    let tracker = TaskTracker::new();
    let abort = CancellationToken::new();
    let door = Arc::new(Door {
        connections: Arc::new(Semaphore::new(server.context.options.max_connections)),
        refusals: Arc::new(Semaphore::new(REFUSALS)),
        tracker: tracker.clone(),
        abort: abort.clone(),
        server: server.clone(),
        failed: Complaint::default(),
        full: Complaint::default(),
    });
    let accepting = TaskTracker::new();
    for listener in listeners {
        let (door, shutdown) = (door.clone(), shutdown.clone());
        accepting.spawn(async move { door.accept(listener, shutdown).await });
    }
    accepting.close();
    shutdown.cancelled().await;
    accepting.wait().await;
    server.context.shutdown.cancel();
    tracker.close();
    info!(connections = tracker.len(), "stopping");
    if timeout(GRACE, tracker.wait()).await.is_err() {
        warn!(connections = tracker.len(), "cutting off what still runs");
        abort.cancel();
        tracker.wait().await;
    }
}

struct Door {
    server: Server,
    connections: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    tracker: TaskTracker,
    abort: CancellationToken,
    failed: Complaint,
    full: Complaint,
}

impl Door {
    async fn accept(&self, listener: TcpListener, shutdown: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => {
                    if let Some(times) = self.failed.note() {
                        warn!(%error, times, "connections could not be accepted");
                    }
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        match self.connections.clone().try_acquire_owned() {
            Ok(permit) => self.serve(stream, peer, permit),
            Err(_) => self.refuse(stream, peer),
        }
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        net::configure(&stream);
        let (server, abort) = (self.server.clone(), self.abort.clone());
        let greeted_by = Instant::now() + GREETING_TIME;
        let span = info_span!("connection", %peer);
        let serving = async move {
            debug!("connected");
            let ended = tokio::select! {
                ended = server.serve(stream, peer, greeted_by) => ended,
                () = abort.cancelled() => Err(NetError::Timeout("the server stopped")),
            };
            match ended {
                Ok(()) | Err(NetError::Closed) => debug!("disconnected"),
                Err(error) => info!(%error, "the connection ended early"),
            }
            drop(permit);
        };
        self.tracker.spawn(serving.instrument(span));
    }

    fn refuse(&self, stream: TcpStream, peer: SocketAddr) {
        if let Some(times) = self.full.note() {
            warn!(%peer, times, "no room for another connection");
        }
        let Ok(permit) = self.refusals.clone().try_acquire_owned() else {
            return;
        };
        let server = self.server.clone();
        self.tracker.spawn(async move {
            let _ = timeout(REFUSAL_TIME, server.refuse(stream)).await;
            drop(permit);
        });
    }
}

impl Server {
    /// Serves a connection from its first byte, which is TLS unless the server is plaintext.
    async fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        greeted_by: Instant,
    ) -> Result<(), NetError> {
        let address = Some(peer);
        let reached = stream.local_addr().ok().map(|local| local.ip());
        let origin = |encrypted| Origin {
            address,
            encrypted,
            reached,
        };
        let Some(tls) = &self.context.options.tls else {
            return self.converse_by(stream, origin(false), greeted_by).await;
        };
        let stream = tokio::select! {
            // Nothing is lost with a client that has not shaken hands yet.
            () = self.context.shutdown.cancelled() => return Ok(()),
            accepted = tls.acceptor.accept(stream) => accepted?,
        };
        self.converse_by(stream, origin(true), greeted_by).await
    }

    /// Tells a client that there is no room, inside TLS where it expects that.
    async fn refuse(&self, mut stream: TcpStream) -> Result<(), NetError> {
        match &self.context.options.tls {
            None => net::refuse(&mut stream, Refusal::Busy).await,
            Some(tls) => {
                let mut stream = tls.acceptor.accept(stream).await?;
                net::refuse(&mut stream, Refusal::Busy).await;
            }
        }
        Ok(())
    }
}
