//! What server and client both do to disks.
//!
//! Everything below a shared folder is reached through a [`Folder`], an open directory handle:
//! no path is ever made by joining a name to a string, symbolic links are never followed, and
//! other file systems mounted below are never entered. All of it blocks; callers on an async
//! runtime use threads.

mod document;
mod facts;
mod folder;
mod lock;
mod permissions;
mod removal;
mod staged;
mod walk;

#[cfg(test)]
mod tests;

pub use document::Document;
pub use facts::{FileFacts, FileKind};
pub use folder::{Folder, Replace};
pub use lock::{FileLock, LockError};
pub use permissions::remember_umask;
pub use removal::{Contents, contents, remove_tree};
pub use staged::{PublishError, StagedFile};
pub use walk::{FolderListing, LeftOut, Lookalike, Walk};
