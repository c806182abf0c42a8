use std::path::{Path, PathBuf};

use super::io_failure;
use crate::disk::Folder;
use crate::protocol::Failure;

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

    fn of(path: &Path, opened: std::io::Result<Folder>) -> Result<Self, Failure> {
        Ok(LocalFolder {
            folder: opened.map_err(|error| io_failure(path, &error))?,
            path: path.to_owned(),
        })
    }
}
