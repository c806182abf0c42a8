use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, info};

use super::conversation::{Conversation, read_message};
use super::sessions::Session;
use crate::access::Action;
use crate::net::{NetError, Patience, heartbeat};
use crate::protocol::limits::MESSAGE_TIME;
use crate::protocol::message::{ClientBody, ClientMessage, FileMessage, ServerBody};
use crate::protocol::session::Violation;
use crate::protocol::{ErrorCode, Failure, WireRef};
use crate::store::{Store, StoredFile};
use crate::transfer::{Beginning, Opening, OutgoingFile, Piece, Sending, Source};
use crate::types::{Digest, Entry, FileRef};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    /// Answers `Download`: files stream one behind the other, while the client names the next
    /// ones or says which it does not want after all.
    pub(super) async fn download(&mut self, number: u32) -> Result<(), NetError> {
        let mut sending = Sending::new(self.compression);
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
                message = read_message(&mut self.reader, &self.protocol, patience), if may_read => {
                    let message = message?;
                    if !self.protocol.belongs_to_download(&message) {
                        self.held = Some(message);
                        continue;
                    }
                    self.protocol.receive(&message)?;
                    self.take_part(message, &mut sending, &mut named)?;
                }
                pieces = sending.next(self.outbox.writer.rate()), if !idle => {
                    let pieces = pieces.map_err(|failure| internal(&failure))?;
                    if pieces.is_empty() {
                        continue;
                    }
                    heartbeat.reset();
                    if self.send_pieces(number, pieces).await? {
                        return self.outbox.answer(number, ServerBody::DownloadEnd).await;
                    }
                }
                _ = heartbeat.tick() => self.outbox.answer(number, ServerBody::Alive).await?,
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
                    let parts = named.parts.remove(&named.files).unwrap_or_default();
                    sending.add(self.outgoing(named.files, beginning, parts, file));
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
                if named.beginnings.insert(index, beginning).is_some()
                    || named.parts.contains_key(&index)
                {
                    return Err(Violation("the beginning of a file twice"));
                }
            }
            ClientBody::Ranges { index, ranges } => {
                if named.beginnings.contains_key(&index) {
                    return Err(Violation("the beginning of a file twice"));
                }
                let ranges = ranges.into_iter();
                let ranges = ranges.map(|range| range.offset..range.offset + range.length);
                named.parts.entry(index).or_default().extend(ranges);
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
        parts: Vec<Range<u64>>,
        file: WireRef,
    ) -> OutgoingFile {
        let (store, session) = (self.context.store.clone(), self.session.session());
        let open = move || match open(&store, &session, file) {
            Ok(source) => Opening::Send(Box::new(source)),
            Err(failure) => Opening::Fail(failure),
        };
        OutgoingFile {
            index,
            beginning: beginning.flatten(),
            parts,
            open: Box::new(open),
        }
    }

    /// Sends pieces on their way; returns whether the batch ended with them.
    async fn send_pieces(&mut self, number: u32, pieces: Vec<Piece>) -> Result<bool, NetError> {
        let mut complete = false;
        for piece in pieces {
            if self.session.is_ended() {
                self.outbox.writer.flush().await?;
                return Err(NetError::Closed);
            }
            let (message, closes) = match piece {
                Piece::Data(content) => {
                    self.outbox.writer.data(&content).await?;
                    self.session.sent(content.wire_size());
                    continue;
                }
                Piece::Begin {
                    index,
                    entry,
                    offset,
                    ..
                } => {
                    if let Some(entry) = &entry {
                        self.session.turn_to(&entry.name);
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
                // The client copies what it likes to, and is not told.
                Piece::Skip { .. } | Piece::Copy(_) => continue,
            };
            let body = ServerBody::File(message);
            self.outbox.queue(number, body).await?;
            if closes {
                complete = self.protocol.close_downloaded()?;
            }
        }
        self.outbox.writer.flush().await?;
        Ok(complete)
    }
}

/// What the client has named of a download.
#[derive(Default)]
struct Named {
    files: u32,
    /// What it has already of files that it has not named yet: the session bounds how many.
    beginnings: HashMap<u32, Option<Beginning>>,
    /// The parts that it wants of them, where it does not want all: likewise.
    parts: HashMap<u32, Vec<Range<u64>>>,
}

fn open(store: &Store, session: &Session, file: WireRef) -> Result<StoredSource, Failure> {
    session.allow(Action::Read)?;
    let file = FileRef::try_from(file)?;
    Ok(StoredSource(store.open_file(&file)?))
}

fn internal(failure: &Failure) -> NetError {
    NetError::Cut(std::io::Error::other(failure.to_string()))
}

struct StoredSource(StoredFile);

impl StoredSource {
    fn unreadable(&self, error: &std::io::Error) -> Failure {
        let name = &self.0.entry.name;
        Failure::new(ErrorCode::Io, format!("{name} cannot be read: {error}"))
    }
}

impl Source for StoredSource {
    fn entry(&self) -> Option<Entry> {
        Some(self.0.entry.clone())
    }

    fn size(&self) -> Option<u64> {
        Some(self.0.entry.size)
    }

    fn digest(&self) -> Option<Digest> {
        self.0.entry.id
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let read = self.0.read(buffer);
        read.map_err(|error| self.unreadable(&error))
    }

    fn seek(&mut self, offset: u64) -> Result<(), Failure> {
        let sought = self.0.file().seek(SeekFrom::Start(offset));
        sought.map(drop).map_err(|error| self.unreadable(&error))
    }

    fn finish(&mut self, digest: Digest) -> Result<(), Failure> {
        self.0.check_unchanged()?;
        if self.0.entry.id.is_none() {
            self.0.digest_seen(digest);
        }
        let entry = &self.0.entry;
        info!(name = %entry.name, size = entry.size, id = %digest, "downloaded");
        Ok(())
    }
}
