use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::types::{Entry, FileName, FileRef, IdPrefix, NameError, PatternError, RESERVED_PREFIX};

/// Why the store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing that is shared has that name or id.
    #[error("{0} does not exist")]
    NotFound(FileRef),
    /// The digits are the beginning of more than one id, or several files have the one id and the
    /// command needs exactly one.
    #[error("id:{prefix} means more than one file: {}", Names(names))]
    Ambiguous {
        /// What was asked for.
        prefix: IdPrefix,
        /// The first of the files that it could mean.
        names: Vec<FileName>,
    },
    /// Something has the name already.
    #[error("{name} exists already")]
    AlreadyExists {
        /// The name.
        name: FileName,
        /// The file that has it; `None` when it is a folder.
        existing: Option<Entry>,
    },
    /// The name stands for something that the command cannot work with.
    #[error("{name}: {reason}")]
    Conflict {
        /// The name.
        name: FileName,
        /// What is in the way.
        reason: &'static str,
    },
    /// The file is not the version that the command was meant for.
    #[error("{name} is not the expected version any more")]
    PreconditionFailed {
        /// The name.
        name: FileName,
    },
    /// The name may not be created.
    #[error("{name}: {source}")]
    InvalidName {
        /// The name.
        name: FileName,
        /// Which rule it breaks.
        source: NameError,
    },
    /// Another name differs from this one only in case or Unicode form.
    #[error("{name} differs from the existing {existing} only in case or Unicode form")]
    Twin {
        /// The name that was asked for.
        name: FileName,
        /// The name that is there.
        existing: FileName,
    },
    /// The command works on files, or needs to be told that a folder is meant.
    #[error("{name} is a folder")]
    IsFolder {
        /// The name.
        name: FileName,
    },
    /// The file is larger than the server takes.
    #[error("{name} is larger than {limit} bytes, the most that the server takes")]
    TooLarge {
        /// The name.
        name: FileName,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file does not fit into what the server may hold in all.
    #[error("{name} does not fit into the server's quota of {quota} bytes")]
    QuotaExceeded {
        /// The name.
        name: FileName,
        /// The quota in bytes.
        quota: u64,
    },
    /// The server's disk is full.
    #[error("the server's disk has no room for {name}")]
    DiskFull {
        /// The name.
        name: FileName,
    },
    /// The server's disk cannot be written.
    #[error("the server's disk is read-only, so {name} cannot be changed")]
    ReadOnly {
        /// The name.
        name: FileName,
    },
    /// The server has as many files open as it may.
    #[error("the server has too many files open to work on {name}")]
    TooManyOpenFiles {
        /// The name.
        name: FileName,
    },
    /// More or fewer bytes came than were announced.
    #[error("{name} was announced with {announced} bytes and came with {received}")]
    SizeMismatch {
        /// The name.
        name: FileName,
        /// What was announced.
        announced: u64,
        /// What came, at least.
        received: u64,
    },
    /// The file changed while it was read.
    #[error("{name} changed while it was read")]
    ChangedMeanwhile {
        /// The name.
        name: FileName,
    },
    /// No such version of the file is in the trash.
    #[error("{}", NotKept(name, *versions))]
    NotKept {
        /// The name.
        name: FileName,
        /// How many versions are.
        versions: u32,
    },
    /// A pattern that cannot be understood.
    #[error(transparent)]
    BadPattern(#[from] PatternError),
    /// The disk reported an error that has no name of its own here.
    #[error("{name}: {source}")]
    Io {
        /// The file that was worked on.
        name: FileName,
        /// What the system said.
        source: io::Error,
    },
    /// The shared folder itself cannot be used.
    #[error("the shared folder cannot be used: {0}")]
    Root(#[source] io::Error),
    /// The index cannot be used.
    #[error("the index cannot be used: {0}")]
    Index(#[from] IndexError),
    /// The store was closed.
    #[error("the server is stopping")]
    Closed,
}

/// Whether the disk has no room, or none for this user.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

impl StoreError {
    /// The error for what the disk said about `name`.
    pub(super) fn disk(name: &FileName, source: io::Error) -> Self {
        let name = name.clone();
        match source.kind() {
            _ if is_full(&source) => StoreError::DiskFull { name },
            ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { name },
            // A second mount of the very same file system is only noticed when a rename into or
            // out of it fails.
            ErrorKind::CrossesDevices => StoreError::Conflict {
                name,
                reason: "another file system is mounted there",
            },
            _ if is_out_of_descriptors(&source) => StoreError::TooManyOpenFiles { name },
            _ => StoreError::Io { name, source },
        }
    }

    /// The error for something on the way to `name` that the disk did not let through when it was
    /// only looked at: what is missing, a link, or on another file system is not there.
    pub(super) fn look(name: &FileName, source: io::Error) -> Self {
        match source.kind() {
            ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::CrossesDevices
            | ErrorKind::InvalidInput => Self::not_found(name),
            _ => Self::disk(name, source),
        }
    }

    pub(super) fn not_found(name: &FileName) -> Self {
        StoreError::NotFound(FileRef::Name(name.clone()))
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves the folder, or keeps its state in the same place.
    #[error("{} is already being served{}", root.display(), Process(*pid))]
    InUse {
        /// The folder.
        root: PathBuf,
        /// The process, when it is known.
        pid: Option<u32>,
    },
    /// What is to be a folder is something else.
    #[error("{} is not a folder", path.display())]
    NotFolder {
        /// What is there.
        path: PathBuf,
    },
    /// The server would share its own state, or keep it among what it shares.
    #[error(
        "the state folder {} and the shared folder {} must not be inside one another (only {} may be)",
        state.display(), root.display(), root.join(RESERVED_PREFIX).display()
    )]
    StateInRoot {
        /// The state folder that was asked for.
        state: PathBuf,
        /// The folder to share.
        root: PathBuf,
    },
    /// Nothing is recorded of a folder that was never served.
    #[error("{} was never served: there is nothing to compare with", root.display())]
    NeverServed {
        /// The folder.
        root: PathBuf,
    },
    /// A folder cannot be made or opened.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The index can be neither opened nor made anew.
    #[error("the index in {} cannot be used: {source}", path.display())]
    Index {
        /// The folder that it is in.
        path: PathBuf,
        /// What the database said.
        source: IndexError,
    },
}

/// What the index's database said.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct IndexError(#[from] rusqlite::Error);

impl IndexError {
    /// Whether the file is not a sound database, so that only making it anew can help.
    pub(super) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};

        match &self.0 {
            rusqlite::Error::SqliteFailure(error, _) => {
                matches!(error.code, DatabaseCorrupt | NotADatabase)
            }
            // A column that holds what this program never writes.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => true,
            _ => false,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::Index(error.into())
    }
}

struct NotKept<'a>(&'a FileName, u32);

impl fmt::Display for NotKept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            0 => write!(f, "no file called {} is kept in the trash", self.0),
            1 => write!(f, "only one version of {} is kept in the trash", self.0),
            number => write!(f, "only {number} versions of {} are kept", self.0),
        }
    }
}

struct Names<'a>(&'a [FileName]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{name}")?;
        }
        Ok(())
    }
}

struct Process(Option<u32>);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, " by process {pid}"),
            None => Ok(()),
        }
    }
}

#[cfg(unix)]
fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;

    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

#[cfg(not(unix))]
fn is_out_of_descriptors(_error: &io::Error) -> bool {
    false
}
