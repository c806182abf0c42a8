//! Removing whole trees, however deep, without following a link or leaving the file system.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, ErrorKind};

use super::{FileKind, Folder};

/// Removes whatever stands under `leaf` in `attic`, a folder that nobody else works in, with all
/// that is in it. What cannot be removed (a mount point) stays, and the last error is returned.
///
/// Folders inside are first moved up into `attic` and then emptied one at a time, so that no tree
/// is too deep. `unused_leaf` gives names that are free in `attic`. Once `stop` says so, what is
/// left stays, in `attic`.
pub fn remove_tree(
    attic: &Folder,
    leaf: &str,
    mut unused_leaf: impl FnMut() -> String,
    stop: impl Fn() -> bool,
) -> io::Result<()> {
    let mut outcome = Ok(());
    let mut pending = VecDeque::from([leaf.to_owned()]);
    while let Some(leaf) = pending.pop_front() {
        if stop() {
            return Err(ErrorKind::Interrupted.into());
        }
        let removed = match attic.facts(&leaf) {
            Ok(facts) if facts.kind == FileKind::Folder => {
                empty_folder(attic, &leaf, &mut pending, &mut unused_leaf, &stop)
                    .and_then(|()| attic.remove_folder(&leaf))
            }
            Ok(_) => attic.remove_file(&leaf),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => outcome = Err(error),
            _ => {}
        }
    }
    outcome
}

fn empty_folder(
    attic: &Folder,
    leaf: &str,
    pending: &mut VecDeque<String>,
    unused_leaf: &mut impl FnMut() -> String,
    stop: &impl Fn() -> bool,
) -> io::Result<()> {
    let folder = attic.subfolder(leaf)?;
    if folder.mount() != attic.mount() {
        return Err(ErrorKind::CrossesDevices.into());
    }
    let mut outcome = Ok(());
    for entry in folder.entries()? {
        let entry = entry?;
        if stop() {
            return Err(ErrorKind::Interrupted.into());
        }
        let done = if entry.file_type()?.is_dir() {
            let moved = unused_leaf();
            folder
                .rename_raw(&entry.file_name(), attic, &moved)
                .map(|()| pending.push_back(moved))
        } else {
            entry.remove_file()
        };
        if let Err(error) = done {
            outcome = Err(error);
        }
    }
    outcome
}

/// What is in a folder, shared or not: whatever goes when it goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many things it holds that are no folders.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

/// Counts what is in the folder `leaf`; none when another file system is mounted somewhere in it.
/// A rename takes a mount along, so whoever removes a tree by renaming it must ask first.
pub fn contents(parent: &Folder, leaf: &str) -> io::Result<Option<Contents>> {
    let mut contents = Contents::default();
    let mut pending: Vec<Vec<OsString>> = vec![Vec::new()];
    let top = match parent.subfolder(leaf) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => return Ok(None),
        other => other?,
    };
    while let Some(path) = pending.pop() {
        let folder = match path
            .iter()
            .try_fold(top.clone(), |folder, part| folder.subfolder_raw(part))
        {
            Ok(folder) => folder,
            Err(error) if error.kind() == ErrorKind::CrossesDevices => return Ok(None),
            // Gone meanwhile, or a link now: nothing to enter.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        if folder.mount() != parent.mount() {
            return Ok(None);
        }
        for entry in folder.entries()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let mut below = path.clone();
                below.push(entry.file_name());
                pending.push(below);
                continue;
            }
            contents.files += 1;
            match entry.metadata() {
                Ok(metadata) => contents.bytes += metadata.len(),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Some(contents))
}
