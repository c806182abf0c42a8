//! Where files are while they are written, and where removed things are until they are gone.

use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::disk::{FileKind, Folder, Replace, StagedFile};
use crate::types::RESERVED_PREFIX;

const LEAF: &str = "staging";

/// A private folder on the file system of the root, so that what is in it can be renamed into
/// place.
pub(super) struct PrivateFolder {
    leaf: &'static str,
    root: Folder,
    /// The state folder, when it is not in the root and files can be renamed from there.
    state: Option<Folder>,
    // The little I/O while it is held happens once, or when somebody removed the folder.
    folder: Mutex<Option<Folder>>,
}

impl PrivateFolder {
    /// Finds the folder `leaf`; it is returned, too, unless it is not there yet.
    pub(super) fn open(
        root: &Folder,
        state: &Folder,
        leaf: &'static str,
    ) -> io::Result<(Self, Option<Folder>)> {
        let in_root = is_in_root(state, root);
        let own = (!in_root && can_rename_from(state, root)).then(|| state.clone());
        let folder = if in_root || own.is_some() {
            Some(state.make_private_folder(leaf)?)
        } else {
            // Made on demand: a root that is only read need not be writable.
            match root
                .subfolder(RESERVED_PREFIX)
                .and_then(|own| own.subfolder(leaf))
            {
                Ok(folder) => Some(folder),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            }
        };
        let private = PrivateFolder {
            leaf,
            root: root.clone(),
            state: own,
            folder: Mutex::new(folder.clone()),
        };
        Ok((private, folder))
    }

    /// The folder itself, made when it is missing.
    pub(super) fn get(&self) -> io::Result<Folder> {
        let mut kept = self.lock();
        if let Some(folder) = &*kept {
            return Ok(folder.clone());
        }
        let folder = match &self.state {
            Some(state) => state.make_private_folder(self.leaf)?,
            None => self
                .root
                .make_private_folder(RESERVED_PREFIX)?
                .make_private_folder(self.leaf)?,
        };
        Ok(kept.insert(folder).clone())
    }

    /// Works in the folder; in a new one when somebody removed the one that was there.
    pub(super) fn with<T>(&self, work: impl Fn(&Folder) -> io::Result<T>) -> io::Result<T> {
        match work(&self.get()?) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                *self.lock() = None;
                work(&self.get()?)
            }
            outcome => outcome,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Folder>> {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where files are while they are written.
pub(super) struct Staging(PrivateFolder);

impl Staging {
    /// Finds the folder and empties it but for folders, whose names are returned: emptying those
    /// may take long. Call it under the lock only: whatever is there, nobody is writing it.
    pub(super) fn open(root: &Folder, state: &Folder) -> io::Result<(Self, Vec<String>)> {
        let (staging, folder) = PrivateFolder::open(root, state, LEAF)?;
        let folders = folder.map_or(Ok(Vec::new()), |folder| {
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
            Ok(folders) => Ok((Staging(staging), folders)),
            // On a file system that cannot be written nothing is staged either.
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
                Ok((Staging(staging), Vec::new()))
            }
            Err(error) => Err(error),
        }
    }

    /// A new file that is written here.
    pub(super) fn create(&self) -> io::Result<StagedFile> {
        self.0
            .with(|folder| StagedFile::create(folder, &unused_leaf()))
    }

    /// Takes whatever stands under a name away in one step and tells what it is called here.
    pub(super) fn take_away(&self, from: &Folder, leaf: &str) -> io::Result<String> {
        let here = unused_leaf();
        self.0
            .with(|folder| from.rename(leaf, folder, &here, Replace::Never))?;
        Ok(here)
    }

    /// The folder itself, made when it is missing.
    pub(super) fn folder(&self) -> io::Result<Folder> {
        self.0.get()
    }
}

/// 128 random bits: nobody can guess the name, and no two are the same.
pub(super) fn unused_leaf() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Whether the state is in its usual place.
fn is_in_root(state: &Folder, root: &Folder) -> bool {
    let inside = root.subfolder(RESERVED_PREFIX);
    let same =
        |inside: Folder| Ok::<_, io::Error>(inside.own_facts()?.inode == state.own_facts()?.inode);
    state.device() == root.device() && inside.and_then(same).unwrap_or(false)
}

/// Whether files can be renamed from one folder to the other. The number of the file system does
/// not tell: a bind mount has the same one, and a rename does not cross it. So it is tried.
fn can_rename_from(state: &Folder, root: &Folder) -> bool {
    if state.device() != root.device() {
        return false;
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
