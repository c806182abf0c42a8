use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{LocalFolder, io_failure, require_file};
use crate::client::tree::LocalEntry;
use crate::disk::{FileFacts, FileKind, Folder};
use crate::protocol::{ErrorCode, Failure};
use crate::types::FileName;

/// Where a local file is, or is to be.
#[derive(Debug, Clone)]
pub(in crate::client) enum LocalPlace {
    /// At a path that the user gave: links in it are followed.
    Path(PathBuf),
    /// Where a walk of the folder has found it: links do not lead out of the folder.
    Found(LocalFolder, PathBuf),
    /// Under a name below the folder, whoever gave the name: no link is followed.
    Named(LocalFolder, FileName),
    /// In the place of this file that a walk of the folder has found, if it is still that one.
    Standing(LocalFolder, Box<LocalEntry>),
}

impl From<&Path> for LocalPlace {
    fn from(path: &Path) -> Self {
        LocalPlace::Path(path.to_owned())
    }
}

impl LocalPlace {
    /// The path, to be shown.
    pub(in crate::client) fn path(&self) -> PathBuf {
        match self {
            LocalPlace::Path(path) => path.clone(),
            LocalPlace::Found(folder, place) => folder.path.join(place),
            LocalPlace::Named(folder, name) => folder.path_of(name),
            LocalPlace::Standing(folder, file) => folder.path.join(&file.place),
        }
    }

    /// Opens the regular file for reading, and tells what it is. A FIFO does not block.
    pub(in crate::client) fn open(&self) -> Result<(File, FileFacts), Failure> {
        let opened = match self {
            LocalPlace::Path(path) => return open(path),
            LocalPlace::Found(folder, place) => folder.folder.file_below(place),
            LocalPlace::Named(folder, name) => {
                parent(&folder.folder, name).and_then(|folder| folder.open_file(name.leaf()))
            }
            LocalPlace::Standing(folder, file) => folder.folder.file_below(&file.place),
        };
        let (file, facts) = opened.map_err(|error| self.failed(&error))?;
        self.check_standing(&facts)?;
        Ok((file, facts))
    }

    /// What the regular file is.
    pub(in crate::client) fn facts(&self) -> Result<FileFacts, Failure> {
        let path = self.path();
        let facts = match self {
            LocalPlace::Path(path) => {
                fs::metadata(path).and_then(|found| FileFacts::from_std(&found))
            }
            LocalPlace::Found(folder, place) => folder.folder.facts_below(place),
            LocalPlace::Named(folder, name) => facts_of(&folder.folder, name),
            LocalPlace::Standing(folder, file) => folder.folder.facts_below(&file.place),
        };
        let facts = facts.map_err(|error| self.failed(&error))?;
        require_file(&path, facts.kind)?;
        self.check_standing(&facts)?;
        Ok(facts)
    }

    /// What stands there, if anything does. A link is not followed, but one to a folder at a path
    /// of the user's, for the user may mean the folder.
    pub(in crate::client) fn standing(&self) -> Result<Option<FileKind>, Failure> {
        let kind = match self {
            LocalPlace::Path(path) if path.is_dir() => Ok(FileKind::Folder),
            LocalPlace::Path(path) => {
                let found = fs::symlink_metadata(path);
                found
                    .and_then(|found| FileFacts::from_std(&found))
                    .map(|facts| facts.kind)
            }
            LocalPlace::Found(folder, place) => {
                folder.folder.facts_below(place).map(|facts| facts.kind)
            }
            LocalPlace::Named(folder, name) => {
                facts_of(&folder.folder, name).map(|facts| facts.kind)
            }
            LocalPlace::Standing(folder, file) => match folder.folder.facts_below(&file.place) {
                Ok(facts) => return self.check_standing(&facts).map(|()| Some(facts.kind)),
                Err(error) => Err(error),
            },
        };
        match kind {
            Ok(kind) => Ok(Some(kind)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            // What is in the way of a user's own path is told when it is to be written.
            Err(_) if matches!(self, LocalPlace::Path(_)) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// The folder that it is in, and its name there.
    pub(in crate::client) fn parent(&self) -> io::Result<(Folder, String)> {
        match self {
            LocalPlace::Path(path) => {
                let (parent, leaf) = split(path)?;
                Ok((Folder::open(parent)?, leaf.to_owned()))
            }
            LocalPlace::Found(..) => Err(ErrorKind::Unsupported.into()),
            LocalPlace::Named(folder, name) => {
                Ok((parent(&folder.folder, name)?, name.leaf().to_owned()))
            }
            LocalPlace::Standing(folder, file) => {
                let leaf = file.place.file_name().and_then(|leaf| leaf.to_str());
                let leaf = leaf.ok_or(ErrorKind::InvalidFilename)?;
                let parent = file.place.parent().unwrap_or(Path::new(""));
                Ok((folder.folder.folder_below(parent)?, leaf.to_owned()))
            }
        }
    }

    /// The same, making the folders that are missing.
    pub(in crate::client) fn make_parent(&self) -> Result<(Folder, String), Failure> {
        let failed = |error: io::Error| self.failed(&error);
        match self {
            LocalPlace::Path(path) => {
                let (parent, leaf) = split(path).map_err(failed)?;
                Ok((Folder::create(parent).map_err(failed)?, leaf.to_owned()))
            }
            LocalPlace::Found(..) | LocalPlace::Standing(..) => self.parent().map_err(failed),
            LocalPlace::Named(top, name) => {
                let folder = match name.folder() {
                    Some(folder) => top.make_below(&folder)?,
                    None => top.folder.clone(),
                };
                Ok((folder, name.leaf().to_owned()))
            }
        }
    }

    /// That what stands there, if anything does, is what is to be replaced.
    pub(in crate::client) fn check_replaceable(
        &self,
        folder: &Folder,
        leaf: &str,
    ) -> Result<(), Failure> {
        match (self, folder.facts(leaf)) {
            (LocalPlace::Standing(..), Ok(facts)) => self.check_standing(&facts),
            _ => Ok(()),
        }
    }

    fn check_standing(&self, now: &FileFacts) -> Result<(), Failure> {
        match self {
            LocalPlace::Standing(_, file) if !file.facts.same_file(now) => {
                let path = super::shown(&self.path());
                let message = format!("{path} changed meanwhile, and is left as it is");
                Err(Failure::new(ErrorCode::Conflict, message))
            }
            _ => Ok(()),
        }
    }

    /// The file beside it that has another name.
    pub(in crate::client) fn path_beside(&self, leaf: &str) -> PathBuf {
        self.path().with_file_name(leaf)
    }

    /// What the system said about it.
    pub(in crate::client) fn failed(&self, error: &io::Error) -> Failure {
        match self {
            LocalPlace::Named(folder, name) => folder.failed(name, error),
            _ => io_failure(&self.path(), error),
        }
    }
}

fn parent(top: &Folder, name: &FileName) -> io::Result<Folder> {
    match name.folder() {
        Some(folder) => top.folder(&folder),
        None => Ok(top.clone()),
    }
}

fn facts_of(top: &Folder, name: &FileName) -> io::Result<FileFacts> {
    parent(top, name)?.facts(name.leaf())
}

/// Opens a regular file. A link that the user named is followed.
fn open(path: &Path) -> Result<(File, FileFacts), Failure> {
    let failed = |error: io::Error| io_failure(path, &error);
    let found = fs::metadata(path).and_then(|found| FileFacts::from_std(&found));
    require_file(path, found.map_err(failed)?.kind)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = options.open(path).map_err(failed)?;
    let facts = FileFacts::of(&file).map_err(failed)?;
    require_file(path, facts.kind)?;
    Ok((file, facts))
}

/// The folder that a file is in, and its name there.
fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let leaf = path.file_name().and_then(|leaf| leaf.to_str());
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((parent, leaf.ok_or(ErrorKind::InvalidFilename)?))
}
