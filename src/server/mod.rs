//! The server: accept loop, one task per connection, one file per command.
//!
//! A request takes this way: `listener` accepts, `conversation` reads messages and holds them
//! against the session, `commands` answers the single ones, `listing`, `download` and
//! `upload` answer the ones that stream.

mod commands;
mod conversation;
mod download;
mod failure;
mod listener;
mod listing;
mod partial;
mod upload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::access::Role;
use crate::net::{NetError, Throttle, accept_preface};
use crate::protocol::limits::GREETING_TIME;
use crate::store::Store;

use conversation::Conversation;

/// What this program calls itself in greetings.
pub(crate) const SOFTWARE: &str = concat!("fileshare/", env!("CARGO_PKG_VERSION"));

/// How a [`Server`] behaves.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// What a client without an account may do.
    pub anonymous: Role,
    /// How many connections to take at once.
    pub max_connections: usize,
    /// After how long an idle connection is closed.
    pub idle_timeout: Duration,
    /// The most bytes of file content per second, all clients together, each way.
    pub limit_rate: Option<u64>,
    /// The host name that `info` shows.
    pub host: String,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            anonymous: Role::Contributor,
            max_connections: 16_384,
            idle_timeout: Duration::from_secs(30 * 60),
            limit_rate: None,
            host: "localhost".to_owned(),
        }
    }
}

/// Serves one store to any number of clients. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    context: Arc<Context>,
}

/// What every conversation needs.
struct Context {
    store: Store,
    options: ServerOptions,
    started: Instant,
    throttle: Option<Arc<Throttle>>,
    /// Cancelled when no new requests are to be taken.
    shutdown: CancellationToken,
}

impl Server {
    /// A server of `store`.
    pub fn new(store: Store, options: ServerOptions) -> Self {
        let throttle = options.limit_rate.map(|rate| Arc::new(Throttle::new(rate)));
        Server {
            context: Arc::new(Context {
                store,
                options,
                started: Instant::now(),
                throttle,
                shutdown: CancellationToken::new(),
            }),
        }
    }

    /// Serves until `shutdown` is cancelled: then takes no new connections and requests, gives
    /// running ones up to 10 s, and returns. The caller binds, the caller stops, and the caller
    /// closes the store.
    pub async fn run(self, listeners: Vec<TcpListener>, shutdown: CancellationToken) {
        listener::run(self, listeners, shutdown).await;
    }

    /// Serves one client over any stream, from the preface to its end.
    pub async fn converse<S>(&self, mut stream: S) -> Result<(), NetError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let deadline = tokio::time::Instant::now() + GREETING_TIME;
        let accepted = timeout_at(deadline, accept_preface(&mut stream));
        let version = tokio::select! {
            // Nothing is lost with a client that has not said hello yet.
            () = self.context.shutdown.cancelled() => return Ok(()),
            accepted = accepted => {
                accepted.map_err(|_| NetError::Timeout("no greeting came in time"))??
            }
        };
        Conversation::new(stream, version, self.context.clone())
            .run(deadline)
            .await
    }
}
