use std::io::{self, ErrorKind};

use super::{FileFacts, FileKind, Folder};
use crate::types::{FileName, RESERVED_PREFIX};

/// What a walk found in one folder.
#[derive(Debug)]
pub struct FolderListing {
    /// The folder, seen from where the walk began; `None` is that folder itself.
    pub name: Option<FileName>,
    /// The regular files, in byte order of their names.
    pub files: Vec<(FileName, FileFacts)>,
    /// The folders, in the same order; the walk goes into them next.
    pub folders: Vec<FileName>,
    /// What is in the folder and is not shared.
    pub left_out: LeftOut,
    /// Those things among it that a name could be taken for.
    pub lookalikes: Vec<Lookalike>,
    /// Whether the folder could be read to its end. When not, more may be in it than is listed.
    pub complete: bool,
}

/// Something that is not shared, under a name that would be one in Normalization Form C.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lookalike {
    /// What it is called in its folder, as the disk has it.
    pub leaf: String,
    /// The same as a name.
    pub name: FileName,
    /// Whether it is a file or folder that would be shared if it were called so, and was counted
    /// as one that cannot be named.
    pub other_form: bool,
}

/// How many things a walk left out, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Symbolic links.
    pub links: u64,
    /// FIFOs, sockets and devices.
    pub special: u64,
    /// Other file systems mounted there.
    pub mounts: u64,
    /// Names that no client could name.
    pub names: u64,
    /// Folders that could not be read.
    pub unreadable: u64,
}

impl LeftOut {
    /// Adds the numbers of another folder to these.
    pub fn add(&mut self, other: &LeftOut) {
        self.links += other.links;
        self.special += other.special;
        self.mounts += other.mounts;
        self.names += other.names;
        self.unreadable += other.unreadable;
    }
}

/// Goes through a tree, one folder at a time, each before what is in it, in byte order of names.
///
/// At no time more is in memory than one folder's names and the folders still to be read, and no
/// more than two handles are open, however deep the tree is. Every folder is opened anew from the
/// top, so a link that is swapped in meanwhile is not followed. A folder that vanishes meanwhile
/// is passed over. A server's own folder (`.fileshare` at the top) is never seen.
pub struct Walk {
    top: Folder,
    pending: Vec<Option<FileName>>,
}

impl Walk {
    /// A walk through everything below `top`.
    pub fn new(top: &Folder) -> Self {
        Walk {
            top: top.clone(),
            pending: vec![None],
        }
    }

    /// Keeps the walk from going into a folder of the listing that it gave last.
    pub fn leave_out(&mut self, folder: &FileName) {
        if let Some(at) = self
            .pending
            .iter()
            .rposition(|pending| pending.as_ref() == Some(folder))
        {
            self.pending.remove(at);
        }
    }
}

impl Iterator for Walk {
    type Item = FolderListing;

    fn next(&mut self) -> Option<FolderListing> {
        while let Some(name) = self.pending.pop() {
            let mut listing = FolderListing {
                name,
                files: Vec::new(),
                folders: Vec::new(),
                left_out: LeftOut::default(),
                lookalikes: Vec::new(),
                complete: true,
            };
            match list(&self.top, &mut listing) {
                Ok(()) => {}
                Err(error) if is_gone(&error) && listing.name.is_some() => continue,
                Err(_) => {
                    listing.complete = false;
                    listing.left_out.unreadable += 1;
                }
            }
            listing.files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            listing.folders.sort_unstable();
            listing.lookalikes.sort_unstable();
            self.pending
                .extend(listing.folders.iter().rev().cloned().map(Some));
            return Some(listing);
        }
        None
    }
}

fn list(top: &Folder, listing: &mut FolderListing) -> io::Result<()> {
    let folder = match &listing.name {
        Some(name) => top.folder(name)?,
        None => top.clone(),
    };
    for entry in folder.entries()? {
        let entry = entry?;
        let raw = entry.file_name();
        let name = match raw.to_str().map(FileName::parse) {
            Some(Ok(leaf)) => FileName::inside(listing.name.as_ref(), &leaf).ok(),
            _ => None,
        };
        let facts = match entry.metadata() {
            Ok(metadata) => FileFacts::from_metadata(&metadata)?,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if listing.name.is_none() && raw == RESERVED_PREFIX && facts.kind == FileKind::Folder {
            continue;
        }
        let elsewhere = facts.device != folder.device();
        let sharable = matches!(facts.kind, FileKind::File | FileKind::Folder) && !elsewhere;
        if (name.is_none() || !sharable)
            && let Some(leaf) = raw.to_str()
            && let Ok(name) = FileName::from_typed(leaf)
            && !name.as_str().contains('/')
        {
            listing.lookalikes.push(Lookalike {
                other_form: sharable && leaf != name.as_str(),
                leaf: leaf.to_owned(),
                name,
            });
        }
        let left_out = &mut listing.left_out;
        match (facts.kind, name) {
            (FileKind::Link, _) => left_out.links += 1,
            (FileKind::Special, _) => left_out.special += 1,
            _ if elsewhere => left_out.mounts += 1,
            (_, None) => left_out.names += 1,
            (FileKind::File, Some(name)) => listing.files.push((name, facts)),
            (FileKind::Folder, Some(name)) => listing.folders.push(name),
        }
    }
    Ok(())
}

/// Whether what was a folder in its parent's list is none any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::CrossesDevices
    )
}
