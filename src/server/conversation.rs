use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Span, info};

use super::greeting::greet;
use super::sessions::Entered;
use super::{Context, Origin, commands};
use crate::net::{Connection, Frame, FrameReader, FrameWriter, NetError, Patience, heartbeat};
use crate::protocol::codec::{self, CodecError};
use crate::protocol::limits::{MAX_MESSAGE_BODY, MAX_PAGE_BODY, REMEMBERED_ANSWERS};
use crate::protocol::message::{ClientBody, ClientMessage, ServerBody, ServerMessage};
use crate::protocol::session::{Received, ServerSession, Violation};
use crate::protocol::{ErrorCode, Failure};
use crate::store::Cause;
use crate::types::Compression;

/// How long a frame of content may take when the session has ended.
const FRAME_TIME: Duration = Duration::from_secs(2);

/// How long to listen to a client that broke the protocol, so that it can read why.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// One client that has been let in, to its end.
pub(super) struct Conversation<S> {
    pub(super) context: Arc<Context>,
    pub(super) reader: FrameReader<ReadHalf<S>>,
    pub(super) outbox: Outbox<S>,
    pub(super) protocol: ServerSession,
    /// Who it is and what it does, as an administrator sees it.
    pub(super) session: Entered,
    pub(super) version: u8,
    /// A request that came while a download was still being sent; it is next.
    pub(super) held: Option<ClientMessage>,
    /// How the client wants file content to come.
    pub(super) compression: Compression,
    /// The command of the user that requests belong to.
    command: Option<u64>,
    /// The last answers to requests that changed something, should they be repeated.
    answers: VecDeque<(u32, ServerBody)>,
}

/// Why a conversation ends before the client leaves.
pub(super) enum Ending {
    /// The connection, or what the client made of it.
    Net(NetError),
    /// The server wants no more of it.
    Refused(Failure),
}

impl From<NetError> for Ending {
    fn from(error: NetError) -> Self {
        Ending::Net(error)
    }
}

impl From<Violation> for Ending {
    fn from(violation: Violation) -> Self {
        Ending::Net(violation.into())
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Ending::Refused(failure)
    }
}

/// Talks with a client until it leaves, breaks the protocol, or the server stops or refuses it. The
/// greeting must be over at `greeted_by`.
pub(super) async fn hold<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    version: u8,
    origin: Origin,
    context: Arc<Context>,
    greeted_by: Instant,
) -> Result<(), NetError> {
    let Connection { mut reader, writer } = Connection::new(stream, context.throttle.clone());
    let mut outbox = Outbox { writer };
    let mut protocol = ServerSession::new();
    let shutdown = context.shutdown.clone();
    let greeting = greet(
        &context,
        origin,
        &mut reader,
        &mut outbox,
        &mut protocol,
        greeted_by,
    );
    let greeted = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        greeted = timeout_at(greeted_by, greeting) => greeted,
    };
    let ended = match greeted {
        Ok(Ok(session)) => {
            let mut conversation = Conversation {
                context,
                reader,
                outbox,
                protocol,
                session,
                version,
                held: None,
                compression: Compression::Never,
                command: None,
                answers: VecDeque::new(),
            };
            let ended = conversation.serve_until_ended().await;
            Conversation { reader, outbox, .. } = conversation;
            ended
        }
        Ok(Err(ending)) => Err(ending),
        Err(_) => Err(NetError::Timeout("no greeting came in time").into()),
    };
    let parting = match &ended {
        Ok(()) => Some(Failure::new(ErrorCode::Busy, "the server is stopping")),
        Err(Ending::Refused(failure)) => Some(failure.clone()),
        Err(Ending::Net(
            error @ (NetError::Frame(_) | NetError::Codec(_) | NetError::Violation(_)),
        )) => Some(Failure::new(ErrorCode::Protocol, error.to_string())),
        Err(Ending::Net(NetError::Timeout(what))) => Some(Failure::new(ErrorCode::Timeout, *what)),
        Err(Ending::Net(_)) => None,
    };
    if let Some(parting) = parting {
        part(reader, outbox, &parting).await;
    }
    match ended {
        Ok(()) => Ok(()),
        Err(Ending::Net(error)) => Err(error),
        Err(Ending::Refused(failure)) => {
            info!(%failure, "refused");
            Ok(())
        }
    }
}

/// Says why the conversation ends, and waits a moment for the client to read it: closing with
/// unread bytes would reset the connection and take the words back.
async fn part<S: AsyncRead + AsyncWrite + Unpin + Send>(
    mut reader: FrameReader<ReadHalf<S>>,
    mut outbox: Outbox<S>,
    parting: &Failure,
) {
    // Behind half a frame nobody would understand it.
    if !outbox.writer.is_whole() {
        return;
    }
    let told = async {
        outbox.answer(0, refused(parting)).await?;
        outbox.writer.shutdown().await
    };
    if let Ok(Ok(())) = timeout(DRAIN_TIME, told).await {
        let _ = timeout(DRAIN_TIME, reader.drain()).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    /// Serves until the client leaves, or somebody ends the session, whatever it is doing.
    async fn serve_until_ended(&mut self) -> Result<(), Ending> {
        let session = self.session.session();
        let mut serving = std::pin::pin!(self.serve_requests());
        let reason = tokio::select! {
            ended = &mut serving => return Ok(ended?),
            reason = session.ended() => reason,
        };
        // What is being sent may come to the end of its frame: behind half a one nobody would
        // understand the reason. Everything else is dropped where it waits.
        if session.is_sending() {
            let _ = timeout(FRAME_TIME, serving).await;
        }
        Err(Ending::Refused(reason))
    }

    async fn serve_requests(&mut self) -> Result<(), NetError> {
        loop {
            let message = match self.held.take() {
                Some(message) => message,
                None => {
                    let shutdown = self.context.shutdown.clone();
                    let idle = Patience::Idle(self.context.options.idle_timeout);
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => return Ok(()),
                        message = self.read_message(idle) => message?,
                    }
                }
            };
            match self.protocol.receive(&message)? {
                Received::Request => self.serve(message).await?,
                // What changes nothing can as well be done again.
                Received::Repeated if !commands::changes(&message.body) => {
                    self.serve(message).await?;
                }
                Received::Repeated => self.answer_again(message.number).await?,
                Received::Part | Received::Greeting => {
                    self.take_word(&message.body)?;
                }
            }
        }
    }

    /// Takes what is said for all that follows.
    fn take_word(&mut self, body: &ClientBody) -> Result<(), Violation> {
        match body {
            ClientBody::Command { id } => self.command = Some(*id),
            ClientBody::Compression { mode } => self.compression = Compression::try_from(*mode)?,
            _ => {}
        }
        Ok(())
    }

    async fn serve(&mut self, message: ClientMessage) -> Result<(), NetError> {
        let ClientMessage { number, body } = message;
        self.session.begin(&body);
        self.serve_one(number, body).await?;
        self.session.rest();
        Ok(())
    }

    async fn serve_one(&mut self, number: u32, body: ClientBody) -> Result<(), NetError> {
        match body {
            ClientBody::Download { .. } => self.download(number).await,
            ClientBody::Upload { .. } => self.upload(number).await,
            ClientBody::List {
                folder,
                patterns,
                limit,
            } => self.list(number, folder, patterns, limit).await,
            ClientBody::Sessions => self.list_sessions(number).await,
            ClientBody::Trash { folder, patterns } => {
                self.list_trash(number, folder, patterns).await
            }
            ClientBody::Undo { dry_run } => self.undo(number, dry_run).await,
            ClientBody::Signature { id, average } => self.sign(number, id, average).await,
            single => {
                let changes = commands::changes(&single);
                let cause = self.cause();
                let answering =
                    commands::answer(&self.context, &self.session, self.version, cause, single);
                let answer = self.outbox.alive_during(number, answering).await?;
                let answer = answer.unwrap_or_else(|failure| refused(&failure));
                if changes {
                    if self.answers.len() == REMEMBERED_ANSWERS {
                        self.answers.pop_front();
                    }
                    self.answers.push_back((number, answer.clone()));
                }
                self.outbox.answer(number, answer).await
            }
        }
    }

    /// On whose behalf the present request changes something. One that belongs to no command is a
    /// command of its own.
    pub(super) fn cause(&self) -> Cause {
        Cause {
            owner: self.session.user(),
            command: self.command.unwrap_or_else(rand::random),
        }
    }

    async fn answer_again(&mut self, number: u32) -> Result<(), NetError> {
        let remembered = self.answers.iter().find(|(known, _)| *known == number);
        let answer = remembered.map(|(_, answer)| answer.clone());
        let answer = answer.ok_or(Violation("a request number that was used long ago"))?;
        self.outbox.answer(number, answer).await
    }

    /// The next message. Can be dropped and called again.
    pub(super) async fn read_message(
        &mut self,
        patience: Patience,
    ) -> Result<ClientMessage, NetError> {
        read_message(&mut self.reader, &self.protocol, patience).await
    }
}

/// Reads a message without borrowing the whole conversation.
pub(super) async fn read_message<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    protocol: &ServerSession,
    patience: Patience,
) -> Result<ClientMessage, NetError> {
    match reader.next(protocol.body_limits(), patience).await? {
        Frame::Message(body) => Ok(codec::decode(&body)?),
        Frame::Data(_) => Err(Violation("file content outside of a file").into()),
    }
}

/// The answer to a request that was not done.
pub(super) fn refused(failure: &Failure) -> ServerBody {
    let (code, detail) = failure.to_wire();
    ServerBody::Refused { code, detail }
}

/// The way out.
pub(super) struct Outbox<S> {
    pub(super) writer: FrameWriter<WriteHalf<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Outbox<S> {
    /// Writes a message and sends it at once.
    pub(super) async fn answer(&mut self, number: u32, body: ServerBody) -> Result<(), NetError> {
        self.queue(number, body).await?;
        self.writer.flush().await
    }

    /// Writes a message, to be sent with what follows.
    pub(super) async fn queue(&mut self, number: u32, body: ServerBody) -> Result<(), NetError> {
        let limit = match &body {
            ServerBody::Page { .. }
            | ServerBody::UploadReady { .. }
            | ServerBody::UploadResults { .. }
            | ServerBody::Sessions { .. }
            | ServerBody::Trash { .. }
            | ServerBody::Undone { .. }
            | ServerBody::Signature { .. } => MAX_PAGE_BODY,
            _ => MAX_MESSAGE_BODY,
        };
        let message = ServerMessage { number, body };
        self.writer.message(&message, limit).await
    }

    /// Writes the items in as few messages as their limit allows.
    pub(super) async fn queue_all<T: Clone + Serialize>(
        &mut self,
        number: u32,
        items: &[T],
        body: fn(Vec<T>) -> ServerBody,
    ) -> Result<(), NetError> {
        let mut parts = vec![items];
        while let Some(part) = parts.pop() {
            match self.queue(number, body(part.to_vec())).await {
                Err(NetError::Codec(CodecError::TooLarge { .. } | CodecError::Encode(_)))
                    if part.len() > 1 =>
                {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Waits for `work`, telling the client from time to time that it goes on.
    pub(super) async fn alive_during<T>(
        &mut self,
        number: u32,
        work: impl Future<Output = T>,
    ) -> Result<T, NetError> {
        let mut work = std::pin::pin!(work);
        let mut heartbeat = heartbeat();
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                _ = heartbeat.tick() => self.answer(number, ServerBody::Alive).await?,
            }
        }
    }
}

/// Runs blocking work of the store, on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let span = Span::current();
    let work = move || span.in_scope(work);
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(Failure::new(
            ErrorCode::Internal,
            "the request failed unexpectedly",
        ))
    })
}
