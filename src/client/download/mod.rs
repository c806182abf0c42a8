//! Downloads: what is decided before, what is asked for, and what becomes of what comes.

mod assembly;
mod reception;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::link::{self, Link, Outbox};
use super::local::{self, LocalFile, Output, Part};
use super::resemblance::ALIKE_FROM;
use super::rounds::{self, Report, Rounds, Transfer, Unfinished};
use super::{Client, Done, Download, FileReport, Status, Target};
use crate::protocol::limits::{MAX_MESSAGE_BODY, MAX_PAGE_BODY, MAX_PAGE_ITEMS};
use crate::protocol::message::{ClientBody, WireRange};
use crate::protocol::{ErrorCode, Failure, WireRef};
use crate::transfer::{Beginning, Progress};
use crate::types::{Digest, Entry, FileRef, Item, OnConflict};

use assembly::Assembly;
use reception::Reception;

/// A file that is still to come.
struct Pending {
    /// Its place in the batch that the caller gave.
    index: u32,
    file: FileRef,
    target: Place,
    on_conflict: OnConflict,
    /// What the server said of it when it began.
    entry: Option<Entry>,
    /// How much of it there is by now, and how many bytes crossed the wire for it.
    received: u64,
    crossed: u64,
    /// The server's file, by id and size, if it may resemble the local one.
    alike: Option<(Digest, u64)>,
    /// How it is put together, until it begins.
    assembly: Option<Box<Assembly>>,
    is_assembled: bool,
}

/// Where a file goes.
enum Place {
    /// To this path; with what an earlier try has left of it.
    File(PathBuf, Option<Box<Part>>),
    Stream(Output),
}

impl Place {
    /// What is there of the file already.
    fn beginning(&self) -> Option<Beginning> {
        match self {
            Place::File(_, part) => part.as_ref()?.beginning(),
            Place::Stream(output) => output.beginning(),
        }
    }
}

/// How many parts are held open at a time: after a cut there is one, and after many there are a few.
const MAX_PARTS: usize = 64;

pub(super) async fn get(
    client: &mut Client,
    files: Vec<Download>,
    dry_run: bool,
    progress: Arc<dyn Progress>,
    report: Report<'_>,
) -> Result<u64, Failure> {
    client.connect().await?;
    let mut pending = Vec::new();
    for (index, download) in (0..).zip(files) {
        match plan(client, index, download, dry_run).await {
            Plan::Fetch(file) => pending.push(file),
            Plan::Report(finished) => report(finished),
        }
    }
    progress.batch(pending.len() as u64, 0);
    Ok(rounds::transfer(Getting, client, pending, &progress, report).await)
}

struct Getting;

impl Transfer for Getting {
    type File = Pending;

    async fn round(
        &self,
        client: &mut Client,
        rounds: &mut Rounds<'_, Pending>,
    ) -> Result<(), Failure> {
        round(client, rounds).await
    }
}

/// One try at all that is pending, over one connection.
async fn round(client: &mut Client, rounds: &mut Rounds<'_, Pending>) -> Result<(), Failure> {
    find_parts(rounds).await?;
    let mut link = client.take_link().await?;
    link.prefer(client.options.compression).await?;
    let count = assembly::find(&mut link, rounds).await?;
    let number = link.next_number();
    let wanted = rounds.files().take(count).map(Wanted::from).collect();
    let (wishes, heard_wishes) = mpsc::unbounded_channel();
    let reception = Reception::new(rounds, wishes);
    let Link { inbox, outbox, .. } = &mut link;
    let naming = name_files(outbox, number, wanted, heard_wishes);
    link::both(reception.run(inbox), naming).await?;
    client.link = Some(link);
    Ok(())
}

/// Looks for what earlier tries have left of the files, and reads it again, before the server waits
/// for anything.
async fn find_parts(rounds: &mut Rounds<'_, Pending>) -> Result<(), Failure> {
    let mut paths = Vec::new();
    for (place, file) in (0_u32..).zip(rounds.files()) {
        if let Place::File(path, None) = &file.target {
            paths.push((place, path.clone()));
        }
    }
    let find = move || {
        let parts = paths
            .into_iter()
            .filter_map(|(place, path)| Some((place, Part::find(&path)?)));
        Ok(parts.take(MAX_PARTS).collect::<Vec<_>>())
    };
    for (place, mut part) in local::blocking(find).await? {
        let mut more = true;
        while more {
            let hop = local::blocking(move || {
                let more = part.read_on();
                Ok((part, more))
            });
            (part, more) = hop.await?;
        }
        if let Some(file) = rounds.get(place)
            && let Place::File(_, known) = &mut file.target
        {
            *known = Some(part);
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
    let mut alike = None;
    let target = match target {
        Target::Stream(stream) => Place::Stream(Output::new(stream)),
        Target::Path(path) => Place::File(path, None),
        Target::Folder(folder) => match &file {
            FileRef::Name(name) => Place::File(folder.join(name.leaf()), None),
            FileRef::Id(_) => match stat_file(client, &file).await {
                Ok(entry) => {
                    let path = folder.join(entry.name.leaf());
                    known = Some(entry);
                    Place::File(path, None)
                }
                Err(failure) => return finished(None, &file, Err(failure)),
            },
        },
    };
    let path = match &target {
        Place::File(path, _) => Some(path.clone()),
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
            Ok(None) if stands && on_conflict == OnConflict::Overwrite => {
                let size = path.as_ref().and_then(|path| std::fs::metadata(path).ok());
                let size = size.map_or(0, |facts| facts.len()).min(entry.size);
                let id = entry.id.filter(|_| size >= ALIKE_FROM);
                alike = id.map(|id| (id, entry.size));
            }
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
        crossed: 0,
        alike,
        assembly: None,
        is_assembled: false,
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
            // A link that leads nowhere, or a file that may not be read, is replaced all the same.
            let same = same_content(path, entry).await.unwrap_or(None);
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
    local::blocking(compare).await
}

impl Unfinished for Pending {
    fn size(&self) -> u64 {
        self.entry.as_ref().map_or(0, |entry| entry.size)
    }

    fn is_spent(&self) -> bool {
        matches!(&self.target, Place::Stream(output) if output.is_spent())
    }

    fn fail(self, failure: Failure) -> FileReport {
        self.report(Err(failure))
    }
}

impl Pending {
    /// The sender has said which digest the file has. A file that the server had not hashed before
    /// gets its id from this; one that was asked for by id must have it.
    fn identify(&mut self, digest: Digest) -> Result<(), Failure> {
        if let FileRef::Id(prefix) = &self.file
            && !digest.to_string().starts_with(prefix.as_str())
        {
            let message = format!("id:{prefix} was asked for and {digest} came");
            return Err(Failure::new(ErrorCode::DigestMismatch, message));
        }
        if let Some(entry) = &mut self.entry {
            if entry.size != self.received {
                let (name, size, received) = (&entry.name, entry.size, self.received);
                let message =
                    format!("{name} was announced with {size} bytes and came with {received}");
                return Err(Failure::new(ErrorCode::DigestMismatch, message));
            }
            entry.id = Some(digest);
        }
        Ok(())
    }

    fn path(&self) -> Option<PathBuf> {
        match &self.target {
            Place::File(path, _) => Some(path.clone()),
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
                sent: self.crossed,
                entry: self.entry,
            }),
        }
    }
}

/// What the receiving half wants the server to hear.
enum Wish {
    /// A file is through: another page may fit.
    Closed,
    /// No more of this file.
    Skip(u32),
}

/// A file as the server is asked for it.
struct Wanted {
    file: WireRef,
    /// What is here of it already.
    beginning: Option<Beginning>,
    /// The parts of it that are wanted, if not all is.
    ranges: Vec<WireRange>,
}

impl From<&Pending> for Wanted {
    fn from(pending: &Pending) -> Self {
        let file = (&pending.file).into();
        match &pending.assembly {
            Some(assembly) => Wanted {
                file,
                beginning: None,
                ranges: assembly.ranges.clone(),
            },
            None => Wanted {
                file,
                beginning: pending.target.beginning(),
                ranges: Vec::new(),
            },
        }
    }
}

/// How many ranges are asked for in one message: they fit into an ordinary one.
const RANGES: usize = 4000;
const _: () = assert!(RANGES <= MAX_PAGE_ITEMS && RANGES * 16 + 24 <= MAX_MESSAGE_BODY);

/// Names the files page by page, as many as may be named at a time, and says before each page what
/// is here of its files already.
async fn name_files(
    outbox: &mut Outbox,
    number: u32,
    wanted: Vec<Wanted>,
    mut wishes: UnboundedReceiver<Wish>,
) -> Result<(), Failure> {
    let files = wanted.len() as u32;
    outbox
        .message(number, ClientBody::Download { files })
        .await?;
    let (mut rest, mut index) = (wanted.as_slice(), 0);
    loop {
        while !rest.is_empty() && outbox.may_list() {
            let length = page_length(rest, outbox.room_for_ranges());
            if length == 0 {
                // Once others are closed there is room.
                break;
            }
            let (page, after) = rest.split_at(length);
            for file in page {
                announce(outbox, number, index, file).await?;
                index += 1;
            }
            let files = page.iter().map(|wanted| wanted.file.clone()).collect();
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

/// Says what is here of a file, or which parts of it are wanted.
async fn announce(
    outbox: &mut Outbox,
    number: u32,
    index: u32,
    wanted: &Wanted,
) -> Result<(), Failure> {
    if let Some(beginning) = &wanted.beginning {
        let resume = ClientBody::Resume {
            index,
            offset: beginning.length,
            digest: beginning.digest.into(),
        };
        outbox.message(number, resume).await?;
    }
    for ranges in wanted.ranges.chunks(RANGES) {
        let ranges = ranges.to_vec();
        outbox
            .message(number, ClientBody::Ranges { index, ranges })
            .await?;
    }
    Ok(())
}

/// How many of the files fit into one page, with the parts that are wanted of them; 0 only when there
/// is no room for those.
fn page_length(wanted: &[Wanted], mut ranges: usize) -> usize {
    // Each takes its text, a variant (4 bytes) and a length (8 bytes).
    let mut room = MAX_PAGE_BODY / 2;
    let fits = |(at, wanted): &(usize, &Wanted)| {
        let (WireRef::Name(text) | WireRef::Id(text)) = &wanted.file;
        let taken = room.checked_sub(text.len() + 12);
        let parts = ranges.checked_sub(wanted.ranges.len());
        (room, ranges) = (taken.unwrap_or(0), parts.unwrap_or(0));
        // However long its name is, one file makes a page.
        parts.is_some() && (taken.is_some() || *at == 0)
    };
    let files = wanted.iter().take(MAX_PAGE_ITEMS / 4).enumerate();
    files.take_while(fits).count()
}
