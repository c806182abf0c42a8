use std::collections::HashSet;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tracing::debug;

use super::decision::Decided;
use super::{Begun, Event, Order, Pending};
use crate::access::{Action, Role, check};
use crate::client::link::{self, Heard, Inbox};
use crate::client::resemblance;
use crate::client::rounds::Rounds;
use crate::client::{Done, Status};
use crate::protocol::limits::SEGMENT;
use crate::protocol::message::{ServerBody, ServerMessage, UploadResult, Verdict};
use crate::protocol::session::Answer;
use crate::protocol::{ErrorCode, Failure, WireDigest, WireEntry};
use crate::transfer::{Beginning, Opening, OutgoingFile};
use crate::types::{Digest, Entry, OnConflict};

/// The receiving half of an upload.
pub(super) struct Supervision<'a, 'b> {
    rounds: &'a mut Rounds<'b, Pending>,
    orders: UnboundedSender<Order>,
    events: UnboundedSender<Event>,
    heard_events: UnboundedReceiver<Event>,
    /// In a dry run, what this client may do.
    rehearsal: Option<Role>,
    next_verdict: u32,
    /// Files that could not be put together: they go whole in the next round.
    again: HashSet<u32>,
}

impl<'a, 'b> Supervision<'a, 'b> {
    pub(super) fn new(
        rounds: &'a mut Rounds<'b, Pending>,
        orders: UnboundedSender<Order>,
        events: UnboundedSender<Event>,
        heard_events: UnboundedReceiver<Event>,
        rehearsal: Option<Role>,
    ) -> Self {
        Supervision {
            rounds,
            orders,
            events,
            heard_events,
            rehearsal,
            next_verdict: 0,
            again: HashSet::new(),
        }
    }

    pub(super) async fn run(mut self, inbox: &mut Inbox) -> Result<(), Failure> {
        loop {
            tokio::select! {
                biased;
                Some(event) = self.heard_events.recv() => self.note(event),
                heard = inbox.next() => match heard? {
                    Heard::Data(_) => return Err(link::broken("file content in an upload")),
                    Heard::Message(answer, message) => {
                        self.note_all();
                        self.take(*message)?;
                        if answer == Answer::Final {
                            return Ok(());
                        }
                    }
                },
            }
        }
    }

    fn note_all(&mut self) {
        while let Ok(event) = self.heard_events.try_recv() {
            self.note(event);
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Sent(index, sent) => {
                if let Some(file) = self.rounds.get(index) {
                    file.sent = Some(sent);
                }
            }
            // The server has stopped us.
            Event::Failed(index, _) if self.again.contains(&index) => {}
            Event::Failed(index, failure) => self.finish(index, Err(failure)),
            Event::Left(index, status, entry) => {
                let Some(file) = self.rounds.get(index) else {
                    return;
                };
                let sent = file.sent.filter(|_| status == Status::Done);
                let done = Done {
                    status,
                    size: file.size.or(entry.as_ref().map(|entry| entry.size)),
                    entry: entry.map(|entry| *entry),
                    sent: sent.map_or(0, |sent| sent.bytes),
                };
                self.finish(index, Ok(done));
            }
        }
    }

    fn take(&mut self, message: ServerMessage) -> Result<(), Failure> {
        match message.body {
            ServerBody::UploadReady { verdicts } => {
                for verdict in verdicts {
                    let index = self.next_verdict;
                    self.next_verdict += 1;
                    let file = self.outgoing(index, verdict)?;
                    let _ = self.orders.send(Order::Next(file));
                }
            }
            ServerBody::UploadResults { results } => {
                for result in results {
                    match result {
                        UploadResult::Stored { index, entry } => self.stored(index, entry)?,
                        UploadResult::Failed {
                            index,
                            code,
                            detail,
                        } => {
                            let _ = self.orders.send(Order::Stop(index));
                            self.refused(index, Failure::from_wire(code, &detail));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What to do about a file, once the server has said what it thinks of it.
    fn outgoing(&mut self, index: u32, verdict: Verdict) -> Result<OutgoingFile, Failure> {
        let file = self
            .rounds
            .get(index)
            .ok_or_else(|| link::broken("a verdict on a file that was not described"))?;
        let events = self.events.clone();
        let tell = move |event| {
            let _ = events.send(event);
            Opening::Skip
        };
        let mut beginning = None;
        let open: Box<dyn FnOnce() -> Opening + Send> = match verdict {
            Verdict::Refused { code, detail } => {
                let failure = Failure::from_wire(code, &detail);
                Box::new(move || tell(Event::Failed(index, failure)))
            }
            Verdict::Start if self.rehearsal.is_some() => {
                Box::new(move || tell(Event::Left(index, Status::WouldTransfer, None)))
            }
            Verdict::Start => {
                let origin = file.begin();
                Box::new(move || origin.open(None))
            }
            Verdict::Resume { offset, digest } => {
                beginning = Some(offered(file, offset, digest)?);
                let origin = file.begin();
                Box::new(move || origin.open(None))
            }
            Verdict::Exists(entry) => {
                let entry = Entry::try_from(entry).map_err(|error| link::broken(&error))?;
                let decision = file.decision();
                // A stream that is not sent can still be used after a reconnection.
                let origin = match file.on_conflict {
                    OnConflict::Error | OnConflict::Skip => Begun::Nothing,
                    OnConflict::Overwrite | OnConflict::Rename => file.begin(),
                };
                let rehearsal = self.rehearsal;
                Box::new(move || match (decision.decide(&entry), rehearsal) {
                    (Decided::Send(hashed), None) => origin.open(hashed),
                    (Decided::Send(_), Some(role)) => tell(match check(role, Action::Overwrite) {
                        Ok(()) => Event::Left(index, Status::WouldTransfer, None),
                        Err(denied) => {
                            let (code, why) = (ErrorCode::Forbidden, denied.to_string());
                            Event::Failed(index, Failure::new(code, why))
                        }
                    }),
                    // What stands there under the name has nothing to do with a file that is skipped.
                    (Decided::Leave(Status::Skipped), _) => {
                        tell(Event::Left(index, Status::Skipped, None))
                    }
                    (Decided::Leave(status), _) => {
                        tell(Event::Left(index, status, Some(Box::new(entry))))
                    }
                    (Decided::Refuse(failure), _) => tell(Event::Failed(index, failure)),
                })
            }
        };
        Ok(OutgoingFile {
            index,
            beginning,
            parts: Vec::new(),
            open,
        })
    }

    fn stored(&mut self, index: u32, entry: WireEntry) -> Result<(), Failure> {
        let entry = Entry::try_from(entry).map_err(|error| link::broken(&error))?;
        let Some(file) = self.rounds.get(index) else {
            return Ok(());
        };
        let sent = file.sent;
        let sent = sent.ok_or_else(|| link::broken("it stored a file before its end"))?;
        if file.on_conflict != OnConflict::Rename && file.name != entry.name {
            let (asked, stored) = (&file.name, &entry.name);
            let message = format!("it was given {asked} and stored {stored}");
            return Err(link::broken(&message));
        }
        let outcome = match entry.id {
            Some(id) if id == sent.digest && entry.size == sent.size => Ok(Done {
                status: Status::Done,
                size: Some(sent.size),
                sent: sent.bytes,
                entry: Some(entry),
            }),
            _ => Err(Failure::new(
                ErrorCode::DigestMismatch,
                format!(
                    "{}: the server did not store what was sent (MD5 {})",
                    entry.name, sent.digest
                ),
            )),
        };
        self.finish(index, outcome);
        Ok(())
    }

    /// The server does not store it. What could not be put together goes again, whole.
    fn refused(&mut self, index: u32, failure: Failure) {
        let could_go_whole = resemblance::could_go_whole(failure.code);
        match self.rounds.get(index) {
            Some(file) if file.is_patch && could_go_whole => {
                debug!(name = %file.name, %failure, "it is sent whole after all");
                file.whole = true;
                self.again.insert(index);
            }
            _ => self.finish(index, Err(failure)),
        }
    }

    fn finish(&mut self, index: u32, outcome: Result<Done, Failure>) {
        if let Some(file) = self.rounds.take(index) {
            self.rounds.tell(file.report(outcome));
        }
    }
}

/// What the server says that it has of a file already.
fn offered(file: &Pending, length: u64, digest: WireDigest) -> Result<Beginning, Failure> {
    let is_whole = length > 0 && length.is_multiple_of(SEGMENT as u64);
    if file.token == 0 || !is_whole {
        return Err(link::broken("it has a beginning that nobody sent"));
    }
    let digest = Digest::try_from(digest).map_err(|error| link::broken(&error))?;
    Ok(Beginning { length, digest })
}
