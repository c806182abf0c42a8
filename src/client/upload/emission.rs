use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::{Event, Order, Pending, Sent};
use crate::client::link::Outbox;
use crate::client::rounds::{Moved, Rounds, going_on};
use crate::net::heartbeat;
use crate::protocol::Failure;
use crate::protocol::limits::{MAX_PAGE_BODY, MAX_PAGE_ITEMS};
use crate::protocol::message::{ClientBody, FileMessage, UploadFile, WireRange};
use crate::transfer::{Piece, Progress, Sending};
use crate::types::{Compression, Printable};

/// The sending half of an upload.
pub(super) struct Emission {
    number: u32,
    files: Vec<UploadFile>,
    /// The places in the caller's batch, for progress.
    indices: Vec<u32>,
    listed: usize,
    closed: usize,
    sending: Sending,
    orders: UnboundedReceiver<Order>,
    events: UnboundedSender<Event>,
    progress: Arc<dyn Progress>,
    moved: Moved,
    /// Where the file that is being sent began, how much of it has gone, and as how many bytes.
    offset: u64,
    sent: u64,
    crossed: u64,
    /// How much of it the server copies.
    copied: u64,
}

impl Emission {
    /// Sends the first `count` files of the round.
    pub(super) fn new(
        number: u32,
        rounds: &Rounds<'_, Pending>,
        count: usize,
        orders: UnboundedReceiver<Order>,
        events: UnboundedSender<Event>,
        compression: Compression,
    ) -> Self {
        Emission {
            number,
            files: rounds.files().take(count).map(Pending::wire).collect(),
            indices: rounds.files().take(count).map(|file| file.index).collect(),
            listed: 0,
            closed: 0,
            sending: Sending::new(compression),
            orders,
            events,
            progress: rounds.progress.clone(),
            moved: rounds.moved(),
            offset: 0,
            sent: 0,
            crossed: 0,
            copied: 0,
        }
    }

    pub(super) async fn run(mut self, outbox: &mut Outbox) -> Result<(), Failure> {
        let files = self.files.len() as u32;
        outbox
            .message(self.number, ClientBody::Upload { files })
            .await?;
        let mut heartbeat = heartbeat();
        while self.closed < self.files.len() {
            self.list(outbox).await?;
            let idle = self.sending.is_idle();
            if idle {
                outbox.flush().await?;
            }
            tokio::select! {
                biased;
                Some(order) = self.orders.recv() => match order {
                    Order::Next(file) => self.sending.add(file),
                    Order::Stop(index) => self.sending.skip(index),
                },
                pieces = self.sending.next(outbox.rate()), if !idle => {
                    let pieces = pieces?;
                    if pieces.is_empty() {
                        continue;
                    }
                    for piece in pieces {
                        self.send(outbox, piece).await?;
                    }
                    outbox.flush().await?;
                    heartbeat.reset();
                }
                _ = heartbeat.tick() => {
                    outbox.message(self.number, ClientBody::Alive).await?;
                    outbox.flush().await?;
                }
            }
        }
        outbox.flush().await
    }

    /// Describes as many pages of files as may be open.
    async fn list(&mut self, outbox: &mut Outbox) -> Result<(), Failure> {
        while self.listed < self.files.len() && outbox.may_list() {
            let rest = self.files.get(self.listed..).unwrap_or_default();
            let files = rest
                .iter()
                .take(page_length(rest))
                .cloned()
                .collect::<Vec<_>>();
            self.listed += files.len();
            outbox
                .message(self.number, ClientBody::UploadPage { files })
                .await?;
        }
        Ok(())
    }

    async fn send(&mut self, outbox: &mut Outbox, piece: Piece) -> Result<(), Failure> {
        let place = |index: u32| self.indices.get(index as usize).copied().unwrap_or(index);
        let body = match piece {
            Piece::Data(content) => {
                outbox.data(&content).await?;
                self.moved.add(content.wire_size());
                self.sent += content.size() as u64;
                self.crossed += content.wire_size() as u64;
                self.progress
                    .advance(place(self.closed as u32), content.size() as u64);
                return Ok(());
            }
            Piece::Copy(part) => {
                let length = part.end.saturating_sub(part.start);
                self.copied += length;
                self.progress.advance(place(self.closed as u32), length);
                let offset = part.start;
                ClientBody::File(FileMessage::Copy(WireRange { offset, length }))
            }
            Piece::Begin {
                index,
                size,
                offset,
                basis,
                ..
            } => {
                let label = self.files.get(index as usize).map_or("", |file| &file.name);
                let label = Printable(label).to_string();
                self.progress.begin(place(index), &label, size, offset);
                if let Some(note) = going_on(&label, offset, size) {
                    self.progress.note(&note);
                }
                (self.offset, self.sent, self.crossed, self.copied) = (offset, 0, 0, 0);
                ClientBody::File(match basis {
                    Some(basis) => FileMessage::Patch {
                        index,
                        offset,
                        basis: basis.into(),
                    },
                    None => FileMessage::Begin {
                        index,
                        offset,
                        entry: None,
                    },
                })
            }
            Piece::End { index, digest } => {
                self.closed += 1;
                let sent = Sent {
                    digest,
                    size: self.offset + self.sent + self.copied,
                    bytes: self.crossed,
                };
                let _ = self.events.send(Event::Sent(index, sent));
                ClientBody::File(FileMessage::End {
                    digest: digest.into(),
                })
            }
            Piece::Abort { index, failure } => {
                self.closed += 1;
                let (code, detail) = failure.to_wire();
                let _ = self.events.send(Event::Failed(index, failure));
                ClientBody::File(FileMessage::Abort {
                    index,
                    code,
                    detail,
                })
            }
            Piece::Skip { index } => {
                self.closed += 1;
                ClientBody::Skip { index }
            }
        };
        outbox.message(self.number, body).await
    }
}

/// How many of the files fit into one page.
fn page_length(files: &[UploadFile]) -> usize {
    // The fixed fields, with every option there, take less than 100 bytes beside the name.
    let mut room = MAX_PAGE_BODY / 2;
    let fitting = files.iter().take(MAX_PAGE_ITEMS / 4).take_while(|file| {
        let taken = room.checked_sub(file.name.len() + 100);
        room = taken.unwrap_or(0);
        taken.is_some()
    });
    fitting.count().max(1)
}
