//! Uploads: what is looked at before, and the two halves of a running one.

mod basis;
mod decision;
mod emission;
mod supervision;
mod token;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::link::{self, Link};
use super::local::{self, FileSource, LocalFile, LocalPlace, StreamSource};
use super::rounds::{self, Report, Rounds, Transfer, Unfinished};
use super::{Client, Done, FileReport, ServerAddress, Source, Status, Upload};
use crate::disk::FileFacts;
use crate::protocol::message::{UploadFile, WireConflict};
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::{Basis, Opening, OutgoingFile, Progress};
use crate::types::{Digest, Entry, FileName, FileRef, OnConflict, Precondition, Timestamp};

use decision::Decision;
use emission::Emission;
use supervision::Supervision;

pub(super) use token::Tokens;

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
    /// What the server is to call these bytes; 0: nothing need be kept of them.
    token: u64,
    /// What was sent of it, once it was sent whole.
    sent: Option<Sent>,
    /// Its digest, if it had to be read before it is sent.
    known: Option<Known>,
    /// The file on the server that it may be put together from, as the caller says.
    wished_basis: Option<Digest>,
    /// The same, once the server was asked; taken when the file begins, which then is a patch.
    basis: Option<Basis>,
    is_patch: bool,
    /// It could not be put together, and goes whole.
    whole: bool,
}

/// The digest of a file that was read, and which file that was.
#[derive(Clone, Copy)]
struct Known {
    facts: FileFacts,
    digest: Digest,
}

impl Known {
    /// The digest, if this is the very same file.
    fn digest_of(self, file: &LocalFile) -> Option<Digest> {
        self.facts.same_file(&file.facts).then_some(self.digest)
    }
}

/// Where a file comes from.
enum Origin {
    File(LocalPlace),
    /// `None` once the stream is in use: it cannot be read a second time.
    Stream(Option<Box<dyn Read + Send>>),
}

#[derive(Clone, Copy)]
struct Sent {
    digest: Digest,
    size: u64,
    /// How many bytes of it crossed the wire.
    bytes: u64,
}

pub(super) async fn put(
    client: &mut Client,
    files: Vec<Upload>,
    dry_run: bool,
    progress: Arc<dyn Progress>,
    report: Report<'_>,
) -> Result<u64, Failure> {
    client.connect().await?;
    let mut pending = Vec::new();
    // In a dry run nothing goes on.
    let tokens = (!dry_run).then(|| (client.tokens.clone(), client.address().clone()));
    for looked_at in look_at_all(files, tokens).await? {
        match looked_at {
            Ok(file) => pending.push(file),
            Err(finished) => report(*finished),
        }
    }
    let putting = Putting { dry_run };
    Ok(rounds::transfer(putting, client, pending, &progress, report).await)
}

struct Putting {
    dry_run: bool,
}

impl Transfer for Putting {
    type File = Pending;

    async fn round(
        &self,
        client: &mut Client,
        rounds: &mut Rounds<'_, Pending>,
    ) -> Result<(), Failure> {
        round(client, rounds, self.dry_run).await
    }
}

/// One try at all that is pending, over one connection. In a dry run everything is as it will be,
/// but that the client skips each file where it would send it.
async fn round(
    client: &mut Client,
    rounds: &mut Rounds<'_, Pending>,
    dry_run: bool,
) -> Result<(), Failure> {
    let mut link = client.take_link_for_change().await?;
    let count = match dry_run {
        true => usize::MAX,
        false => basis::find(&mut link, rounds).await?,
    };
    let number = link.next_number();
    let (orders, heard_orders) = mpsc::unbounded_channel();
    let (events, heard_events) = mpsc::unbounded_channel();
    let compression = client.options.compression;
    let told = events.clone();
    let emission = Emission::new(number, rounds, count, heard_orders, told, compression);
    let rehearsal = dry_run.then_some(link.role);
    let supervision = Supervision::new(rounds, orders, events, heard_events, rehearsal);
    let Link { inbox, outbox, .. } = &mut link;
    link::both(supervision.run(inbox), emission.run(outbox)).await?;
    client.link = Some(link);
    Ok(())
}

/// Looks at every local file; what cannot be sent is reported without asking the server.
async fn look_at_all(
    files: Vec<Upload>,
    tokens: Option<(Tokens, ServerAddress)>,
) -> Result<Vec<Result<Pending, Box<FileReport>>>, Failure> {
    let look = move || {
        let looked = (0..).zip(files);
        let token = |name: &FileName, path: &Path, facts: &FileFacts| {
            let token = |(tokens, server): &(Tokens, _)| tokens.of(server, name, path, facts);
            tokens.as_ref().map_or(0, token)
        };
        Ok(looked
            .map(|(index, upload)| look_at(index, upload, token))
            .collect())
    };
    local::blocking(look).await
}

fn look_at(
    index: u32,
    upload: Upload,
    token: impl Fn(&FileName, &Path, &FileFacts) -> u64,
) -> Result<Pending, Box<FileReport>> {
    let Upload {
        source,
        name,
        on_conflict,
        precondition,
        basis,
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
        token: 0,
        sent: None,
        known: None,
        wished_basis: basis,
        basis: None,
        is_patch: false,
        whole: false,
    };
    let place = match source {
        Source::Stream(stream) => {
            pending.source = Origin::Stream(Some(stream));
            return Ok(pending);
        }
        Source::Path(path) => LocalPlace::Path(path),
        Source::Tree(top, place) => LocalPlace::Found(top, place),
    };
    let facts = place.facts();
    if let Ok(facts) = &facts {
        pending.size = Some(facts.size);
        pending.modified = Some(facts.modified);
        pending.executable = facts.executable;
        pending.token = token(&pending.name, &place.path(), facts);
    }
    pending.source = Origin::File(place);
    match facts {
        Ok(_) => Ok(pending),
        Err(failure) => Err(Box::new(pending.report(Err(failure)))),
    }
}

impl Unfinished for Pending {
    fn size(&self) -> u64 {
        self.size.unwrap_or(0)
    }

    fn is_spent(&self) -> bool {
        matches!(self.source, Origin::Stream(None))
    }

    fn fail(self, failure: Failure) -> FileReport {
        self.report(Err(failure))
    }
}

impl Pending {
    fn report(&self, outcome: Result<Done, Failure>) -> FileReport {
        FileReport {
            index: self.index,
            name: FileRef::Name(self.name.clone()),
            path: match &self.source {
                Origin::File(place) => Some(place.path()),
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
            token: self.token,
        }
    }

    /// What is needed to decide about a file that stands under the name, on a blocking thread.
    fn decision(&self) -> Decision {
        Decision {
            place: match &self.source {
                Origin::File(place) => Some(place.clone()),
                Origin::Stream(_) => None,
            },
            on_conflict: self.on_conflict,
            sent: self.sent,
            known: self.known,
            wished_basis: self.wished_basis,
            executable: self.executable,
        }
    }

    /// Takes what is needed to open the file on another thread.
    fn begin(&mut self) -> Begun {
        let basis = self.basis.take();
        self.is_patch = basis.is_some();
        match &mut self.source {
            Origin::File(place) => Begun::File(Box::new(Chosen {
                place: place.clone(),
                known: self.known,
                basis,
            })),
            Origin::Stream(stream) => stream.take().map_or(Begun::Nothing, Begun::Stream),
        }
    }
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
    Left(u32, Status, Option<Box<Entry>>),
    /// It cannot be sent.
    Failed(u32, Failure),
}

/// What a file is read from, on the reading thread.
enum Begun {
    File(Box<Chosen>),
    Stream(Box<dyn Read + Send>),
    Nothing,
}

/// A local file, and what is known of it.
struct Chosen {
    place: LocalPlace,
    known: Option<Known>,
    basis: Option<Basis>,
}

impl Begun {
    fn open(self, hashed: Option<(LocalFile, Digest)>) -> Opening {
        match self {
            Begun::File(chosen) => chosen.open(hashed).unwrap_or_else(Opening::Fail),
            Begun::Stream(stream) => Opening::Send(Box::new(StreamSource(stream))),
            Begun::Nothing => Opening::Fail(Failure::new(
                ErrorCode::Internal,
                "the input was used up before it was sent",
            )),
        }
    }
}

impl Chosen {
    fn open(self, hashed: Option<(LocalFile, Digest)>) -> Result<Opening, Failure> {
        let (file, digest) = match hashed {
            Some((file, digest)) => (file, Some(digest)),
            None => {
                let file = LocalFile::open(&self.place)?;
                let digest = self.known.and_then(|known| known.digest_of(&file));
                (file, digest)
            }
        };
        // What was the same as the basis may have changed meanwhile.
        let basis = self.basis;
        let basis = basis.filter(|basis| !basis.is_same() || digest == Some(basis.id));
        let source = Box::new(FileSource::new(file, digest));
        Ok(match basis {
            Some(basis) => Opening::Patch(source, basis),
            None => Opening::Send(source),
        })
    }
}
