//! One other client that fetches a file, from its first byte to its last.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::Event;
use super::shelf::{blocking, invalid_request};
use super::standing::{Permit, Standing};
use crate::access::Role;
use crate::net::{Connection, NetError, Patience, accept_preface};
use crate::protocol::limits::{GREETING_TIME, MAX_MESSAGE_BODY, MESSAGE_TIME};
use crate::protocol::message::{ClientBody, ClientMessage, ServerBody, ServerMessage};
use crate::protocol::session::{Received, ServerSession, Violation};
use crate::protocol::{ErrorCode, Failure, WireItem, WireRef};
use crate::transfer::{Answering, Catalog, Opening, read_message};
use crate::types::{Digest, Entry, FileName, FileRef, Fingerprint, Item};

/// What this program calls itself in greetings.
const SOFTWARE: &str = concat!("fileshare/", env!("CARGO_PKG_VERSION"));

/// Who is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor {
    pub(super) from: IpAddr,
    /// Whether it comes through the server.
    pub(super) relayed: bool,
}

/// Serves somebody who has connected. Who has no ticket within the time for a greeting gets nothing
/// and is not spoken of.
pub(super) async fn serve<S>(
    stream: S,
    visitor: Visitor,
    standing: Arc<Standing>,
) -> Result<(), NetError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let deadline = Instant::now() + GREETING_TIME;
    let Some(tls) = standing.tls.clone() else {
        return serve_inside(stream, visitor, None, &standing, deadline).await;
    };
    let (stream, key) = tls.accept(stream).await?;
    serve_inside(stream, visitor, Some(key), &standing, deadline).await
}

async fn serve_inside<S>(
    mut stream: S,
    visitor: Visitor,
    key: Option<Fingerprint>,
    standing: &Arc<Standing>,
    deadline: Instant,
) -> Result<(), NetError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let greeting = async {
        accept_preface(&mut stream).await?;
        let mut conversation = Conversation {
            connection: Connection::new(stream, standing.throttle.clone()),
            protocol: ServerSession::new(),
        };
        let permit = conversation.admit(standing, key).await?;
        Ok::<_, NetError>((conversation, permit))
    };
    let greeted = timeout_at(deadline, greeting).await;
    let (mut conversation, permit) =
        greeted.map_err(|_| NetError::Timeout("no ticket came in time"))??;
    let who = match &permit.requester {
        Some(name) => name.to_string(),
        None => visitor.from.to_string(),
    };
    let Visitor { from, relayed } = visitor;
    standing.tell(&Event::Accepted { from, relayed });
    let file = OneFile {
        standing: standing.clone(),
        permit,
        outcome: Arc::default(),
    };
    let ended = conversation.serve(&file).await;
    standing.tell(&Event::Closed(who));
    ended
}

/// A conversation with somebody who wants a file.
struct Conversation<S> {
    connection: Connection<S>,
    protocol: ServerSession,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    /// Hears the greeting and looks at the ticket.
    async fn admit(
        &mut self,
        standing: &Standing,
        key: Option<Fingerprint>,
    ) -> Result<Permit, NetError> {
        let hello = self.read(Patience::Idle(GREETING_TIME)).await?;
        self.protocol.receive(&hello)?;
        let welcome = ServerBody::Welcome {
            software: SOFTWARE.to_owned(),
            role: Role::Reader.level(),
        };
        self.answer(0, welcome).await?;
        let message = self.read(Patience::Idle(GREETING_TIME)).await?;
        self.protocol.receive(&message)?;
        let ClientBody::Redeem(ticket) = message.body else {
            return Err(Violation("anything before a ticket").into());
        };
        match standing.check(&ticket, key) {
            Ok(permit) => {
                self.answer(message.number, ServerBody::Done).await?;
                Ok(permit)
            }
            Err(failure) => {
                debug!(%failure, "a ticket that is none");
                self.answer(message.number, refused(&failure)).await?;
                Err(NetError::Closed)
            }
        }
    }

    async fn serve(&mut self, catalog: &OneFile) -> Result<(), NetError> {
        let mut held = None;
        loop {
            let message = match held.take() {
                Some(message) => message,
                None => match self.read(Patience::Idle(MESSAGE_TIME)).await {
                    Err(NetError::Closed) => return Ok(()),
                    other => other?,
                },
            };
            if self.protocol.receive(&message)? == Received::Part {
                continue;
            }
            let number = message.number;
            match message.body {
                ClientBody::Download { .. } => {
                    let downloaded = Answering {
                        reader: &mut self.connection.reader,
                        writer: &mut self.connection.writer,
                        protocol: &mut self.protocol,
                        catalog,
                        held: &mut held,
                    }
                    .download(number)
                    .await;
                    catalog.settle(&downloaded);
                    downloaded?;
                }
                ClientBody::Stat { file, .. } => {
                    let described = catalog.describe(file).await;
                    let answer = described.unwrap_or_else(|failure| refused(&failure));
                    self.answer(number, answer).await?;
                }
                ClientBody::Ping => self.answer(number, ServerBody::Pong).await?,
                _ => {
                    let message = "between clients only the file of the ticket can be had";
                    let failure = Failure::new(ErrorCode::Forbidden, message);
                    self.answer(number, refused(&failure)).await?;
                }
            }
        }
    }

    async fn read(&mut self, patience: Patience) -> Result<ClientMessage, NetError> {
        read_message(&mut self.connection.reader, &self.protocol, patience).await
    }

    async fn answer(&mut self, number: u32, body: ServerBody) -> Result<(), NetError> {
        let message = ServerMessage { number, body };
        let writer = &mut self.connection.writer;
        writer.message(&message, MAX_MESSAGE_BODY).await?;
        writer.flush().await
    }
}

fn refused(failure: &Failure) -> ServerBody {
    let (code, detail) = failure.to_wire();
    ServerBody::Refused { code, detail }
}

/// The one file that a ticket is for, as a catalog.
struct OneFile {
    standing: Arc<Standing>,
    permit: Permit,
    outcome: Arc<Mutex<Outcome>>,
}

/// What has become of the file so far.
#[derive(Default)]
enum Outcome {
    /// Nobody has asked for it.
    #[default]
    None,
    /// It is on its way.
    Begun,
    /// It cannot be had, or not to its end.
    Failed(Failure),
    /// All of it was read, and it was what was offered.
    Read(Entry),
}

impl OneFile {
    /// The file of the ticket, if that is what is asked for.
    fn wanted(&self, file: WireRef) -> Result<(FileName, Digest), Failure> {
        let asked = FileRef::try_from(file)?;
        let Permit { file, id, .. } = &self.permit;
        let is_it = match &asked {
            FileRef::Name(name) => name == file,
            FileRef::Id(prefix) => id.to_string().starts_with(prefix.as_str()),
        };
        match is_it {
            true => Ok((file.clone(), *id)),
            false => Err(invalid_request(asked)),
        }
    }

    async fn describe(&self, file: WireRef) -> Result<ServerBody, Failure> {
        let (name, id) = self.wanted(file)?;
        let standing = self.standing.clone();
        let described = blocking(move || Ok(standing.shelf.open(&name, id)?.describe()));
        Ok(ServerBody::Item(WireItem::from(&Item::File(
            described.await?,
        ))))
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Tells what came of a download that has ended.
    fn settle(&self, ended: &Result<(), NetError>) {
        let outcome = std::mem::take(&mut *self.outcome());
        let file = self.permit.file.clone();
        let event = match (outcome, ended) {
            (Outcome::None, _) => return,
            (Outcome::Failed(failure), _) => Event::NotSent(file, failure),
            (Outcome::Read(entry), Ok(())) => Event::Sent(entry),
            (Outcome::Begun, Ok(())) => {
                let message = "the other client wanted no more of it";
                Event::NotSent(file, Failure::new(ErrorCode::Disconnected, message))
            }
            (_, Err(error)) => {
                let failure = Failure::new(ErrorCode::Disconnected, error.to_string());
                Event::NotSent(file, failure)
            }
        };
        self.standing.tell(&event);
    }
}

impl Catalog for OneFile {
    fn opening(&self, file: WireRef) -> Box<dyn FnOnce() -> Opening + Send> {
        let (wanted, standing) = (self.wanted(file), self.standing.clone());
        let outcome = self.outcome.clone();
        let note = move |now: Outcome| *outcome.lock().unwrap_or_else(|e| e.into_inner()) = now;
        Box::new(move || {
            let opened = wanted.and_then(|(name, id)| standing.shelf.open(&name, id));
            match opened {
                Ok(file) => {
                    note(Outcome::Begun);
                    let entry = file.describe();
                    Opening::Send(Box::new(file.finally(Box::new(move |read| {
                        note(match read {
                            Ok(()) => Outcome::Read(entry),
                            Err(failure) => Outcome::Failed(failure),
                        });
                    }))))
                }
                Err(failure) => {
                    note(Outcome::Failed(failure.clone()));
                    Opening::Fail(failure)
                }
            }
        })
    }

    fn is_ended(&self) -> bool {
        false
    }

    fn turn_to(&self, name: &FileName) {
        self.standing.tell(&Event::Sending(name.clone()));
    }

    fn sent(&self, _bytes: usize) {}
}
