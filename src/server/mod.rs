//! The server: accept loop, one task per connection, one file per command.
//!
//! A connection takes this way: `listener` accepts it and shakes hands, `greeting` hears who it is
//! (`login`, `attempts`, `turns`) and puts it on the list (`sessions`).
//!
//! A request takes this way: `conversation` reads messages and holds them against the session,
//! `permission` says what they need, `commands` answers the single ones, `listing`, `download` and
//! `upload` answer the ones that stream.

mod attempts;
mod commands;
mod complaint;
mod conversation;
mod download;
mod failure;
mod greeting;
mod listener;
mod listing;
mod login;
mod partial;
mod permission;
mod sessions;
mod signature;
mod trash;
mod turns;
mod upload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::access::{Accounts, Role};
use crate::net::{IdentityError, NetError, Throttle, TlsAcceptor, TlsIdentity, accept_preface};
use crate::protocol::limits::GREETING_TIME;
use crate::store::Store;
use crate::types::Fingerprint;

use login::Logins;
use permission::Rules;
use sessions::Sessions;

/// What this program calls itself in greetings.
pub(crate) const SOFTWARE: &str = concat!("fileshare/", env!("CARGO_PKG_VERSION"));

/// How a [`Server`] behaves.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// What a client without an account may do. Without a word of it a contributor's share while
    /// there is no accounts file, and nothing from then on.
    pub anonymous: Option<Role>,
    /// Who may log in; nobody without it.
    pub accounts: Option<Accounts>,
    /// Encrypts connections; without it they are plaintext.
    pub tls: Option<ServerTls>,
    /// How many connections to take at once.
    pub max_connections: usize,
    /// After how long an idle connection is closed.
    pub idle_timeout: Duration,
    /// The most bytes of file content per second, all clients together, each way.
    pub limit_rate: Option<u64>,
    /// The host name that `info` shows.
    pub host: String,
    /// Whether this process can reach nothing but its own folders, which `info` shows.
    pub confined: bool,
}

/// The identity of a server, ready for use.
#[derive(Debug, Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    fingerprint: Fingerprint,
}

impl ServerTls {
    /// Makes `identity` ready for use.
    pub fn new(identity: &TlsIdentity) -> Result<Self, IdentityError> {
        Ok(ServerTls {
            acceptor: identity.acceptor()?,
            fingerprint: identity.fingerprint(),
        })
    }

    /// What clients know the server by.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// Where a conversation comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The client's address; `None` for a stream that has none.
    pub address: Option<SocketAddr>,
    /// Whether nobody on the way can read along. Without it passwords are taken from this machine
    /// only.
    pub encrypted: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            anonymous: None,
            accounts: None,
            tls: None,
            max_connections: 16_384,
            idle_timeout: Duration::from_secs(30 * 60),
            limit_rate: None,
            host: "localhost".to_owned(),
            confined: false,
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
    rules: Rules,
    logins: Logins,
    sessions: Arc<Sessions>,
    /// Cancelled when no new requests are to be taken.
    shutdown: CancellationToken,
}

impl Server {
    /// A server of `store`.
    pub fn new(store: Store, options: ServerOptions) -> Self {
        let throttle = options.limit_rate.map(|rate| Arc::new(Throttle::new(rate)));
        let rules = Rules::new(options.accounts.clone(), options.anonymous);
        Server {
            context: Arc::new(Context {
                store,
                options,
                started: Instant::now(),
                throttle,
                rules,
                logins: Logins::default(),
                sessions: Arc::default(),
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

    /// Serves one client over any stream, from the preface to its end. Encryption is the caller's:
    /// the stream is what is inside.
    pub async fn converse<S>(&self, stream: S, origin: Origin) -> Result<(), NetError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let deadline = tokio::time::Instant::now() + GREETING_TIME;
        self.converse_by(stream, origin, deadline).await
    }

    /// The same with the greeting, login included, over at `deadline`.
    async fn converse_by<S>(
        &self,
        mut stream: S,
        origin: Origin,
        deadline: tokio::time::Instant,
    ) -> Result<(), NetError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let accepted = timeout_at(deadline, accept_preface(&mut stream));
        let version = tokio::select! {
            // Nothing is lost with a client that has not said hello yet.
            () = self.context.shutdown.cancelled() => return Ok(()),
            accepted = accepted => {
                accepted.map_err(|_| NetError::Timeout("no greeting came in time"))??
            }
        };
        conversation::hold(stream, version, origin, self.context.clone(), deadline).await
    }
}
