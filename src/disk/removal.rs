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

/// Whether another file system is mounted somewhere in the folder `leaf`. A rename takes a mount
/// along, so whoever removes a tree by renaming it must ask first.
pub fn holds_mount(parent: &Folder, leaf: &str) -> io::Result<bool> {
    let mut pending: Vec<Vec<OsString>> = vec![Vec::new()];
    let top = match parent.subfolder(leaf) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => return Ok(true),
        other => other?,
    };
    while let Some(path) = pending.pop() {
        let folder = match path
            .iter()
            .try_fold(top.clone(), |folder, part| folder.subfolder_raw(part))
        {
            Ok(folder) => folder,
            Err(error) if error.kind() == ErrorKind::CrossesDevices => return Ok(true),
            // Gone meanwhile, or a link now: nothing to enter.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        if folder.mount() != parent.mount() {
            return Ok(true);
        }
        for entry in folder.entries()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let mut below = path.clone();
                below.push(entry.file_name());
                pending.push(below);
            }
        }
    }
    Ok(false)
}
