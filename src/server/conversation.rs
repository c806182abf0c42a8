use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Span, debug, info};

use super::{Context, SOFTWARE, commands};
use crate::access::{self, Role};
use crate::net::{Connection, Frame, FrameReader, FrameWriter, NetError, Patience, heartbeat};
use crate::protocol::codec::{self, CodecError};
use crate::protocol::limits::{GREETING_TIME, MAX_MESSAGE_BODY, MAX_PAGE_BODY, REMEMBERED_ANSWERS};
use crate::protocol::message::{ClientBody, ClientMessage, ServerBody, ServerMessage};
use crate::protocol::session::{Received, ServerSession, Violation};
use crate::protocol::{ErrorCode, Failure};
use crate::types::Printable;

/// How long to listen to a client that broke the protocol, so that it can read why.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// One client, from its greeting to its end.
pub(super) struct Conversation<S> {
    pub(super) context: Arc<Context>,
    pub(super) reader: FrameReader<ReadHalf<S>>,
    pub(super) outbox: Outbox<S>,
    pub(super) session: ServerSession,
    pub(super) role: Role,
    pub(super) version: u8,
    /// A request that came while a download was still being sent; it is next.
    pub(super) held: Option<ClientMessage>,
    /// The last answers to requests that changed something, should they be repeated.
    answers: VecDeque<(u32, ServerBody)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    pub(super) fn new(stream: S, version: u8, context: Arc<Context>) -> Self {
        let Connection { reader, writer } = Connection::new(stream, context.throttle.clone());
        Conversation {
            role: context.options.anonymous,
            context,
            reader,
            outbox: Outbox { writer },
            session: ServerSession::new(),
            version,
            held: None,
            answers: VecDeque::new(),
        }
    }

    /// Talks until the client leaves, breaks the protocol, or the server stops. The greeting must
    /// be over at `greeted_by`.
    pub(super) async fn run(mut self, greeted_by: Instant) -> Result<(), NetError> {
        let shutdown = self.context.shutdown.clone();
        let greeted = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            greeted = timeout_at(greeted_by, self.greet()) => greeted,
        };
        let ended = match greeted {
            Ok(Ok(())) => self.serve_requests().await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(NetError::Timeout("no greeting came in time")),
        };
        let parting = match &ended {
            Ok(()) => Some(Failure::new(ErrorCode::Busy, "the server is stopping")),
            Err(NetError::Frame(_) | NetError::Codec(_) | NetError::Violation(_)) => ended
                .as_ref()
                .err()
                .map(|error| Failure::new(ErrorCode::Protocol, error.to_string())),
            Err(NetError::Timeout(what)) => Some(Failure::new(ErrorCode::Timeout, *what)),
            Err(_) => None,
        };
        if let Some(parting) = parting {
            self.part(&parting).await;
        }
        ended
    }

    async fn greet(&mut self) -> Result<(), NetError> {
        let hello = self.read_message(Patience::Idle(GREETING_TIME)).await?;
        self.session.receive(&hello)?;
        if let ClientBody::Hello { software, .. } = &hello.body {
            debug!(software = %Printable(software), "greeted");
        }
        let welcome = ServerBody::Welcome {
            software: SOFTWARE.to_owned(),
            role: self.role.level(),
        };
        self.outbox.answer(0, welcome).await
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
            match self.session.receive(&message)? {
                Received::Request => self.serve(message).await?,
                // What changes nothing can as well be done again.
                Received::Repeated if !commands::changes(&message.body) => {
                    self.serve(message).await?;
                }
                Received::Repeated => self.answer_again(message.number).await?,
                Received::Part | Received::Greeting => {}
            }
        }
    }

    async fn serve(&mut self, message: ClientMessage) -> Result<(), NetError> {
        let ClientMessage { number, body } = message;
        match body {
            ClientBody::Download { .. } => self.download(number).await,
            ClientBody::Upload { .. } => self.upload(number).await,
            ClientBody::List {
                folder,
                patterns,
                limit,
            } => self.list(number, folder, patterns, limit).await,
            single => {
                let changes = commands::changes(&single);
                let answering = commands::answer(&self.context, self.role, self.version, single);
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
        read_message(&mut self.reader, &self.session, patience).await
    }

    /// Says why the conversation ends, and waits a moment for the client to read it: closing with
    /// unread bytes would reset the connection and take the words back.
    async fn part(self, parting: &Failure) {
        let Conversation {
            mut reader,
            mut outbox,
            ..
        } = self;
        let told = async {
            outbox.answer(0, refused(parting)).await?;
            outbox.writer.shutdown().await
        };
        if let Ok(Ok(())) = timeout(DRAIN_TIME, told).await {
            let _ = timeout(DRAIN_TIME, reader.drain()).await;
        }
    }
}

/// Reads a message without borrowing the whole conversation.
pub(super) async fn read_message<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    session: &ServerSession,
    patience: Patience,
) -> Result<ClientMessage, NetError> {
    match reader.next(session.body_limits(), patience).await? {
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
            | ServerBody::UploadResults { .. } => MAX_PAGE_BODY,
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

/// Checks the role and notes refusals in the log.
pub(super) fn allow(role: Role, action: access::Action) -> Result<(), Failure> {
    access::check(role, action).map_err(|denied| {
        info!(%denied, "refused");
        Failure::from(denied)
    })
}
