use std::fmt;
use std::io::{Read, Write};
use std::path::PathBuf;

use super::ClientError;
use crate::types::{Digest, Entry, FileName, FileRef, OnConflict, Precondition};

/// One file to upload.
#[derive(Debug)]
pub struct Upload {
    /// Where its bytes come from.
    pub source: Source,
    /// The full name that it is to get on the server.
    pub name: FileName,
    /// What to do when that name is taken.
    pub on_conflict: OnConflict,
    /// What must hold of the file that stands there.
    pub precondition: Precondition,
    /// A file that the server may have: what it has in common with this one is copied there and not
    /// sent. A file of 1 MiB and more that replaces another one is put together from that one anyway.
    pub basis: Option<Digest>,
}

/// Where the bytes of an upload come from.
pub enum Source {
    /// A local file; its modification time and executable bit go with it.
    Path(PathBuf),
    /// A stream of unknown length, such as standard input; it can be read only once.
    Stream(Box<dyn Read + Send>),
}

/// One file to download.
#[derive(Debug)]
pub struct Download {
    /// Which file.
    pub file: FileRef,
    /// Where its bytes go.
    pub target: Target,
    /// What to do when the local file exists.
    pub on_conflict: OnConflict,
}

/// Where the bytes of a download go.
pub enum Target {
    /// This local file. Missing folders above it are made.
    Path(PathBuf),
    /// Into this local folder (made when missing), under the base name of the server's file.
    Folder(PathBuf),
    /// A stream, such as standard output. What was written is only known to be right at the end.
    Stream(Box<dyn Write + Send>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Source::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Target::Folder(path) => f.debug_tuple("Folder").field(path).finish(),
            Target::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// What became of one file of a batch. Each file of a batch is reported exactly once.
#[derive(Debug)]
pub struct FileReport {
    /// The file's place in the batch, counted from 0.
    pub index: u32,
    /// The server's file, as it was asked for (an id when it was asked for by id and never found).
    pub name: FileRef,
    /// The local file, unless the other end is a stream or it is not known.
    pub path: Option<PathBuf>,
    /// What was done, or why not.
    pub outcome: Result<Done, ClientError>,
}

/// A file of a batch that is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// How it came to be so.
    pub status: Status,
    /// The file as it stands on the server (the name may be another one under
    /// [`OnConflict::Rename`]); `None` in a dry run of something that does not exist yet.
    pub entry: Option<Entry>,
    /// Its size in bytes, when that is known.
    pub size: Option<u64>,
    /// How many bytes of file content crossed the wire for it.
    pub sent: u64,
}

/// How a file of a batch came to be as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Transferred and verified.
    Done,
    /// The same content was there already: nothing was transferred.
    Unchanged,
    /// Left alone because the name is taken ([`OnConflict::Skip`]).
    Skipped,
    /// In a dry run: it would be transferred.
    WouldTransfer,
}
