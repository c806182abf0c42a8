use std::collections::HashMap;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::{Beginning, Opening, OutgoingFile, Piece, Sending};
use crate::net::{Frame, FrameReader, FrameWriter, NetError, Patience, heartbeat};
use crate::protocol::codec;
use crate::protocol::limits::{MAX_MESSAGE_BODY, MESSAGE_TIME};
use crate::protocol::message::{ClientBody, ClientMessage, FileMessage, ServerBody, ServerMessage};
use crate::protocol::session::{ServerSession, Violation};
use crate::protocol::{Failure, WireRef};
use crate::types::{Digest, FileName};

/// What can be downloaded from this side, and who looks on.
pub trait Catalog {
    /// What opens this file when its turn comes, on a blocking thread.
    fn opening(&self, file: WireRef) -> Box<dyn FnOnce() -> Opening + Send>;

    /// Whether this side wants no more of the conversation.
    fn is_ended(&self) -> bool;

    /// This file is sent next.
    fn turn_to(&self, name: &FileName);

    /// So many bytes of it have left.
    fn sent(&self, bytes: usize);
}

/// The side of a conversation from which the other one downloads.
pub struct Answering<'a, R, W, C> {
    /// What the other side says.
    pub reader: &'a mut FrameReader<R>,
    /// What it hears.
    pub writer: &'a mut FrameWriter<W>,
    /// What the other side may say.
    pub protocol: &'a mut ServerSession,
    /// What there is.
    pub catalog: &'a C,
    /// A request that came while files were still being sent; it is next.
    pub held: &'a mut Option<ClientMessage>,
}

impl<R, W, C> Answering<'_, R, W, C>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    C: Catalog,
{
    /// Answers `Download`: files stream one behind the other, while the client names the next
    /// ones or says which it does not want after all.
    pub async fn download(&mut self, number: u32) -> Result<(), NetError> {
        let mut sending = Sending::new();
        let mut named = Named::default();
        let mut heartbeat = heartbeat();
        loop {
            let idle = sending.is_idle();
            let patience = if idle {
                Patience::Idle(MESSAGE_TIME)
            } else {
                Patience::Listening
            };
            // A request behind this download waits its turn, and so does all that follows it.
            let may_read = self.held.is_none();
            tokio::select! {
                biased;
                message = read_message(self.reader, self.protocol, patience), if may_read => {
                    let message = message?;
                    if !self.protocol.belongs_to_download(&message) {
                        *self.held = Some(message);
                        continue;
                    }
                    self.protocol.receive(&message)?;
                    self.take_part(message, &mut sending, &mut named)?;
                }
                pieces = sending.next(), if !idle => {
                    let pieces = pieces.map_err(|failure| internal(&failure))?;
                    if pieces.is_empty() {
                        continue;
                    }
                    heartbeat.reset();
                    if self.send_pieces(number, pieces).await? {
                        return self.answer(number, ServerBody::DownloadEnd).await;
                    }
                }
                _ = heartbeat.tick() => self.answer(number, ServerBody::Alive).await?,
            }
        }
    }

    fn take_part(
        &self,
        message: ClientMessage,
        sending: &mut Sending,
        named: &mut Named,
    ) -> Result<(), Violation> {
        match message.body {
            ClientBody::DownloadPage { files } => {
                for file in files {
                    let beginning = named.beginnings.remove(&named.files);
                    sending.add(self.outgoing(named.files, beginning, file));
                    named.files += 1;
                }
            }
            ClientBody::Resume {
                index,
                offset: length,
                digest,
            } => {
                // A digest that is none begins no file.
                let digest = Digest::try_from(digest).ok();
                let beginning = digest.map(|digest| Beginning { length, digest });
                if named.beginnings.insert(index, beginning).is_some() {
                    return Err(Violation("the beginning of a file twice"));
                }
            }
            ClientBody::Skip { index } => sending.skip(index),
            _ => {}
        }
        Ok(())
    }

    fn outgoing(
        &self,
        index: u32,
        beginning: Option<Option<Beginning>>,
        file: WireRef,
    ) -> OutgoingFile {
        OutgoingFile {
            index,
            beginning: beginning.flatten(),
            open: self.catalog.opening(file),
        }
    }

    /// Sends pieces on their way; returns whether the batch ended with them.
    async fn send_pieces(&mut self, number: u32, pieces: Vec<Piece>) -> Result<bool, NetError> {
        let mut complete = false;
        for piece in pieces {
            if self.catalog.is_ended() {
                self.writer.flush().await?;
                return Err(NetError::Closed);
            }
            let (message, closes) = match piece {
                Piece::Data(bytes) => {
                    self.writer.data(&bytes).await?;
                    self.catalog.sent(bytes.len());
                    continue;
                }
                Piece::Begin {
                    index,
                    entry,
                    offset,
                    ..
                } => {
                    if let Some(entry) = &entry {
                        self.catalog.turn_to(&entry.name);
                    }
                    let entry = entry.as_ref().map(Into::into);
                    (
                        FileMessage::Begin {
                            index,
                            offset,
                            entry,
                        },
                        false,
                    )
                }
                Piece::End { digest, .. } => {
                    let digest = digest.into();
                    (FileMessage::End { digest }, true)
                }
                Piece::Abort { index, failure } => {
                    debug!(index, %failure, "a file was not sent");
                    let (code, detail) = failure.to_wire();
                    (
                        FileMessage::Abort {
                            index,
                            code,
                            detail,
                        },
                        true,
                    )
                }
                Piece::Skip { .. } => continue,
            };
            let body = ServerBody::File(message);
            self.queue(number, body).await?;
            if closes {
                complete = self.protocol.close_downloaded()?;
            }
        }
        self.writer.flush().await?;
        Ok(complete)
    }

    async fn answer(&mut self, number: u32, body: ServerBody) -> Result<(), NetError> {
        self.queue(number, body).await?;
        self.writer.flush().await
    }

    async fn queue(&mut self, number: u32, body: ServerBody) -> Result<(), NetError> {
        let message = ServerMessage { number, body };
        self.writer.message(&message, MAX_MESSAGE_BODY).await
    }
}

/// Reads the next message of the other side. Can be dropped and called again.
pub async fn read_message<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    protocol: &ServerSession,
    patience: Patience,
) -> Result<ClientMessage, NetError> {
    match reader.next(protocol.body_limits(), patience).await? {
        Frame::Message(body) => Ok(codec::decode(&body)?),
        Frame::Data(_) => Err(Violation("file content outside of a file").into()),
    }
}

/// What the client has named of a download.
#[derive(Default)]
struct Named {
    files: u32,
    /// What it has already of files that it has not named yet: the session bounds how many.
    beginnings: HashMap<u32, Option<Beginning>>,
}

fn internal(failure: &Failure) -> NetError {
    NetError::Cut(std::io::Error::other(failure.to_string()))
}
