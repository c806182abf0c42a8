//! Local trees: what `put` and `sync` would send of a folder, and what they leave out.

mod rules;
mod skipped;
#[cfg(test)]
mod tests;
mod walk;

use std::path::{Path, PathBuf};

use super::ClientError;
use super::local::{LocalFolder, blocking};
use crate::disk::FileFacts;
use crate::types::{FileName, Filter};

pub use rules::Rules;
pub use skipped::{Reason, Skipped};

/// What a walk of a local tree takes.
#[derive(Debug, Clone, Default)]
pub struct WalkOptions {
    /// Links are followed that lead to something in the tree; else they are skipped.
    pub follow: bool,
    /// Which names are meant.
    pub filter: Filter,
    /// Files of this name hold patterns of what is to be ignored in their folder, as `.gitignore`.
    pub ignore_file: Option<String>,
}

/// A local tree as it was when it was walked through. Names are relative to its top, and in byte
/// order.
#[derive(Debug)]
pub struct Tree {
    /// The folder that was walked through.
    pub top: LocalFolder,
    /// The files that are meant.
    pub files: Vec<LocalEntry>,
    /// The folders that were walked through, the top left out.
    pub folders: Vec<FileName>,
    /// Those folders that are meant and have nothing in them that is.
    pub empty: Vec<FileName>,
    /// What is in the tree and cannot or should not be sent, unless it is not meant.
    pub skipped: Vec<Skipped>,
    /// Which other names would not be meant either.
    pub rules: Rules,
}

/// A regular file in a local tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalEntry {
    /// Its name in the tree.
    pub name: FileName,
    /// Where it really is below the top: as the disk spells it, and without links.
    pub place: PathBuf,
    /// What the disk says of it.
    pub facts: FileFacts,
}

impl Tree {
    /// Walks through the folder at `path`, which may be a link to it. Nothing outside of it is
    /// looked at, whatever links are in it.
    pub async fn read(path: &Path, options: &WalkOptions) -> Result<Tree, ClientError> {
        Self::read_within(path, None, options).await
    }

    /// The same, but that only these files and folders are looked at, and what is in them.
    pub(super) async fn read_within(
        path: &Path,
        names: Option<Vec<FileName>>,
        options: &WalkOptions,
    ) -> Result<Tree, ClientError> {
        let (path, options) = (path.to_owned(), options.clone());
        blocking(move || walk::walk(LocalFolder::open(&path)?, names, &options)).await
    }

    /// Whether everything in it is known: no folder was unreadable, and nothing has a name that
    /// cannot be one.
    pub fn is_complete(&self) -> bool {
        self.skipped.iter().all(|skipped| skipped.code().is_none())
    }
}
