use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{io_failure, shown};
use crate::disk::Folder;
use crate::protocol::{ErrorCode, Failure};
use crate::types::FileName;

/// A local folder that is open, and the path that it was opened by. What is read and written below
/// it stays in it, whatever links are there.
#[derive(Debug, Clone)]
pub struct LocalFolder {
    /// The folder.
    pub folder: Folder,
    /// The path that it was opened by.
    pub path: PathBuf,
}

impl LocalFolder {
    /// Opens the folder at a path that the user gave; links in it are followed.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Self::of(path, Folder::open(path))
    }

    /// The same, making the folder and its parents when they are missing.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        Self::of(path, Folder::create(path))
    }

    fn of(path: &Path, opened: io::Result<Folder>) -> Result<Self, Failure> {
        let folder = opened.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Failure::new(
                ErrorCode::Conflict,
                format!("{}: a file is where a folder must go", shown(path)),
            ),
            _ => io_failure(path, &error),
        })?;
        Ok(LocalFolder {
            folder,
            path: path.to_owned(),
        })
    }

    /// Makes a folder below it, and the missing ones above that.
    pub fn make(&self, name: &FileName) -> Result<(), Failure> {
        self.make_below(name).map(drop)
    }

    pub(super) fn make_below(&self, name: &FileName) -> Result<Folder, Failure> {
        let made = self.folder.make_folders(name).map(|(folder, _)| folder);
        made.map_err(|error| self.failed(name, &error))
    }

    /// What the system said of something on the way to a name.
    pub(super) fn failed(&self, name: &FileName, error: &io::Error) -> Failure {
        let path = self.path_of(name);
        let why = match error.kind() {
            ErrorKind::NotADirectory => "a file or a link is where a folder must go",
            ErrorKind::CrossesDevices => "another file system is mounted on the way",
            _ => return io_failure(&path, error),
        };
        Failure::new(ErrorCode::Conflict, format!("{}: {why}", shown(&path)))
    }

    /// The path of a name below it, to be shown.
    pub fn path_of(&self, name: &FileName) -> PathBuf {
        let mut path = self.path.clone();
        path.extend(name.parts());
        path
    }
}
