use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::link::{self, Heard, Inbox, Link, Outbox};
use super::local::{self, FileSource, LocalFile, StreamSource};
use super::retry::{self, Retries};
use super::{Client, Done, FileReport, Source, Status, Upload};
use crate::protocol::limits::{ALIVE_INTERVAL, MAX_PAGE_BODY, MAX_PAGE_ITEMS};
use crate::protocol::message::{
    ClientBody, FileMessage, ServerBody, ServerMessage, UploadFile, UploadResult, Verdict,
    WireConflict,
};
use crate::protocol::session::Answer;
use crate::protocol::{ErrorCode, Failure, WireEntry};
use crate::transfer::{Opening, OutgoingFile, Piece, Progress, Sending};
use crate::types::{Digest, Entry, FileName, FileRef, Item, OnConflict, Precondition, Timestamp};

type Report<'a> = &'a mut (dyn FnMut(FileReport) + Send);

/// A file that is still to go.
struct Pending {
    /// Its place in the batch that the caller gave.
    index: u32,
    name: FileName,
    source: Origin,
    size: Option<u64>,
    modified: Option<Timestamp>,
    executable: bool,
    on_conflict: OnConflict,
    precondition: Precondition,
    /// What was sent of it, once it was sent whole.
    sent: Option<Sent>,
}

/// Where a file comes from.
enum Origin {
    File(PathBuf),
    /// `None` once the stream is in use: it cannot be read a second time.
    Stream(Option<Box<dyn Read + Send>>),
}

#[derive(Clone, Copy)]
struct Sent {
    digest: Digest,
    bytes: u64,
}

pub(super) async fn put(
    client: &mut Client,
    files: Vec<Upload>,
    dry_run: bool,
    progress: Arc<dyn Progress>,
    report: Report<'_>,
) -> Result<(), Failure> {
    client.connect().await?;
    let mut pending = Vec::new();
    for looked_at in look_at_all(files).await? {
        match looked_at {
            Ok(file) if dry_run => {
                let outcome = rehearse(client, &file).await;
                report(file.report(outcome));
            }
            Ok(file) => pending.push(Some(file)),
            Err(finished) => report(*finished),
        }
    }
    let bytes = pending.iter().flatten().filter_map(|file| file.size).sum();
    progress.batch(pending.len() as u64, bytes);
    let mut retries = Retries::new(&client.options);
    while !pending.is_empty() {
        let before = pending.len();
        let ended = attempt(client, &mut pending, &progress, &mut *report).await;
        pending.retain(Option::is_some);
        let failure = match ended {
            Err(failure) => failure,
            Ok(()) => link::broken("it did not say what became of a file"),
        };
        if pending.len() < before {
            retries.progressed();
        }
        // A stream that was read from cannot be read again.
        report_matching(&mut pending, &progress, report, &failure, |file| {
            matches!(file.source, Origin::Stream(None))
        });
        if pending.is_empty() {
            break;
        }
        if retry::is_cut(&failure) && retries.has_more() {
            progress.note(&retries.note(&failure));
        }
        let again = match retry::is_cut(&failure) {
            true => retries.wait(failure).await,
            false => Err(failure),
        };
        if let Err(failure) = again {
            report_matching(&mut pending, &progress, report, &failure, |_| true);
        }
    }
    Ok(())
}

/// Looks at every local file; what cannot be sent is reported without asking the server.
async fn look_at_all(files: Vec<Upload>) -> Result<Vec<Result<Pending, Box<FileReport>>>, Failure> {
    let look = move || {
        (0..)
            .zip(files)
            .map(|(index, upload)| look_at(index, upload))
            .collect()
    };
    let looked = tokio::task::spawn_blocking(look).await;
    looked.map_err(|_| {
        Failure::new(
            ErrorCode::Internal,
            "looking at the files failed unexpectedly",
        )
    })
}

fn look_at(index: u32, upload: Upload) -> Result<Pending, Box<FileReport>> {
    let Upload {
        source,
        name,
        on_conflict,
        precondition,
    } = upload;
    let mut pending = Pending {
        index,
        name,
        source: Origin::Stream(None),
        size: None,
        modified: None,
        executable: false,
        on_conflict,
        precondition,
        sent: None,
    };
    match source {
        Source::Stream(stream) => pending.source = Origin::Stream(Some(stream)),
        Source::Path(path) => {
            let metadata = std::fs::metadata(&path)
                .map_err(|error| local::io_failure(&path, &error))
                .and_then(|metadata| local::require_file(&path, &metadata).map(|()| metadata));
            pending.source = Origin::File(path);
            match metadata {
                Ok(metadata) => {
                    pending.size = Some(metadata.len());
                    pending.modified = metadata.modified().ok().map(Timestamp::from);
                    pending.executable = is_executable(&metadata);
                }
                Err(failure) => return Err(Box::new(pending.report(Err(failure)))),
            }
        }
    }
    Ok(pending)
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &std::fs::Metadata) -> bool {
    false
}

/// What would happen to the file.
async fn rehearse(client: &mut Client, file: &Pending) -> Result<Done, Failure> {
    let would = |status, entry| Done {
        status,
        entry,
        size: file.size,
        sent: 0,
    };
    match client.stat(&FileRef::Name(file.name.clone())).await {
        Err(failure) if failure.code == ErrorCode::NotFound => {
            Ok(would(Status::WouldTransfer, None))
        }
        Err(failure) => Err(failure),
        Ok(Item::Folder(name)) => Err(Failure::new(
            ErrorCode::Conflict,
            format!("{name} is a folder on the server"),
        )),
        Ok(Item::File(entry)) => {
            let decision = file.decision();
            let standing = entry.clone();
            let decided = tokio::task::spawn_blocking(move || decision.decide(&standing)).await;
            let decided = decided
                .map_err(|_| Failure::new(ErrorCode::Internal, "comparing failed unexpectedly"))?;
            match decided {
                Decided::Send(_) => Ok(would(Status::WouldTransfer, Some(entry))),
                Decided::Leave(status) => Ok(would(status, Some(entry))),
                Decided::Refuse(failure) => Err(failure),
            }
        }
    }
}

fn report_matching(
    pending: &mut Vec<Option<Pending>>,
    progress: &Arc<dyn Progress>,
    report: Report<'_>,
    failure: &Failure,
    which: impl Fn(&Pending) -> bool,
) {
    for slot in pending.iter_mut() {
        if let Some(file) = slot.take_if(|file| which(file)) {
            progress.end(file.index);
            report(file.report(Err(failure.clone())));
        }
    }
    pending.retain(Option::is_some);
}

impl Pending {
    fn report(&self, outcome: Result<Done, Failure>) -> FileReport {
        FileReport {
            index: self.index,
            name: FileRef::Name(self.name.clone()),
            path: match &self.source {
                Origin::File(path) => Some(path.clone()),
                Origin::Stream(_) => None,
            },
            outcome,
        }
    }

    fn wire(&self) -> UploadFile {
        UploadFile {
            name: self.name.as_str().to_owned(),
            size: self.size,
            modified: self
                .modified
                .map(|modified| (modified.seconds(), modified.nanoseconds())),
            executable: self.executable,
            on_conflict: match self.on_conflict {
                OnConflict::Error | OnConflict::Skip => WireConflict::Refuse,
                OnConflict::Overwrite => WireConflict::Replace,
                OnConflict::Rename => WireConflict::Rename,
            },
            if_match: self.precondition.if_match.map(Into::into),
        }
    }

    /// What is needed to decide about a file that stands under the name, on a blocking thread.
    fn decision(&self) -> Decision {
        Decision {
            path: match &self.source {
                Origin::File(path) => Some(path.clone()),
                Origin::Stream(_) => None,
            },
            on_conflict: self.on_conflict,
            sent: self.sent,
        }
    }
}

/// Decides what to do about a file that stands under the name on the server.
struct Decision {
    path: Option<PathBuf>,
    on_conflict: OnConflict,
    /// What was sent before a cut: it may have been stored without our hearing of it.
    sent: Option<Sent>,
}

enum Decided {
    /// Send it; the file may be open and hashed already.
    Send(Option<(LocalFile, Digest)>),
    /// Do not, and all is well.
    Leave(Status),
    /// Do not, and that is a failure.
    Refuse(Failure),
}

impl Decision {
    fn decide(self, standing: &Entry) -> Decided {
        if self
            .sent
            .is_some_and(|sent| standing.id == Some(sent.digest))
        {
            return Decided::Leave(Status::Done);
        }
        match self.on_conflict {
            OnConflict::Rename => Decided::Send(None),
            OnConflict::Skip => Decided::Leave(Status::Skipped),
            OnConflict::Overwrite => match self.compare(standing) {
                Ok(Some((_, digest))) if standing.id == Some(digest) => {
                    Decided::Leave(Status::Unchanged)
                }
                Ok(hashed) => Decided::Send(hashed),
                Err(failure) => Decided::Refuse(failure),
            },
            OnConflict::Error => {
                let hashed = self.compare(standing);
                let content = match (hashed, standing.id) {
                    (Ok(Some((_, digest))), Some(id)) if digest == id => " with the same content",
                    (Ok(Some(_)), Some(_)) => " with other content",
                    (Ok(None), _) if self.path.is_some() && standing.id.is_some() => {
                        " with other content"
                    }
                    _ => "",
                };
                Decided::Refuse(Failure::new(
                    ErrorCode::AlreadyExists,
                    format!("{} exists already on the server{content}", standing.name),
                ))
            }
        }
    }

    /// Opens and hashes the local file if it can be the same as what stands there.
    fn compare(&self, standing: &Entry) -> Result<Option<(LocalFile, Digest)>, Failure> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        let mut file = LocalFile::open(path)?;
        if standing.id.is_none() || file.facts.size != standing.size {
            return Ok(None);
        }
        let digest = file.hash(|_| {})?;
        Ok(Some((file, digest)))
    }
}

/// One try at all that is pending, over one connection. What is finished is reported and taken
/// out; an error says why the rest could not go on.
async fn attempt(
    client: &mut Client,
    pending: &mut [Option<Pending>],
    progress: &Arc<dyn Progress>,
    report: Report<'_>,
) -> Result<(), Failure> {
    let mut link = client.take_link().await?;
    let number = link.next_number();
    let files = pending.iter().flatten().map(Pending::wire).collect();
    let indices = pending.iter().flatten().map(|file| file.index).collect();
    let (orders, heard_orders) = mpsc::unbounded_channel();
    let (events, heard_events) = mpsc::unbounded_channel();
    let supervision = Supervision {
        pending,
        progress,
        report,
        orders,
        events: events.clone(),
        heard_events,
        next_verdict: 0,
    };
    let emission = Emission {
        number,
        files,
        indices,
        listed: 0,
        closed: 0,
        sending: Sending::new(),
        orders: heard_orders,
        events,
        progress: progress.clone(),
        sent: 0,
    };
    let Link { inbox, outbox, .. } = &mut link;
    link::both(supervision.run(inbox), emission.run(outbox)).await?;
    client.link = Some(link);
    Ok(())
}

/// What the receiving half wants the sending half to do.
enum Order {
    /// The next file, in the order of the batch.
    Next(OutgoingFile),
    /// Stop sending this file: the server has refused it.
    Stop(u32),
}

/// What became of a file on this side.
enum Event {
    /// It was sent whole.
    Sent(u32, Sent),
    /// It need not be sent.
    Left(u32, Status, Box<Entry>),
    /// It cannot be sent.
    Failed(u32, Failure),
}

/// The sending half of an upload.
struct Emission {
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
    /// How much of the file that is being sent has gone.
    sent: u64,
}

impl Emission {
    async fn run(mut self, outbox: &mut Outbox) -> Result<(), Failure> {
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
                pieces = self.sending.next(), if !idle => {
                    for piece in pieces? {
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
            Piece::Data(bytes) => {
                outbox.data(&bytes).await?;
                self.sent += bytes.len() as u64;
                self.progress
                    .advance(place(self.closed as u32), bytes.len() as u64);
                return Ok(());
            }
            Piece::Begin { index, size, .. } => {
                let label = self.files.get(index as usize).map_or("", |file| &file.name);
                let label = crate::types::Printable(label).to_string();
                self.progress.begin(place(index), &label, size);
                self.sent = 0;
                ClientBody::File(FileMessage::Begin {
                    index,
                    offset: 0,
                    entry: None,
                })
            }
            Piece::End { index, digest } => {
                self.closed += 1;
                let bytes = self.sent;
                let _ = self.events.send(Event::Sent(index, Sent { digest, bytes }));
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

/// Ticks when the server should hear that this side is still there.
fn heartbeat() -> Interval {
    let mut heartbeat = interval(ALIVE_INTERVAL);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick of an interval is at once.
    heartbeat.reset();
    heartbeat
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

/// The receiving half of an upload.
struct Supervision<'a> {
    pending: &'a mut [Option<Pending>],
    progress: &'a Arc<dyn Progress>,
    report: Report<'a>,
    orders: UnboundedSender<Order>,
    events: UnboundedSender<Event>,
    heard_events: UnboundedReceiver<Event>,
    next_verdict: u32,
}

impl Supervision<'_> {
    async fn run(mut self, inbox: &mut Inbox) -> Result<(), Failure> {
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
                if let Some(Some(file)) = self.pending.get_mut(index as usize) {
                    file.sent = Some(sent);
                }
            }
            Event::Failed(index, failure) => self.finish(index, Err(failure)),
            Event::Left(index, status, entry) => {
                let file = self.pending.get(index as usize).and_then(Option::as_ref);
                let sent = file.and_then(|file| file.sent);
                let done = Done {
                    status,
                    size: Some(entry.size),
                    entry: Some(*entry),
                    sent: match status {
                        Status::Done => sent.map_or(0, |sent| sent.bytes),
                        _ => 0,
                    },
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
                            self.finish(index, Err(Failure::from_wire(code, &detail)));
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
        let slot = self.pending.get_mut(index as usize);
        let file = slot
            .and_then(Option::as_mut)
            .ok_or_else(|| link::broken("a verdict on a file that was not described"))?;
        let events = self.events.clone();
        let tell = move |event| {
            let _ = events.send(event);
            Opening::Skip
        };
        let open: Box<dyn FnOnce() -> Opening + Send> = match verdict {
            Verdict::Refused { code, detail } => {
                let failure = Failure::from_wire(code, &detail);
                Box::new(move || tell(Event::Failed(index, failure)))
            }
            Verdict::Start => {
                let origin = file.source.begin();
                Box::new(move || origin.open(None))
            }
            Verdict::Exists(entry) => {
                let entry = Entry::try_from(entry).map_err(|error| link::broken(&error))?;
                let decision = file.decision();
                // A stream that is not sent can still be used after a reconnection.
                let origin = match file.on_conflict {
                    OnConflict::Error | OnConflict::Skip => Begun::Nothing,
                    OnConflict::Overwrite | OnConflict::Rename => file.source.begin(),
                };
                Box::new(move || match decision.decide(&entry) {
                    Decided::Send(hashed) => origin.open(hashed),
                    Decided::Leave(status) => tell(Event::Left(index, status, Box::new(entry))),
                    Decided::Refuse(failure) => tell(Event::Failed(index, failure)),
                })
            }
        };
        Ok(OutgoingFile { index, open })
    }

    fn stored(&mut self, index: u32, entry: WireEntry) -> Result<(), Failure> {
        let entry = Entry::try_from(entry).map_err(|error| link::broken(&error))?;
        let file = self.pending.get(index as usize).and_then(Option::as_ref);
        let Some(sent) = file.map(|file| file.sent) else {
            return Ok(());
        };
        let sent = sent.ok_or_else(|| link::broken("it stored a file before its end"))?;
        let outcome = match entry.id {
            Some(id) if id == sent.digest && entry.size == sent.bytes => Ok(Done {
                status: Status::Done,
                size: Some(sent.bytes),
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

    fn finish(&mut self, index: u32, outcome: Result<Done, Failure>) {
        let slot = self.pending.get_mut(index as usize);
        if let Some(file) = slot.and_then(Option::take) {
            self.progress.end(file.index);
            (self.report)(file.report(outcome));
        }
    }
}

impl Origin {
    /// Takes what is needed to open the file on another thread.
    fn begin(&mut self) -> Begun {
        match self {
            Origin::File(path) => Begun::File(path.clone()),
            Origin::Stream(stream) => stream.take().map_or(Begun::Nothing, Begun::Stream),
        }
    }
}

/// What a file is read from, on the reading thread.
enum Begun {
    File(PathBuf),
    Stream(Box<dyn Read + Send>),
    Nothing,
}

impl Begun {
    fn open(self, hashed: Option<(LocalFile, Digest)>) -> Opening {
        if let Some((file, digest)) = hashed {
            return Opening::Send(Box::new(FileSource::new(file, Some(digest))));
        }
        match self {
            Begun::File(path) => match LocalFile::open(&path) {
                Ok(file) => Opening::Send(Box::new(FileSource::new(file, None))),
                Err(failure) => Opening::Fail(failure),
            },
            Begun::Stream(stream) => Opening::Send(Box::new(StreamSource(stream))),
            Begun::Nothing => Opening::Fail(Failure::new(
                ErrorCode::Internal,
                "the input was used up before it was sent",
            )),
        }
    }
}
