//! The typed client: everything that the terminal can do, a program can do.

mod address;
mod batch;
mod error;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use address::{AddressError, DEFAULT_PORT, ServerAddress};
pub use batch::{Done, Download, FileReport, Source, Status, Target, Upload};
pub use error::ClientError;

use crate::access::Role;
use crate::protocol::message::ServerInfo;
use crate::transfer::Progress;
use crate::types::{Entry, FileName, FileRef, Item, Precondition};

/// How a [`Client`] behaves.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How long to wait for a connection, and for an answer while nothing is heard.
    pub timeout: Duration,
    /// How often to go on after a cut before giving up; never at first contact.
    pub retries: u32,
    /// The most bytes of file content per second, either way.
    pub limit_rate: Option<u64>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            timeout: Duration::from_secs(30),
            retries: 3,
            limit_rate: None,
        }
    }
}

/// Which files a listing or comparison is about.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// The folder; `None` is the root.
    pub folder: Option<FileName>,
    /// Globs relative to the folder; none means everything below it.
    pub patterns: Vec<String>,
    /// Stop after this many items; 0 lists all.
    pub limit: u32,
}

/// How a local file compares with the server's ([`Client::verify`]).
#[derive(Debug)]
pub struct Verification {
    /// The full name on the server.
    pub name: FileName,
    /// The local file.
    pub path: PathBuf,
    /// The server's entry, when there is one.
    pub entry: Option<Entry>,
    /// `Ok` when both have the same content; else why not: `DigestMismatch` (they differ),
    /// `NotFound` (missing on either side), or what kept us from comparing.
    pub outcome: Result<(), ClientError>,
}

/// A connection to a server, made when it is first needed and again when it was lost.
///
/// Dropping the future of any method cancels what it does: the connection is closed, the server
/// drops what was not complete, and the next call connects anew.
pub struct Client {}

impl Client {
    /// A client of the server at `address`. Does not connect yet.
    pub fn new(_address: ServerAddress, _options: ClientOptions) -> Self {
        todo!()
    }
    /// The server's address.
    pub fn address(&self) -> &ServerAddress {
        todo!()
    }
    /// Connects unless connected.
    pub async fn connect(&mut self) -> Result<(), ClientError> {
        todo!()
    }
    /// Whether there is a connection (as far as is known).
    pub fn is_connected(&self) -> bool {
        todo!()
    }
    /// What this client may do on the server, once it is connected.
    pub fn role(&self) -> Option<Role> {
        todo!()
    }
    /// The round-trip time.
    pub async fn ping(&mut self) -> Result<Duration, ClientError> {
        todo!()
    }
    /// What the server says of itself.
    pub async fn info(&mut self) -> Result<ServerInfo, ClientError> {
        todo!()
    }
    /// Lists, in order of names; `each` gets every item as it arrives.
    pub async fn list(
        &mut self,
        _query: &ListQuery,
        _each: &mut (dyn FnMut(Item) + Send),
    ) -> Result<(), ClientError> {
        todo!()
    }
    /// One file or folder.
    pub async fn stat(&mut self, _file: &FileRef) -> Result<Item, ClientError> {
        todo!()
    }
    /// Renames; never replaces.
    pub async fn rename(
        &mut self,
        _from: &FileRef,
        _to: &FileName,
        _precondition: Precondition,
        _dry_run: bool,
    ) -> Result<Item, ClientError> {
        todo!()
    }
    /// Removes a file, or with `recursive` a folder.
    pub async fn remove(
        &mut self,
        _file: &FileRef,
        _recursive: bool,
        _precondition: Precondition,
        _dry_run: bool,
    ) -> Result<Item, ClientError> {
        todo!()
    }
    /// Makes a folder and the missing ones above it.
    pub async fn make_folder(
        &mut self,
        _name: &FileName,
        _dry_run: bool,
    ) -> Result<(), ClientError> {
        todo!()
    }
    /// Uploads; every file is reported once. `Err` only when nothing could even be tried.
    pub async fn put(
        &mut self,
        _files: Vec<Upload>,
        _dry_run: bool,
        _progress: Arc<dyn Progress>,
        _report: &mut (dyn FnMut(FileReport) + Send),
    ) -> Result<(), ClientError> {
        todo!()
    }
    /// Downloads; every file is reported once.
    pub async fn get(
        &mut self,
        _files: Vec<Download>,
        _dry_run: bool,
        _progress: Arc<dyn Progress>,
        _report: &mut (dyn FnMut(FileReport) + Send),
    ) -> Result<(), ClientError> {
        todo!()
    }
    /// Compares local files below `local` with the server's below `query.folder`, by id, without transferring.
    pub async fn verify(
        &mut self,
        _query: &ListQuery,
        _local: &Path,
        _progress: Arc<dyn Progress>,
        _report: &mut (dyn FnMut(Verification) + Send),
    ) -> Result<(), ClientError> {
        todo!()
    }
}
