//! Where the store keeps files of its own that are renamed into the root and out of it.

use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::disk::{Folder, Replace};
use crate::types::RESERVED_PREFIX;

/// Where on the file system of the root folders of the store's own can be.
#[derive(Clone)]
pub(super) struct Home {
    root: Folder,
    /// The state folder, when it is in its usual place in the root.
    in_root: Option<Folder>,
    /// The state folder, when it is elsewhere and files can be renamed from there.
    state: Option<Folder>,
}

impl Home {
    /// Finds out. Call it under the lock only.
    pub(super) fn find(root: &Folder, state: &Folder) -> Self {
        let in_root = is_in_root(state, root);
        Home {
            root: root.clone(),
            in_root: in_root.then(|| state.clone()),
            state: (!in_root && can_rename_from(state, root)).then(|| state.clone()),
        }
    }

    /// The folder as it is now; `None` when it is missing and must be made on demand, because a root
    /// that is only read need not be writable.
    fn existing(&self, leaf: &str) -> io::Result<Option<Folder>> {
        if let Some(state) = self.in_root.as_ref().or(self.state.as_ref()) {
            let folder = state.make_private_folder(leaf)?;
            // Where this fails everything else that is written will say so.
            let _ = state.sync();
            return Ok(Some(folder));
        }
        let own = self.root.subfolder(RESERVED_PREFIX);
        match own.and_then(|own| own.subfolder(leaf)) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The folder that the folder is in, made when it is missing.
    fn parent(&self) -> io::Result<Folder> {
        match &self.state {
            Some(state) => Ok(state.clone()),
            None => self.root.make_private_folder(RESERVED_PREFIX),
        }
    }
}

/// A private folder on the file system of the root, so that what is in it can be renamed into
/// place, and what stands there into it.
pub(super) struct OwnFolder {
    home: Home,
    leaf: &'static str,
    // The little I/O while it is held happens once, or when somebody removed the folder.
    folder: Mutex<Option<Folder>>,
}

impl OwnFolder {
    pub(super) fn open(home: &Home, leaf: &'static str) -> io::Result<Self> {
        Ok(OwnFolder {
            home: home.clone(),
            leaf,
            folder: Mutex::new(home.existing(leaf)?),
        })
    }

    /// The folder, if it has been made.
    pub(super) fn existing(&self) -> Option<Folder> {
        self.lock().clone()
    }

    /// The folder, made when it is missing.
    pub(super) fn get(&self) -> io::Result<Folder> {
        let mut kept = self.lock();
        if let Some(folder) = &*kept {
            return Ok(folder.clone());
        }
        let parent = self.home.parent()?;
        let folder = parent.make_private_folder(self.leaf)?;
        parent.sync()?;
        Ok(kept.insert(folder).clone())
    }

    /// Works in the folder, in a new one when somebody has removed it by hand.
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
