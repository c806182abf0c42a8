use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::link::{self, Heard, Link, Stream};
use super::trust::Decision;
use super::{Credentials, ServerAddress, Trust};
use crate::access::Role;
use crate::net::{self, NetError, Throttle};
use crate::protocol::limits::GREETING_TIME;
use crate::protocol::message::{ClientBody, Login, ServerBody};
use crate::protocol::preface::{HIGHEST_VERSION, Refusal};
use crate::protocol::{ErrorCode, Failure, Ticket};
use crate::types::{Fingerprint, Printable};

/// What this program calls itself in greetings.
const SOFTWARE: &str = concat!("fileshare/", env!("CARGO_PKG_VERSION"));

/// How to get to the server.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) address: ServerAddress,
    pub(super) timeout: Duration,
    pub(super) throttle: Option<Arc<Throttle>>,
    pub(super) plaintext: bool,
    pub(super) trust: Trust,
    pub(super) login: Option<Credentials>,
    /// The way to another client instead of a server.
    pub(super) route: Option<Arc<dyn Route>>,
}

/// The way to another client that has a file: where it is, who it must be, and what opens it.
pub trait Route: Send + Sync {
    /// A stream to it on which nothing was said yet, and what it wants to see first.
    fn open(&self) -> Opening<'_>;

    /// It has let us in.
    fn met(&self);

    /// How large the file is that is to come.
    fn size(&self) -> Option<u64>;
}

/// See [`Route::open`].
pub type Opening<'a> =
    Pin<Box<dyn Future<Output = Result<(Box<dyn Stream>, Box<Ticket>), Failure>> + Send + 'a>>;

/// What dialling came to.
enum Dialled {
    Ready(Box<Link>),
    /// Somebody has to be asked about this key first.
    Unknown(Fingerprint),
}

impl Dialler {
    /// Connects, finds out whether the server is to be trusted, and greets it. Only the time that
    /// somebody takes to decide about an unknown key is beyond the timeout.
    pub(super) async fn dial(&self) -> Result<Link, Failure> {
        if let Some(route) = &self.route {
            return self.dial_along(&**route).await;
        }
        self.check()?;
        let key = match self.attempt().await? {
            Dialled::Ready(link) => return Ok(*link),
            Dialled::Unknown(key) => key,
        };
        // The server would not wait for the answer: it is asked without a connection.
        self.trust.ask(&self.address, key).await?;
        match self.attempt().await? {
            Dialled::Ready(link) => Ok(*link),
            Dialled::Unknown(_) => Err(Failure::new(
                ErrorCode::Untrusted,
                format!("the key of {} was not kept", self.address),
            )),
        }
    }

    /// Gets to another client, greets it, and shows it the ticket.
    async fn dial_along(&self, route: &dyn Route) -> Result<Link, Failure> {
        let (mut stream, ticket) = route.open().await?;
        let meeting = async {
            net::offer_preface(&mut stream)
                .await
                .map_err(|error| self.refused(&error))?;
            let mut link = self.greet(stream).await?;
            let number = link.request(ClientBody::Redeem(ticket)).await?;
            match link.answer(number).await? {
                (_, ServerBody::Done) => Ok(link),
                (_, ServerBody::Refused { code, detail }) => Err(Failure::from_wire(code, &detail)),
                _ => Err(link::broken("another answer than to a ticket")),
            }
        };
        let met = timeout(self.timeout, meeting).await.unwrap_or_else(|_| {
            let message = format!("{} did not answer in time", self.address);
            Err(Failure::new(ErrorCode::Timeout, message))
        });
        let link = met?;
        route.met();
        Ok(link)
    }

    /// Refuses what contradicts itself, before anybody is dialled.
    fn check(&self) -> Result<(), Failure> {
        let address = &self.address;
        if self.plaintext && address.fingerprint.is_some() {
            return Err(Failure::new(
                ErrorCode::Usage,
                format!("the address of {address} names a key, and plaintext has none to compare"),
            ));
        }
        match (&address.user, &self.login) {
            (Some(user), None) => Err(Failure::new(
                ErrorCode::Unauthorized,
                format!("the password of {user} is needed for {address}"),
            )),
            (Some(user), Some(login)) if login.user != *user => Err(Failure::new(
                ErrorCode::Usage,
                format!(
                    "the address of {address} names the user {user}, and the login {}",
                    login.user
                ),
            )),
            _ => Ok(()),
        }
    }

    async fn attempt(&self) -> Result<Dialled, Failure> {
        let deadline = Instant::now() + self.timeout;
        let address = &self.address;
        debug!(%address, "connecting");
        let stream = net::dial(&address.host, address.port, self.timeout)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let meeting = async {
            let mut stream = match self.plaintext {
                true => self.bare(stream)?,
                false => match self.secured(stream).await? {
                    Ok(stream) => stream,
                    Err(key) => return Ok(Dialled::Unknown(key)),
                },
            };
            net::offer_preface(&mut stream)
                .await
                .map_err(|error| self.refused(&error))?;
            let link = self.greet(stream).await?;
            Ok(Dialled::Ready(Box::new(link)))
        };
        timeout_at(deadline, meeting).await.unwrap_or_else(|_| {
            Err(Failure::new(
                ErrorCode::Timeout,
                format!("{address} did not answer in time"),
            ))
        })
    }

    /// The stream as it is. A password goes over it only where nobody can listen.
    fn bare(&self, stream: TcpStream) -> Result<Box<dyn Stream>, Failure> {
        match &self.login {
            Some(login) if !stream.peer_addr().is_ok_and(is_this_machine) => Err(Failure::new(
                ErrorCode::Unauthorized,
                format!(
                    "the password of {} is not sent in plaintext to another machine ({}): leave out --plaintext on both sides, or log in as nobody",
                    login.user, self.address
                ),
            )),
            _ => Ok(Box::new(stream)),
        }
    }

    /// The stream encrypted, once the key at its other end is trusted; the key, when somebody has
    /// to be asked about it. Nothing is sent before that.
    async fn secured(
        &self,
        stream: TcpStream,
    ) -> Result<Result<Box<dyn Stream>, Fingerprint>, Failure> {
        let shaken = timeout(GREETING_TIME, net::secure(stream, &self.address.host)).await;
        let shaken = shaken.unwrap_or(Err(NetError::Timeout(
            "it accepted the connection and then said nothing",
        )));
        let (stream, key) = shaken.map_err(|error| self.refused(&error))?;
        match self.trust.decide(&self.address, key).await? {
            Decision::Trusted => Ok(Ok(Box::new(stream))),
            Decision::Ask(key) => Ok(Err(key)),
        }
    }

    async fn greet(&self, stream: Box<dyn Stream>) -> Result<Link, Failure> {
        let (address, throttle) = (self.address.clone(), self.throttle.clone());
        let (mut inbox, mut outbox) = link::begin(stream, address, self.timeout, throttle);
        let hello = ClientBody::Hello {
            software: SOFTWARE.to_owned(),
            login: self.login.as_ref().map(|login| Login {
                user: login.user.as_str().to_owned(),
                password: login.password.as_str().to_owned(),
            }),
        };
        outbox.message(0, hello).await?;
        outbox.flush().await?;
        match inbox.receive().await? {
            Heard::Message(_, message) => match message.body {
                ServerBody::Welcome { role, software } => {
                    Ok(Link::new(connected(role, &software), inbox, outbox))
                }
                ServerBody::Refused { code, detail } => Err(self.not_welcome(code, &detail)),
                _ => Err(link::broken("it did not greet back")),
            },
            Heard::Data(_) => Err(link::broken("it did not greet back")),
        }
    }

    /// The server has refused to talk, and said why.
    fn not_welcome(&self, code: u16, detail: &str) -> Failure {
        let said = Failure::from_wire(code, detail);
        let (address, who) = (&self.address, &self.login);
        match (said.code, who) {
            (ErrorCode::Unauthorized, Some(Credentials { user, .. })) => Failure::new(
                said.code,
                format!("{address} refuses the login of {user}: {said}"),
            ),
            (ErrorCode::Unauthorized, None) => {
                Failure::new(said.code, format!("{address} wants a login: {said}"))
            }
            _ => link::parting(address, code, detail),
        }
    }

    fn unreachable(&self, error: &NetError) -> Failure {
        let code = match error {
            NetError::Timeout(_) => ErrorCode::Timeout,
            _ => ErrorCode::Unreachable,
        };
        Failure::new(code, format!("cannot connect to {}: {error}", self.address))
    }

    fn refused(&self, error: &NetError) -> Failure {
        let address = &self.address;
        match error {
            NetError::Refused {
                reason: Refusal::Version,
                highest,
            } => Failure::new(
                ErrorCode::VersionMismatch,
                format!(
                    "{address} speaks protocol versions up to {highest}, and this client {}",
                    HIGHEST_VERSION
                ),
            ),
            NetError::Refused {
                reason: Refusal::Busy,
                ..
            } => Failure::new(
                ErrorCode::Busy,
                format!("{address} has as many connections as it takes"),
            ),
            NetError::Refused {
                reason: Refusal::TlsRequired,
                ..
            } => Failure::new(
                ErrorCode::Protocol,
                format!("{address} requires TLS: leave out --plaintext"),
            ),
            NetError::SpeaksPlaintext => Failure::new(
                ErrorCode::Protocol,
                format!("{address} speaks plaintext: add --plaintext"),
            ),
            NetError::KeyNotHeld => Failure::new(
                ErrorCode::Untrusted,
                format!("{address} is not what it seems: {error}"),
            ),
            NetError::Tls(_) => Failure::new(
                ErrorCode::Protocol,
                format!("no secure connection to {address}: {error}"),
            ),
            NetError::Refused { .. } | NetError::NotFileshare(_) => Failure::new(
                ErrorCode::Protocol,
                format!("{address} does not speak the fileshare protocol: {error}"),
            ),
            NetError::Closed => Failure::new(
                ErrorCode::Disconnected,
                format!("{address} closed the connection at once"),
            ),
            other => link::lost(address, other),
        }
    }
}

/// Whether what is sent there cannot leave this machine. A name says nothing about it: it is the
/// address that was connected to.
fn is_this_machine(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

/// Notes who answered. A role of a later version can do at least what the highest one here can.
fn connected(role: u8, software: &str) -> Role {
    let role = Role::from_level(role).unwrap_or(Role::Admin);
    debug!(software = %Printable(software), %role, "connected");
    role
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_gets_a_password_in_plaintext() {
        for (peer, here) in [
            ("127.0.0.1:1", true),
            ("127.8.9.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("192.168.1.5:1", false),
            ("0.0.0.0:1", false),
            ("128.0.0.1:1", false),
            ("[::]:1", false),
            ("[::ffff:10.0.0.1]:1", false),
            ("[fe80::1]:1", false),
        ] {
            assert_eq!(is_this_machine(peer.parse().unwrap()), here, "{peer}");
        }
    }

    #[tokio::test]
    async fn what_contradicts_itself_is_refused_before_anybody_is_dialled() {
        let nobody = "127.0.0.1:9";
        let key = Fingerprint::new([1; 32]);
        for (address, plaintext, login, code) in [
            (
                format!("fileshare://{nobody}#{key}"),
                true,
                None,
                ErrorCode::Usage,
            ),
            (
                format!("fileshare://bob@{nobody}"),
                false,
                None,
                ErrorCode::Unauthorized,
            ),
            (
                format!("fileshare://bob@{nobody}"),
                false,
                Some("eve"),
                ErrorCode::Usage,
            ),
            (
                format!("fileshare://bob@{nobody}"),
                false,
                Some("bob"),
                ErrorCode::Unreachable,
            ),
        ] {
            let dialler = Dialler {
                address: address.parse().unwrap(),
                timeout: Duration::from_secs(5),
                throttle: None,
                plaintext,
                trust: Trust::default(),
                route: None,
                login: login.map(|user: &str| Credentials {
                    user: user.parse().unwrap(),
                    password: crate::access::Password::new("canary".to_owned()).unwrap(),
                }),
            };
            let failure = dialler.dial().await.err().unwrap();
            assert_eq!(failure.code, code, "{failure}");
            assert!(!failure.message.contains("canary"));
        }
    }
}
