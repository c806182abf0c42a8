use std::io;
use std::path::{Component, Path, PathBuf};

use super::error::OpenError;
use crate::disk::Folder;
use crate::types::RESERVED_PREFIX;

/// The folder that is shared, and the one for what the server knows besides: `.fileshare` in the
/// root, or a folder apart from it.
#[derive(Debug)]
pub struct Places {
    /// The canonical path of the shared folder.
    pub root_path: PathBuf,
    /// The shared folder.
    pub root: Folder,
    /// The path of the state folder.
    pub state_path: PathBuf,
    /// The state folder; nobody else may look into it (0700).
    pub state: Folder,
}

impl Places {
    /// Opens both, making them when they are missing. Any number of processes may do so: it is
    /// [`Store::open`](super::Store::open) that is exclusive.
    pub fn open(root: &Path, state_dir: Option<&Path>) -> Result<Self, OpenError> {
        let (root_path, root) = open_root(root)?;
        let (state_path, state) = match state_dir {
            Some(path) => {
                check_apart(path, &root_path)?;
                let folder = Folder::create_private(path);
                (path.to_owned(), folder.map_err(not_usable(path))?)
            }
            None => {
                let path = root_path.join(RESERVED_PREFIX);
                let folder = root.make_private_folder(RESERVED_PREFIX);
                let folder = folder.map_err(at(&path))?;
                keep_private(&path);
                (path, folder)
            }
        };
        Ok(Places {
            root_path,
            root,
            state_path,
            state,
        })
    }
}

/// Takes back what others may do with a state folder that was there already.
#[cfg(unix)]
fn keep_private(path: &Path) {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    let Ok(facts) = path.symlink_metadata() else {
        return;
    };
    if facts.is_dir() && facts.permissions().mode() & 0o077 != 0 {
        match std::fs::set_permissions(path, Permissions::from_mode(0o700)) {
            Ok(()) => {
                tracing::warn!(path = %path.display(), "others could look into the state folder; they cannot any more")
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "others can look into the state folder")
            }
        }
    }
}

#[cfg(not(unix))]
fn keep_private(_path: &Path) {}

fn open_root(path: &Path) -> Result<(PathBuf, Folder), OpenError> {
    let root = Folder::create(path).map_err(not_usable(path))?;
    let path = path.canonicalize().map_err(at(path))?;
    Ok((path, root))
}

/// That neither of the two folders is inside the other, but for the state's usual place.
fn check_apart(state: &Path, root: &Path) -> Result<(), OpenError> {
    let state = whole_path(state).map_err(at(state))?;
    let apart = !state.starts_with(root) && !root.starts_with(&state);
    if apart || state == root.join(RESERVED_PREFIX) {
        return Ok(());
    }
    Err(OpenError::StateInRoot {
        state,
        root: root.to_owned(),
    })
}

/// The canonical path of a folder that need not be there yet.
fn whole_path(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            // Every link before it is resolved already.
            Component::ParentDir => drop(whole.pop()),
            Component::CurDir => {}
            part => whole.push(part),
        }
        match whole.canonicalize() {
            Ok(canonical) => whole = canonical,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

/// The error for a folder that somebody named.
fn not_usable(path: &Path) -> impl Fn(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| {
        if path.metadata().is_ok_and(|metadata| !metadata.is_dir()) {
            return OpenError::NotFolder { path: path.clone() };
        }
        at(&path)(source)
    }
}

pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io {
        path: path.clone(),
        source,
    }
}
