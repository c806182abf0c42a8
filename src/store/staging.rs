//! Where files are while they are written, and where removed things are until they are gone.

use std::io::{self, ErrorKind};

use super::own_folder::{Home, OwnFolder, unused_leaf};
use crate::disk::{FileKind, Folder, Replace, StagedFile};

/// A private folder on the file system of the root, so that what is in it can be renamed into
/// place.
pub(super) struct Staging(OwnFolder);

impl Staging {
    /// Finds the folder and empties it but for folders, whose names are returned: emptying those
    /// may take long. Call it under the lock only: whatever is there, nobody is writing it.
    pub(super) fn open(home: &Home) -> io::Result<(Self, Vec<String>)> {
        let staging = Staging(OwnFolder::open(home, "staging")?);
        let folders = staging.0.existing().map_or(Ok(Vec::new()), |folder| {
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
