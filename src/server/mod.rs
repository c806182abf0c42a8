//! The server: accept loop, one task per connection, one file per command.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::access::Role;
use crate::store::Store;

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

/// Serves one store to any number of clients.
pub struct Server {}

impl Server {
    /// A server of `store`.
    pub fn new(_store: Store, _options: ServerOptions) -> Self {
        todo!()
    }
    /// Serves until `shutdown` is cancelled: then takes no new connections, gives running transfers
    /// up to 10 s, and returns. The caller binds and the caller stops.
    pub async fn run(self, _listeners: Vec<TcpListener>, _shutdown: CancellationToken) {
        todo!()
    }
}
