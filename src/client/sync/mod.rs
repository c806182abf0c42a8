//! Making a local folder like one of the server's, or the other way round: what is there on both
//! sides, what is to be done, and doing it.

mod attic;
mod carry;
mod moved;
mod plan;
mod read;
mod side;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use super::{Client, ClientError, FileReport, Skipped, WalkOptions};
use crate::transfer::Progress;
use crate::types::FileName;

/// Which folders to make alike, and how ([`Client::sync`]).
#[derive(Debug, Clone)]
pub struct Sync {
    /// Which side is made like the other.
    pub direction: Direction,
    /// The local folder.
    pub local: PathBuf,
    /// The server's folder; `None` is the root.
    pub remote: Option<FileName>,
    /// What of both is meant. Whatever is not is left alone on both sides.
    pub walk: WalkOptions,
    /// Files of one size are read and compared, whatever their times say.
    pub checksum: bool,
    /// What the source does not have is removed.
    pub delete: bool,
    /// If more would be removed than this, nothing is done.
    pub max_delete: Option<u64>,
    /// Check everything, change nothing.
    pub dry_run: bool,
}

/// Which side is made like the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The server's folder is made like the local one.
    Up,
    /// The local folder is made like the server's.
    Down,
}

/// What a sync has done, or would do.
#[derive(Debug)]
pub enum SyncReport {
    /// A file was transferred, or could not be.
    File(FileReport),
    /// An empty folder was made.
    Made {
        /// Its name on the server.
        name: FileName,
        /// Whether it is there now.
        outcome: Result<(), ClientError>,
    },
    /// A file or an empty folder was removed.
    Removed {
        /// Its name on the server, or what that would be.
        name: FileName,
        /// The local file, if it was one.
        path: Option<PathBuf>,
        /// Its size; `None` for a folder.
        size: Option<u64>,
        /// Whether it is kept in a trash.
        outcome: Result<bool, ClientError>,
    },
    /// Something local is not sent.
    Skipped(Skipped),
}

/// What a sync came to, besides what was reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncSummary {
    /// How many files were there already, and were not even looked at more closely, …
    pub equal: u64,
    /// … and how many bytes these have.
    pub equal_bytes: u64,
    /// How many bytes of file content crossed the wire.
    pub sent: u64,
    /// How many files and folders were not removed because something else had failed.
    pub spared: u64,
    /// Where the local files are that were removed.
    pub trash: Option<PathBuf>,
}

impl Client {
    /// Makes one folder like another one. `report` hears of everything that is done, or would be in
    /// a dry run; of what is equal only the summary tells. `Err` when nothing was done.
    ///
    /// A file that has changed on the destination since it was looked at is left alone, and fails.
    /// Nothing that the source does not have is removed when anything has failed.
    pub async fn sync(
        &mut self,
        sync: &Sync,
        progress: Arc<dyn Progress>,
        report: &mut (dyn FnMut(SyncReport) + Send),
    ) -> Result<SyncSummary, ClientError> {
        carry::carry_out(self, sync, progress, report).await
    }
}
