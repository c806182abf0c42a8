use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

use super::NetError;

/// After this time without an answer to what was sent, a connection counts as cut.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How much the system takes of what cannot leave yet, in bytes: enough to keep any wire busy, and so
/// little that writing takes as long as sending.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

/// Connects to the first address of `host` that answers, within `patience` in all.
///
/// `host` is a name or an address without brackets.
pub async fn dial(host: &str, port: u16, patience: Duration) -> Result<TcpStream, NetError> {
    let deadline = Instant::now() + patience;
    let resolved = timeout_at(deadline, lookup_host((host, port))).await;
    let addresses: Vec<_> = match resolved {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(NetError::Resolve(error)),
        Err(_) => return Err(NetError::Timeout("the name did not resolve in time")),
    };
    let mut failure = NetError::Resolve(io::ErrorKind::NotFound.into());
    let mut left = addresses.len() as u32;
    for address in addresses {
        // An address that swallows packets must not use up the time of the ones after it.
        let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                configure(&stream);
                return Ok(stream);
            }
            Ok(Err(error)) => failure = NetError::Connect(error),
            Err(_) => failure = NetError::Timeout("it did not answer in time"),
        }
    }
    Err(failure)
}

/// Sets what every connection of ours has: no delay for small frames, a cut without a word is
/// noticed within 30 s (keepalive, and on Linux `TCP_USER_TIMEOUT`), and how fast the wire is can be
/// seen from how fast it takes what is written.
pub fn configure(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5));
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(3);
    let set = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive));
    #[cfg(target_os = "linux")]
    let set = set
        .and_then(|()| socket.set_tcp_user_timeout(Some(USER_TIMEOUT)))
        .and_then(|()| socket.set_tcp_notsent_lowat(UNSENT));
    if let Err(error) = set {
        // The connection works without; only speed or the noticing of cuts suffers.
        tracing::debug!(%error, "a socket option could not be set");
    }
}
