use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::link::{self, Heard, Inbox, Link, Outbox};
use super::local::{self, FileSink, LocalFile, LocalSink};
use super::retry::{self, Retries};
use super::{Client, Done, Download, FileReport, Status, Target};
use crate::protocol::limits::{MAX_PAGE_BODY, MAX_PAGE_ITEMS};
use crate::protocol::message::{ClientBody, FileMessage, ServerBody, ServerMessage};
use crate::protocol::session::Answer;
use crate::protocol::{ErrorCode, Failure, WireEntry, WireRef};
use crate::transfer::{Incoming, Progress, Receiving};
use crate::types::{Digest, Entry, FileRef, Item, OnConflict};

type Report<'a> = &'a mut (dyn FnMut(FileReport) + Send);

/// A file that is still to come.
struct Pending {
    /// Its place in the batch that the caller gave.
    index: u32,
    file: FileRef,
    target: Place,
    on_conflict: OnConflict,
    /// What the server said of it when it began.
    entry: Option<Entry>,
    /// How much of it has come.
    received: u64,
}

/// Where a file goes.
enum Place {
    File(PathBuf),
    /// `None` once the stream is in use: it cannot be begun a second time.
    Stream(Option<Box<dyn std::io::Write + Send>>),
}

pub(super) async fn get(
    client: &mut Client,
    files: Vec<Download>,
    dry_run: bool,
    progress: Arc<dyn Progress>,
    report: Report<'_>,
) -> Result<(), Failure> {
    client.connect().await?;
    let mut pending = Vec::new();
    for (index, download) in (0..).zip(files) {
        match plan(client, index, download, dry_run).await {
            Plan::Fetch(file) => pending.push(Some(file)),
            Plan::Report(finished) => report(finished),
        }
    }
    progress.batch(pending.len() as u64, 0);
    let mut retries = Retries::new(&client.options);
    while !pending.is_empty() {
        let before = pending.len();
        let ended = attempt(client, &mut pending, &progress, &mut *report).await;
        pending.retain(Option::is_some);
        let Err(failure) = ended else {
            break;
        };
        if pending.len() < before {
            retries.progressed();
        }
        // A stream that has begun to flow cannot be begun again.
        report_matching(&mut pending, &progress, report, &failure, |file| {
            matches!(file.target, Place::Stream(None))
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

/// What is to be done about a file, after a look at the local one.
enum Plan {
    Fetch(Pending),
    Report(FileReport),
}

async fn plan(client: &mut Client, index: u32, download: Download, dry_run: bool) -> Plan {
    let Download {
        file,
        target,
        on_conflict,
    } = download;
    let finished = |path: Option<PathBuf>, name: &FileRef, outcome| {
        Plan::Report(FileReport {
            index,
            name: name.clone(),
            path,
            outcome,
        })
    };
    let mut known: Option<Entry> = None;
    let target = match target {
        Target::Stream(stream) => Place::Stream(Some(stream)),
        Target::Path(path) => Place::File(path),
        Target::Folder(folder) => match &file {
            FileRef::Name(name) => Place::File(folder.join(name.leaf())),
            FileRef::Id(_) => match stat_file(client, &file).await {
                Ok(entry) => {
                    let path = folder.join(entry.name.leaf());
                    known = Some(entry);
                    Place::File(path)
                }
                Err(failure) => return finished(None, &file, Err(failure)),
            },
        },
    };
    let path = match &target {
        Place::File(path) => Some(path.clone()),
        Place::Stream(_) => None,
    };
    let stands = match &path {
        Some(path) => std::fs::symlink_metadata(path).is_ok(),
        None => false,
    };
    if stands || dry_run {
        let entry = match known {
            Some(entry) => Ok(entry),
            None => stat_file(client, &file).await,
        };
        let entry = match entry {
            Ok(entry) => entry,
            Err(failure) => return finished(path, &file, Err(failure)),
        };
        let name = FileRef::Name(entry.name.clone());
        let decided = match &path {
            Some(path) if stands => conflict(path.clone(), entry.clone(), on_conflict).await,
            _ => Ok(None),
        };
        let done = |status| Done {
            status,
            size: Some(entry.size),
            sent: 0,
            entry: Some(entry.clone()),
        };
        match decided {
            Err(failure) => return finished(path, &name, Err(failure)),
            Ok(Some(status)) => return finished(path, &name, Ok(done(status))),
            Ok(None) if dry_run => return finished(path, &name, Ok(done(Status::WouldTransfer))),
            Ok(None) => {}
        }
    }
    Plan::Fetch(Pending {
        index,
        file,
        target,
        on_conflict,
        entry: None,
        received: 0,
    })
}

async fn stat_file(client: &mut Client, file: &FileRef) -> Result<Entry, Failure> {
    match client.stat(file).await? {
        Item::File(entry) => Ok(entry),
        Item::Folder(name) => Err(folder_refused(&FileRef::Name(name))),
    }
}

fn folder_refused(name: &FileRef) -> Failure {
    Failure::new(
        ErrorCode::Usage,
        format!("{name} is a folder; this version fetches files only"),
    )
}

/// What to do about a local file that has the name: a status when that is all, `None` to fetch.
async fn conflict(
    path: PathBuf,
    entry: Entry,
    on_conflict: OnConflict,
) -> Result<Option<Status>, Failure> {
    if path.is_dir() {
        let message = format!("{} is a folder, not a file", local::shown(&path));
        return Err(Failure::new(ErrorCode::Conflict, message));
    }
    match on_conflict {
        OnConflict::Rename => Ok(None),
        OnConflict::Skip => Ok(Some(Status::Skipped)),
        OnConflict::Overwrite => {
            let same = same_content(path, entry).await?;
            Ok((same == Some(true)).then_some(Status::Unchanged))
        }
        OnConflict::Error => {
            let same = same_content(path.clone(), entry).await.unwrap_or(None);
            Err(local::exists(&path, same))
        }
    }
}

/// Whether the local file has the entry's content; `None` when that cannot be told.
async fn same_content(path: PathBuf, entry: Entry) -> Result<Option<bool>, Failure> {
    let compare = move || {
        let mut file = LocalFile::open(&path)?;
        if file.facts.size != entry.size {
            return Ok(Some(false));
        }
        let Some(id) = entry.id else {
            return Ok(None);
        };
        Ok(Some(file.hash(|_| {})? == id))
    };
    let compared = tokio::task::spawn_blocking(compare).await;
    compared.unwrap_or_else(|_| {
        let message = "comparing failed unexpectedly";
        Err(Failure::new(ErrorCode::Internal, message))
    })
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
    fn path(&self) -> Option<PathBuf> {
        match &self.target {
            Place::File(path) => Some(path.clone()),
            Place::Stream(_) => None,
        }
    }

    fn report(self, outcome: Result<Option<PathBuf>, Failure>) -> FileReport {
        let path = match &outcome {
            Ok(placed) => placed.clone(),
            Err(_) => self.path(),
        };
        FileReport {
            index: self.index,
            path,
            name: match &self.entry {
                Some(entry) => FileRef::Name(entry.name.clone()),
                None => self.file,
            },
            outcome: outcome.map(|_| Done {
                status: Status::Done,
                size: Some(self.received),
                sent: self.received,
                entry: self.entry,
            }),
        }
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
    let refs: Vec<WireRef> = pending
        .iter()
        .flatten()
        .map(|file| (&file.file).into())
        .collect();
    let (wishes, heard_wishes) = mpsc::unbounded_channel();
    let (sender, results) = mpsc::unbounded_channel();
    let reception = Reception {
        pending,
        progress,
        report,
        wishes,
        receiving: Receiving::new(sender),
        results,
        open: None,
        outstanding: 0,
    };
    let Link { inbox, outbox, .. } = &mut link;
    link::both(
        reception.run(inbox),
        name_files(outbox, number, &refs, heard_wishes),
    )
    .await?;
    client.link = Some(link);
    Ok(())
}

/// What the receiving half wants the server to hear.
enum Wish {
    /// A file is through: another page may fit.
    Closed,
    /// No more of this file.
    Skip(u32),
}

/// Names the files page by page, as many as may be named at a time.
async fn name_files(
    outbox: &mut Outbox,
    number: u32,
    refs: &[WireRef],
    mut wishes: UnboundedReceiver<Wish>,
) -> Result<(), Failure> {
    let files = refs.len() as u32;
    outbox
        .message(number, ClientBody::Download { files })
        .await?;
    let mut rest = refs;
    loop {
        while !rest.is_empty() && outbox.may_list() {
            let (page, after) = rest.split_at(page_length(rest));
            let files = page.to_vec();
            outbox
                .message(number, ClientBody::DownloadPage { files })
                .await?;
            rest = after;
        }
        outbox.flush().await?;
        match wishes.recv().await {
            Some(Wish::Closed) => {}
            Some(Wish::Skip(index)) => outbox.message(number, ClientBody::Skip { index }).await?,
            None => return Ok(()),
        }
    }
}

/// How many of the files fit into one page.
fn page_length(refs: &[WireRef]) -> usize {
    // Each takes its text, a variant (4 bytes) and a length (8 bytes).
    let mut room = MAX_PAGE_BODY / 2;
    let fitting = refs.iter().take(MAX_PAGE_ITEMS / 4).take_while(|file| {
        let (WireRef::Name(text) | WireRef::Id(text)) = file;
        let taken = room.checked_sub(text.len() + 12);
        room = taken.unwrap_or(0);
        taken.is_some()
    });
    fitting.count().max(1)
}

/// The receiving half of a download.
struct Reception<'a> {
    pending: &'a mut [Option<Pending>],
    progress: &'a Arc<dyn Progress>,
    report: Report<'a>,
    wishes: UnboundedSender<Wish>,
    receiving: Receiving<LocalSink>,
    results: UnboundedReceiver<(u32, Result<Option<PathBuf>, Failure>)>,
    /// The file whose content is coming.
    open: Option<u32>,
    /// Files that began and have no result yet.
    outstanding: u32,
}

impl Reception<'_> {
    async fn run(mut self, inbox: &mut Inbox) -> Result<(), Failure> {
        let received = self.receive(inbox).await;
        // Whatever is not finished by now is not to be: nothing of it stays.
        self.receiving.discard().await;
        received
    }

    async fn receive(&mut self, inbox: &mut Inbox) -> Result<(), Failure> {
        let mut ended = false;
        while !ended || self.outstanding > 0 || self.receiving.is_busy() {
            let may_read = !ended && !self.receiving.is_full();
            tokio::select! {
                heard = inbox.next(), if may_read => match heard? {
                    Heard::Data(bytes) => {
                        self.count(bytes.len() as u64);
                        self.receiving.push(Incoming::Data(bytes));
                    }
                    Heard::Message(answer, message) => {
                        ended = answer == Answer::Final;
                        self.take(*message)?;
                    }
                },
                turned = self.receiving.turn(), if self.receiving.is_busy() => turned?,
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
            FileMessage::Begin { index, entry, .. } => {
                self.open = Some(index);
                self.outstanding += 1;
                let begin = self.begin(index, entry);
                self.receiving.push(begin);
            }
            FileMessage::End { digest } => {
                let _ = self.wishes.send(Wish::Closed);
                let digest = Digest::try_from(digest).map_err(|error| link::broken(&error))?;
                if let Some(entry) = self.open_file().and_then(|file| file.entry.as_mut()) {
                    // A file that the server had not hashed before has its id from here on.
                    entry.id = Some(digest);
                }
                self.open = None;
                self.receiving.push(Incoming::End(digest));
            }
            FileMessage::Abort {
                index,
                code,
                detail,
            } => {
                let failure = Failure::from_wire(code, &detail);
                let _ = self.wishes.send(Wish::Closed);
                match self.open.take() {
                    Some(_) => self.receiving.push(Incoming::Abort(failure)),
                    None => self.finish(index, Err(failure)),
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, index: u32, entry: Option<WireEntry>) -> Incoming<LocalSink> {
        let opened = self.prepare(index, entry);
        let expected = opened.as_ref().ok().and_then(|(_, entry)| entry.id);
        Incoming::Begin {
            index,
            expected,
            open: Box::new(move || match opened?.0 {
                Opened::Stream(stream) => Ok(LocalSink::Stream(stream)),
                Opened::File(path, entry, on_conflict) => {
                    FileSink::create(&path, &entry, on_conflict).map(LocalSink::File)
                }
            }),
        }
    }

    /// Checks what the server says it is about to send against what was asked for.
    fn prepare(
        &mut self,
        index: u32,
        entry: Option<WireEntry>,
    ) -> Result<(Opened, Entry), Failure> {
        let slot = self.pending.get_mut(index as usize);
        let file = slot
            .and_then(Option::as_mut)
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
        self.progress
            .begin(file.index, &entry.name.to_string(), Some(entry.size));
        file.entry = Some(entry.clone());
        file.received = 0;
        let opened = match &mut file.target {
            Place::File(path) => Opened::File(path.clone(), entry.clone(), file.on_conflict),
            Place::Stream(stream) => {
                let stream = stream.take();
                Opened::Stream(stream.ok_or_else(|| link::broken("it sent a file twice"))?)
            }
        };
        Ok((opened, entry))
    }

    fn count(&mut self, bytes: u64) {
        if let Some(file) = self.open_file() {
            file.received += bytes;
            let index = file.index;
            self.progress.advance(index, bytes);
        }
    }

    /// The file whose content is coming, unless it has failed already.
    fn open_file(&mut self) -> Option<&mut Pending> {
        let slot = self.pending.get_mut(self.open? as usize)?;
        slot.as_mut()
    }

    fn finish(&mut self, index: u32, result: Result<Option<PathBuf>, Failure>) {
        let slot = self.pending.get_mut(index as usize);
        if let Some(file) = slot.and_then(Option::take) {
            self.progress.end(file.index);
            let named = result.map_err(|failure| named(failure, &file));
            (self.report)(file.report(named));
        }
    }
}

enum Opened {
    File(PathBuf, Entry, OnConflict),
    Stream(Box<dyn std::io::Write + Send>),
}

/// Digest failures come from where no name is known.
fn named(failure: Failure, file: &Pending) -> Failure {
    let is_ours = failure.code == ErrorCode::DigestMismatch;
    match &file.entry {
        Some(entry) if is_ours => Failure::new(failure.code, format!("{}: {failure}", entry.name)),
        _ => failure,
    }
}
