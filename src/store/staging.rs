//! Where files are while they are written, and where removed things are until they are gone.

use std::io::{self, ErrorKind};
use std::sync::OnceLock;

use crate::disk::{FileKind, Folder, Replace, StagedFile};
use crate::types::RESERVED_PREFIX;

const LEAF: &str = "staging";

/// A private folder on the file system of the root, so that what is in it can be renamed into
/// place.
pub(super) struct Staging {
    root: Folder,
    folder: OnceLock<Folder>,
}

impl Staging {
    /// Finds the folder and empties it but for folders, whose names are returned: emptying those
    /// may take long. Call it under the lock only: whatever is there, nobody is writing it.
    pub(super) fn open(root: &Folder, state: &Folder) -> io::Result<(Self, Vec<String>)> {
        let staging = Staging {
            root: root.clone(),
            folder: OnceLock::new(),
        };
        if can_rename_from(state, root) {
            let folder = state.make_private_folder(LEAF)?;
            let _ = staging.folder.set(folder);
        } else {
            // Made on demand: a root that is only read need not be writable.
            match root
                .subfolder(RESERVED_PREFIX)
                .and_then(|own| own.subfolder(LEAF))
            {
                Ok(folder) => drop(staging.folder.set(folder)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let folders = staging.folder.get().map_or(Ok(Vec::new()), |folder| {
            let mut folders = Vec::new();
            for leaf in folder.leaves()? {
                match folder.facts(&leaf)?.kind {
                    FileKind::Folder => folders.push(leaf),
                    _ => folder.remove_file(&leaf)?,
                }
            }
            Ok::<_, io::Error>(folders)
        });
        match folders {
            Ok(folders) => Ok((staging, folders)),
            // On a file system that cannot be written nothing is staged either.
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
                Ok((staging, Vec::new()))
            }
            Err(error) => Err(error),
        }
    }

    /// A new file that is written here.
    pub(super) fn create(&self) -> io::Result<StagedFile> {
        StagedFile::create(self.folder()?, &unused_leaf())
    }

    /// Takes whatever stands under a name away in one step and tells what it is called here.
    pub(super) fn take_away(&self, from: &Folder, leaf: &str) -> io::Result<String> {
        let here = unused_leaf();
        from.rename(leaf, self.folder()?, &here, Replace::Never)?;
        Ok(here)
    }

    /// The folder itself, made when it is missing.
    pub(super) fn folder(&self) -> io::Result<&Folder> {
        if let Some(folder) = self.folder.get() {
            return Ok(folder);
        }
        let own = self.root.make_private_folder(RESERVED_PREFIX)?;
        let folder = own.make_private_folder(LEAF)?;
        Ok(self.folder.get_or_init(|| folder))
    }
}

/// 128 random bits: nobody can guess the name, and no two are the same.
pub(super) fn unused_leaf() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Whether files can be renamed from one folder to the other. The number of the file system does
/// not tell: a bind mount has the same one, and a rename does not cross it. So it is tried.
fn can_rename_from(state: &Folder, root: &Folder) -> bool {
    let inside = root.subfolder(RESERVED_PREFIX);
    let same =
        |inside: Folder| Ok::<_, io::Error>(inside.own_facts()?.inode == state.own_facts()?.inode);
    if state.device() != root.device() {
        return false;
    }
    if inside.and_then(same).unwrap_or(false) {
        return true;
    }
    let probe = unused_leaf();
    let name = format!("{RESERVED_PREFIX}-{probe}");
    let tried = state
        .create_file(&probe)
        .and_then(|_| state.rename(&probe, root, &name, Replace::Never));
    let cleaned = match &tried {
        Ok(()) => root.remove_file(&name),
        Err(_) => state.remove_file(&probe),
    };
    tried.and(cleaned).is_ok()
}
