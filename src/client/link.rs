use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::time::timeout;
use tracing::trace;

use super::ServerAddress;
use crate::access::Role;
use crate::net::{Connection, Frame, FrameReader, FrameWriter, NetError, Patience, Rate, Throttle};
use crate::protocol::codec;
use crate::protocol::limits::{ALIVE_INTERVAL, MAX_MESSAGE_BODY, MAX_PAGE_BODY};
use crate::protocol::message::{ClientBody, ClientMessage, ServerBody, ServerMessage};
use crate::protocol::session::{Answer, ClientSession};
use crate::protocol::{Content, ErrorCode, Failure};
use crate::types::Compression;

/// How long to look for what the server said last when it has closed on us.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection to a server, greeted and ready for requests.
///
/// Both directions can be used at once by splitting it into [`Inbox`] and [`Outbox`].
pub(super) struct Link {
    pub(super) role: Role,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    last_number: u32,
    /// The command that the server was told last.
    command: Option<u64>,
    /// How the server was told last to compress what it sends.
    compression: Compression,
}

/// What comes from the server.
pub(super) struct Inbox {
    reader: FrameReader<ReadHalf<Box<dyn Stream>>>,
    shared: Arc<Shared>,
}

/// What goes to the server.
pub(super) struct Outbox {
    writer: FrameWriter<WriteHalf<Box<dyn Stream>>>,
    shared: Arc<Shared>,
}

/// Both directions of a new connection, in which nothing was said yet.
pub(super) fn begin(
    stream: Box<dyn Stream>,
    address: ServerAddress,
    timeout: Duration,
    throttle: Option<Arc<Throttle>>,
) -> (Inbox, Outbox) {
    let Connection { reader, writer } = Connection::new(stream, throttle);
    let shared = Arc::new(Shared {
        address,
        // A server at work is heard that often; less patience than this would be none.
        timeout: timeout.max(2 * ALIVE_INTERVAL),
        session: Mutex::new(ClientSession::new()),
    });
    let inbox = Inbox {
        reader,
        shared: shared.clone(),
    };
    (inbox, Outbox { writer, shared })
}

struct Shared {
    address: ServerAddress,
    timeout: Duration,
    /// What may be said and heard; no await happens under the lock.
    session: Mutex<ClientSession>,
}

impl Link {
    /// A connection over which both sides have greeted each other.
    pub(super) fn new(role: Role, inbox: Inbox, outbox: Outbox) -> Self {
        Link {
            role,
            inbox,
            outbox,
            last_number: 0,
            command: None,
            compression: Compression::Never,
        }
    }

    /// Makes a request; the answer carries the number that is returned.
    pub(super) async fn request(&mut self, body: ClientBody) -> Result<u32, Failure> {
        self.request_all(std::iter::once(body)).await?;
        Ok(self.last_number)
    }

    /// Makes several requests at once; their answers come in this order.
    pub(super) async fn request_all(
        &mut self,
        bodies: impl Iterator<Item = ClientBody>,
    ) -> Result<Vec<u32>, Failure> {
        let mut numbers = Vec::new();
        let sent = async {
            for body in bodies {
                let number = self.next_number();
                self.outbox.message(number, body).await?;
                numbers.push(number);
            }
            self.outbox.flush().await
        };
        match sent.await {
            Ok(()) => Ok(numbers),
            Err(failure) => Err(self.inbox.last_words().await.unwrap_or(failure)),
        }
    }

    /// Says which command of the user all that follows belongs to, unless that was said already. It
    /// goes out with the next request.
    pub(super) async fn belong_to(&mut self, command: u64) -> Result<(), Failure> {
        if self.command != Some(command) {
            let next = self.last_number + 1;
            let said = ClientBody::Command { id: command };
            self.outbox.message(next, said).await?;
            self.command = Some(command);
        }
        Ok(())
    }

    /// Says how file content is to come, unless that was said already. It goes out with the next
    /// request.
    pub(super) async fn prefer(&mut self, compression: Compression) -> Result<(), Failure> {
        if self.compression != compression {
            let next = self.last_number + 1;
            let mode = compression.into();
            let said = ClientBody::Compression { mode };
            self.outbox.message(next, said).await?;
            self.compression = compression;
        }
        Ok(())
    }

    /// A number for the next request.
    pub(super) fn next_number(&mut self) -> u32 {
        self.last_number += 1;
        self.last_number
    }

    /// The next part of the answer to the request with this number.
    pub(super) async fn answer(&mut self, number: u32) -> Result<(Answer, ServerBody), Failure> {
        match self.inbox.next().await? {
            Heard::Message(answer, message) if message.number == number => {
                Ok((answer, message.body))
            }
            _ => Err(broken("an answer to another request")),
        }
    }

    /// Why the server has closed the connection while it was not used, if it has.
    pub(super) async fn ending(&mut self) -> Option<Failure> {
        // Between two requests nothing but an ending can come.
        let heard = timeout(Duration::ZERO, self.inbox.next()).await.ok()?;
        Some(
            heard
                .err()
                .unwrap_or_else(|| broken("an answer to nothing")),
        )
    }
}

/// What was heard.
pub(super) enum Heard {
    /// A message, and what it means for the request that it answers.
    Message(Answer, Box<ServerMessage>),
    /// File content.
    Data(Content),
}

impl Inbox {
    /// The next message that answers something, or file content. Waits as long as the server says
    /// that it is at work, and no longer than the client's timeout when it says nothing.
    pub(super) async fn next(&mut self) -> Result<Heard, Failure> {
        let heard = self.receive().await?;
        if let Heard::Message(_, message) = &heard
            && let ServerMessage {
                number: 0,
                body: ServerBody::Refused { code, detail },
            } = &**message
        {
            return Err(parting(&self.shared.address, *code, detail));
        }
        Ok(heard)
    }

    /// The same, where the server may refuse the whole conversation.
    pub(super) async fn receive(&mut self) -> Result<Heard, Failure> {
        loop {
            let limits = self.shared.session().body_limits();
            let patience = match limits.data {
                Some(_) => Patience::Stream,
                None => Patience::Idle(self.shared.timeout),
            };
            let frame = self.reader.next(limits, patience).await;
            let frame = frame.map_err(|error| lost(&self.shared.address, &error))?;
            match frame {
                Frame::Data(content) => {
                    let received = self.shared.session().receive_data(content.size());
                    received.map_err(|violation| broken(&violation))?;
                    return Ok(Heard::Data(content));
                }
                Frame::Message(body) => {
                    let message: ServerMessage =
                        codec::decode(&body).map_err(|error| broken(&error))?;
                    let answer = self.shared.session().receive(&message);
                    let answer = answer.map_err(|violation| broken(&violation))?;
                    if message.body != ServerBody::Alive {
                        return Ok(Heard::Message(answer, Box::new(message)));
                    }
                }
            }
        }
    }

    /// What the server said before it closed on us, when writing to it has failed.
    pub(super) async fn last_words(&mut self) -> Option<Failure> {
        let listening = async {
            loop {
                match self.next().await {
                    Ok(_) => {}
                    Err(failure) => return failure,
                }
            }
        };
        let heard = timeout(LAST_WORDS, listening).await.ok()?;
        (heard.code != ErrorCode::Disconnected).then_some(heard)
    }
}

impl Outbox {
    /// Writes a message, to be sent with what follows.
    pub(super) async fn message(&mut self, number: u32, body: ClientBody) -> Result<(), Failure> {
        let limit = match &body {
            ClientBody::UploadPage { .. } | ClientBody::DownloadPage { .. } => MAX_PAGE_BODY,
            _ => MAX_MESSAGE_BODY,
        };
        let message = ClientMessage { number, body };
        trace!(number, body = ?message.body, "saying");
        let noted = self.shared.session().sent(&message);
        noted.map_err(|violation| Failure::new(ErrorCode::Internal, violation.to_string()))?;
        match self.writer.message(&message, limit).await {
            Err(NetError::Codec(error)) => Err(Failure::new(ErrorCode::Usage, error.to_string())),
            other => other.map_err(|error| lost(&self.shared.address, &error)),
        }
    }

    /// Writes file content.
    pub(super) async fn data(&mut self, content: &Content) -> Result<(), Failure> {
        let noted = self.shared.session().sent_data(content.size());
        noted.map_err(|violation| Failure::new(ErrorCode::Internal, violation.to_string()))?;
        let written = self.writer.data(content).await;
        written.map_err(|error| lost(&self.shared.address, &error))
    }

    /// Sends all that was written.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.writer.flush().await;
        flushed.map_err(|error| lost(&self.shared.address, &error))
    }

    /// How fast the server takes what is written.
    pub(super) fn rate(&self) -> Rate {
        self.writer.rate()
    }

    /// Whether the running batch may name another page of files.
    pub(super) fn may_list(&self) -> bool {
        let session = self.shared.session();
        session.batch().is_some_and(|batch| batch.may_list())
    }
}

impl Outbox {
    /// How many more parts of files the running download may ask for.
    pub(super) fn room_for_ranges(&self) -> usize {
        let session = self.shared.session();
        session.batch().map_or(0, |batch| batch.room_for_ranges())
    }
}

impl Shared {
    fn session(&self) -> MutexGuard<'_, ClientSession> {
        self.session.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// What came could not be written.
pub(super) fn unwritten(error: &NetError) -> Failure {
    match error {
        NetError::Frame(_) => broken(error),
        _ => Failure::new(ErrorCode::Internal, error.to_string()),
    }
}

pub(super) fn lost(address: &ServerAddress, error: &NetError) -> Failure {
    let code = match error {
        NetError::Timeout(_) => ErrorCode::Timeout,
        NetError::Frame(_) | NetError::Codec(_) | NetError::Violation(_) => return broken(error),
        _ => ErrorCode::Disconnected,
    };
    Failure::new(code, format!("lost {address}: {error}"))
}

/// The server has ended the conversation, and said why.
pub(super) fn parting(address: &ServerAddress, code: u16, detail: &str) -> Failure {
    let said = Failure::from_wire(code, detail);
    let code = match said.code {
        // It is going away; another try, a little later, is the right thing.
        ErrorCode::Busy => ErrorCode::Disconnected,
        code => code,
    };
    Failure::new(code, format!("{address} ended the connection: {said}"))
}

/// The server has broken the protocol.
pub(super) fn broken(error: &(impl fmt::Display + ?Sized)) -> Failure {
    Failure::new(
        ErrorCode::Protocol,
        format!("the server broke the protocol: {error}"),
    )
}

/// Runs both directions of a transfer at once, until what is read has come to its end.
///
/// When writing fails, the server may have said why before it closed: that is worth more.
pub(super) async fn both(
    reading: impl Future<Output = Result<(), Failure>>,
    writing: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut reading = std::pin::pin!(reading);
    let mut writing = std::pin::pin!(writing);
    tokio::select! {
        read = &mut reading => {
            read?;
            writing.await
        }
        written = &mut writing => match written {
            Ok(()) => reading.await,
            Err(failure) => match timeout(LAST_WORDS, reading).await {
                Ok(Err(said)) if said.code != ErrorCode::Disconnected => Err(said),
                _ => Err(failure),
            },
        },
    }
}
