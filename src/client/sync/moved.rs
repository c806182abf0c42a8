//! Files that are new under their name, and whose content the destination has under another one:
//! they were moved, renamed or copied in the source, and need not cross the wire.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc;

use super::plan::{Plan, Transfer};
use super::read::Sides;
use crate::client::local::{FileSink, FileSource, LocalFile, LocalFolder, LocalPlace, blocking};
use crate::client::tree::LocalEntry;
use crate::digest::Hasher;
use crate::protocol::limits::DATA_CHUNK;
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::{Sink, Source};
use crate::types::{Digest, Entry, FileName, OnConflict};

/// From this size on, in bytes, a file is looked for: a smaller one is sent in the time of a question.
const LEAST: u64 = 32 * 1024;

fn is_sought(transfer: &Transfer) -> bool {
    transfer.standing.is_none() && transfer.source.size >= LEAST
}

/// Of the local files that are new on the server, those whose content it has already, and its id.
pub(super) async fn on_the_server(
    plan: &Plan,
    sides: &Sides,
) -> Result<HashMap<FileName, Digest>, Failure> {
    let mut by_size: HashMap<u64, HashSet<Digest>> = HashMap::new();
    for seen in sides.there.files.values() {
        if let Some(id) = seen.id {
            by_size.entry(seen.size).or_default().insert(id);
        }
    }
    let mut found = HashMap::new();
    let Some(tree) = &sides.tree else {
        return Ok(found);
    };
    for transfer in plan.transfers.iter().filter(|transfer| is_sought(transfer)) {
        let alike = by_size.get(&transfer.source.size);
        let file = sides.local.get(&transfer.name);
        if let (Some(alike), Some(file)) = (alike, file)
            && let Ok(digest) = hash(&tree.top, file).await
            && alike.contains(&digest)
        {
            found.insert(transfer.name.clone(), digest);
        }
    }
    Ok(found)
}

/// The local files by what is in them, as far as somebody has asked.
pub(super) struct Twins<'a> {
    top: &'a LocalFolder,
    by_size: HashMap<u64, Vec<&'a LocalEntry>>,
    digests: HashMap<&'a FileName, Option<Digest>>,
}

impl<'a> Twins<'a> {
    pub(super) fn new(sides: &'a Sides) -> Option<Self> {
        let mut by_size: HashMap<u64, Vec<&LocalEntry>> = HashMap::new();
        for file in sides.local.values() {
            by_size.entry(file.facts.size).or_default().push(file);
        }
        Some(Twins {
            top: &sides.tree.as_ref()?.top,
            by_size,
            digests: HashMap::new(),
        })
    }

    /// A local file that has the content of a file of the server's which is new here.
    pub(super) async fn of(&mut self, transfer: &Transfer) -> Option<&'a LocalEntry> {
        let id = transfer.source.id.filter(|_| is_sought(transfer))?;
        let alike = self.by_size.get(&transfer.source.size)?.clone();
        for file in alike {
            if !self.digests.contains_key(&file.name) {
                // What cannot be read is no twin.
                let digest = hash(self.top, file).await.ok();
                self.digests.insert(&file.name, digest);
            }
            if self.digests.get(&file.name) == Some(&Some(id)) {
                return Some(file);
            }
        }
        None
    }
}

async fn hash(top: &LocalFolder, file: &LocalEntry) -> Result<Digest, Failure> {
    let place = LocalPlace::Found(top.clone(), file.place.clone());
    blocking(move || LocalFile::open(&place)?.hash(|_| {})).await
}

/// Copies a local file to the place of one of the server's, which has this id: verified, and in one
/// step, like a download. An error leaves things as they were.
pub(super) async fn copy(
    top: &LocalFolder,
    from: &LocalEntry,
    to: &FileName,
    entry: &Entry,
) -> Result<(), Failure> {
    let from = LocalPlace::Found(top.clone(), from.place.clone());
    let to = LocalPlace::Named(top.clone(), to.clone());
    let entry = entry.clone();
    blocking(move || {
        let mut source = FileSource::new(LocalFile::open(&from)?, None);
        let (mut sink, mut hasher) = FileSink::open(&to, &entry, OnConflict::Error, None, 0)?;
        match pour(&mut source, &mut sink, &mut hasher) {
            Ok(()) if entry.id == Some(hasher.clone().finish()) => {}
            poured => {
                sink.discard();
                let message = "it has changed meanwhile";
                return poured.and(Err(Failure::new(ErrorCode::DigestMismatch, message)));
            }
        }
        let (done, finished) = mpsc::sync_channel(1);
        sink.finish(
            hasher.finish(),
            Box::new(move |result| {
                let _ = done.send(result);
            }),
        );
        let lost = |_| Failure::new(ErrorCode::Internal, "a copy was never finished");
        finished.recv().map_err(lost)?.map(drop)
    })
    .await
}

fn pour(source: &mut FileSource, sink: &mut FileSink, hasher: &mut Hasher) -> Result<(), Failure> {
    let mut buffer = vec![0; DATA_CHUNK];
    loop {
        let read = source.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        hasher.update(bytes);
        sink.write(bytes)?;
    }
}
