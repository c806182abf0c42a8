use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tracing::debug;

use super::assembly::Steps;
use super::{Pending, Place, Wish};
use crate::client::link::{self, Heard, Inbox};
use crate::client::local::{FileSink, LocalFile, LocalSink, Part, StreamSink};
use crate::client::resemblance;
use crate::client::rounds::{Moved, Rounds, going_on};
use crate::protocol::message::{FileMessage, ServerBody, ServerMessage};
use crate::protocol::session::Answer;
use crate::protocol::{Content, ErrorCode, Expander, Failure, WireEntry};
use crate::transfer::{Incoming, Receiving};
use crate::types::{Digest, Entry, FileRef, OnConflict};

/// The receiving half of a download.
pub(super) struct Reception<'a, 'b> {
    rounds: &'a mut Rounds<'b, Pending>,
    moved: Moved,
    wishes: UnboundedSender<Wish>,
    receiving: Receiving<LocalSink>,
    results: UnboundedReceiver<(u32, Result<Option<PathBuf>, Failure>)>,
    /// The file whose content is coming.
    open: Option<u32>,
    /// What is still to be done for it, if it is put together.
    steps: Option<Steps>,
    /// For what is not written as it came.
    expander: Expander,
    /// Files that began and have no result yet.
    outstanding: u32,
}

impl<'a, 'b> Reception<'a, 'b> {
    pub(super) fn new(rounds: &'a mut Rounds<'b, Pending>, wishes: UnboundedSender<Wish>) -> Self {
        let (sender, results) = mpsc::unbounded_channel();
        Reception {
            moved: rounds.moved(),
            rounds,
            wishes,
            receiving: Receiving::new(sender),
            results,
            open: None,
            steps: None,
            expander: Expander::default(),
            outstanding: 0,
        }
    }

    pub(super) async fn run(mut self, inbox: &mut Inbox) -> Result<(), Failure> {
        let received = self.receive(inbox).await;
        if received.is_err() {
            // What is finished by now counts, whatever came after it; what is not may go on later.
            self.receiving.cut().await;
            while let Ok((index, result)) = self.results.try_recv() {
                self.finish(index, result);
            }
        }
        received
    }

    async fn receive(&mut self, inbox: &mut Inbox) -> Result<(), Failure> {
        let mut ended = false;
        while !ended || self.outstanding > 0 || self.receiving.is_busy() {
            let may_read = !ended && !self.receiving.is_full();
            tokio::select! {
                heard = inbox.next(), if may_read => match heard? {
                    Heard::Data(content) => {
                        self.take_data(content)?;
                    }
                    Heard::Message(answer, message) => {
                        ended = answer == Answer::Final;
                        self.take(*message)?;
                    }
                },
                turned = self.receiving.turn(), if self.receiving.is_busy() => {
                    turned.map_err(|error| link::unwritten(&error))?;
                }
                Some((index, result)) = self.results.recv() => {
                    self.outstanding -= 1;
                    if self.open == Some(index) && result.is_err() {
                        let _ = self.wishes.send(Wish::Skip(index));
                    }
                    self.finish(index, result);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, message: ServerMessage) -> Result<(), Failure> {
        let ServerBody::File(file) = message.body else {
            return Ok(());
        };
        match file {
            FileMessage::Begin {
                index,
                offset,
                entry,
            } => {
                self.open = Some(index);
                self.outstanding += 1;
                let begin = self.begin(index, offset, entry);
                self.receiving.push(begin);
                let copies = self.steps.as_mut().map(Steps::copies);
                self.put_together(copies.unwrap_or_default());
            }
            FileMessage::End { digest } => {
                let _ = self.wishes.send(Wish::Closed);
                if !self.steps.take().is_none_or(|steps| steps.is_empty()) {
                    return Err(link::broken("less of a file than was asked for"));
                }
                let digest = Digest::try_from(digest).map_err(|error| link::broken(&error))?;
                let wrong = self
                    .open_file()
                    .and_then(|file| file.identify(digest).err());
                self.open = None;
                self.receiving.push(match wrong {
                    Some(failure) => Incoming::Abort(failure),
                    None => Incoming::End(digest),
                });
            }
            FileMessage::Abort {
                index,
                code,
                detail,
            } => {
                let failure = Failure::from_wire(code, &detail);
                let _ = self.wishes.send(Wish::Closed);
                self.steps = None;
                match self.open.take() {
                    Some(_) => self.receiving.push(Incoming::Abort(failure)),
                    None => self.finish(index, Err(failure)),
                }
            }
            FileMessage::Patch { .. } | FileMessage::Copy(_) => {
                return Err(link::broken("a part of an upload"));
            }
        }
        Ok(())
    }

    fn begin(&mut self, index: u32, offset: u64, entry: Option<WireEntry>) -> Incoming<LocalSink> {
        let opened = self.prepare(index, offset, entry);
        let expected = opened.as_ref().ok().and_then(|(_, entry)| entry.id);
        Incoming::Begin {
            index,
            expected,
            open: Box::new(move || match opened?.0 {
                Opened::Stream(stream) => {
                    let (sink, hasher) = stream.open(offset)?;
                    Ok((LocalSink::Stream(sink), hasher))
                }
                Opened::File {
                    path,
                    entry,
                    on_conflict,
                    part,
                    offset,
                    basis,
                } => {
                    let (sink, hasher) = FileSink::open(&path, &entry, on_conflict, part, offset)?;
                    Ok((LocalSink::File(sink.with(basis)), hasher))
                }
            }),
        }
    }

    /// Checks what the server says it is about to send against what was asked for.
    fn prepare(
        &mut self,
        index: u32,
        offset: u64,
        entry: Option<WireEntry>,
    ) -> Result<(Opened, Entry), Failure> {
        let file = self
            .rounds
            .get(index)
            .ok_or_else(|| link::broken("it sent a file twice"))?;
        let entry = entry.ok_or_else(|| link::broken("it did not say what it sends"))?;
        let entry = Entry::try_from(entry).map_err(|error| link::broken(&error))?;
        let asked_for = match (&file.file, entry.id) {
            (FileRef::Name(name), _) => *name == entry.name,
            (FileRef::Id(prefix), Some(id)) => id.to_string().starts_with(prefix.as_str()),
            (FileRef::Id(_), None) => true,
        };
        if !asked_for {
            let (asked, sent) = (&file.file, &entry.name);
            let message = format!("it was asked for {asked} and sent {sent}");
            return Err(link::broken(&message));
        }
        let beginning = file
            .target
            .beginning()
            .map_or(0, |beginning| beginning.length);
        if offset != 0 && (offset != beginning || offset > entry.size) {
            return Err(link::broken("it went on where nobody had come to"));
        }
        let assembly = file.assembly.take();
        file.is_assembled = assembly.is_some();
        if let Some(assembly) = &assembly
            && (entry.id, entry.size) != (Some(assembly.id), assembly.size)
        {
            let message = format!("{} has changed on the server meanwhile", entry.name);
            return Err(Failure::new(ErrorCode::Conflict, message));
        }
        let (at, label) = (file.index, entry.name.to_string());
        let is_new = file.entry.replace(entry.clone()).is_none();
        let offset = assembly.as_ref().map_or(offset, |assembly| assembly.offset);
        (file.received, file.crossed) = (offset, 0);
        let (steps, basis) = assembly
            .map(|assembly| (assembly.steps, assembly.basis))
            .unzip();
        let opened = match &mut file.target {
            Place::File(path, part) => Opened::File {
                path: path.clone(),
                entry: entry.clone(),
                on_conflict: file.on_conflict,
                part: part.take(),
                offset,
                basis,
            },
            Place::Stream(output) => Opened::Stream(output.sink()),
        };
        self.steps = steps;
        if is_new {
            self.rounds.announce(entry.size);
        }
        let progress = self.rounds.progress;
        progress.begin(at, &label, Some(entry.size), offset);
        if let Some(note) = going_on(&label, offset, Some(entry.size)) {
            progress.note(&note);
        }
        Ok((opened, entry))
    }

    /// Content came: as it is, or what a file is put together with.
    fn take_data(&mut self, content: Content) -> Result<(), Failure> {
        self.moved.add(content.wire_size());
        if let Some(file) = self.open_file() {
            file.crossed += content.wire_size() as u64;
        }
        match &mut self.steps {
            Some(steps) => {
                // The parts of a file begin anywhere in it.
                let bytes = self.expander.expand(&content);
                let bytes = bytes.map_err(|error| link::broken(&error))?;
                let taken = steps.take(Bytes::copy_from_slice(bytes));
                self.put_together(taken);
                Ok(())
            }
            None => {
                self.count(content.size() as u64)?;
                self.receiving.push(Incoming::Data(content));
                Ok(())
            }
        }
    }

    fn put_together(&mut self, taken: Vec<Incoming<LocalSink>>) {
        for incoming in taken {
            let bytes = match &incoming {
                Incoming::Copy(part) => part.end - part.start,
                Incoming::Data(content) => content.size() as u64,
                _ => 0,
            };
            if let Some(file) = self.open_file() {
                file.received += bytes;
                let index = file.index;
                self.rounds.progress.advance(index, bytes);
            }
            self.receiving.push(incoming);
        }
    }

    fn count(&mut self, bytes: u64) -> Result<(), Failure> {
        let Some(file) = self.open_file() else {
            return Ok(());
        };
        file.received += bytes;
        if file
            .entry
            .as_ref()
            .is_some_and(|entry| file.received > entry.size)
        {
            return Err(link::broken("it sent more of a file than it announced"));
        }
        let index = file.index;
        self.rounds.progress.advance(index, bytes);
        Ok(())
    }

    /// The file whose content is coming, unless it has failed already.
    fn open_file(&mut self) -> Option<&mut Pending> {
        self.rounds.get(self.open?)
    }

    fn finish(&mut self, index: u32, result: Result<Option<PathBuf>, Failure>) {
        if let Err(failure) = &result
            && let Some(file) = self.rounds.get(index)
            && (file.is_assembled || file.assembly.is_some())
            && resemblance::could_go_whole(failure.code)
        {
            debug!(file = %file.file, %failure, "it comes whole after all");
            (file.alike, file.assembly, file.is_assembled) = (None, None, false);
            return;
        }
        if let Some(file) = self.rounds.take(index) {
            let named = result.map_err(|failure| named(failure, &file));
            self.rounds.tell(file.report(named));
        }
    }
}

enum Opened {
    File {
        path: PathBuf,
        entry: Entry,
        on_conflict: OnConflict,
        part: Option<Box<Part>>,
        offset: u64,
        basis: Option<LocalFile>,
    },
    Stream(StreamSink),
}

/// Digest failures come from where no name is known.
fn named(failure: Failure, file: &Pending) -> Failure {
    let is_ours = failure.code == ErrorCode::DigestMismatch;
    match &file.entry {
        Some(entry) if is_ours => Failure::new(failure.code, format!("{}: {failure}", entry.name)),
        _ => failure,
    }
}
