use super::{FileName, Timestamp};

/// A file that was replaced or removed and is kept in the server's trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The name that it had.
    pub name: FileName,
    /// Which one of those that had the name, from 1, the one that went last.
    pub version: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The time of its last change.
    pub modified: Timestamp,
    /// When it was replaced or removed.
    pub kept: Timestamp,
}

/// How a change was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    /// It had been added, and is gone; a file is kept in the trash.
    Removed,
    /// It had been replaced or removed, and is back.
    Restored,
    /// It had been renamed, and has its old name again.
    Renamed,
}
