use std::fs::{File, Metadata};
use std::io;

use super::permissions;
use crate::types::Timestamp;

/// What kind of thing stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, wherever it leads.
    Link,
    /// A FIFO, a socket or a device.
    Special,
}

/// What a file system says of one file, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// What it is.
    pub kind: FileKind,
    /// Size in bytes.
    pub size: u64,
    /// The time of the last change of the content.
    pub modified: Timestamp,
    /// The number of the file in its file system; 0 where the system has none.
    pub inode: u64,
    /// The number of the file system; 0 where the system has none.
    pub device: u64,
    /// Whether the owner may execute it.
    pub executable: bool,
}

impl FileFacts {
    /// The facts of an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        Self::from_std(&file.metadata()?)
    }

    /// The facts that a look by path has found.
    pub fn from_std(metadata: &Metadata) -> io::Result<Self> {
        let kind = match metadata.file_type() {
            t if t.is_file() => FileKind::File,
            t if t.is_dir() => FileKind::Folder,
            t if t.is_symlink() => FileKind::Link,
            _ => FileKind::Special,
        };
        #[cfg(unix)]
        let (inode, device, executable) = {
            use std::os::unix::fs::MetadataExt;
            (
                metadata.ino(),
                metadata.dev(),
                metadata.mode() & 0o100 != 0 && kind == FileKind::File,
            )
        };
        #[cfg(not(unix))]
        let (inode, device, executable) = (0, 0, false);
        Ok(FileFacts {
            kind,
            size: metadata.len(),
            modified: metadata.modified()?.into(),
            inode,
            device,
            executable,
        })
    }

    /// The same from a handle-relative look at a name.
    pub(super) fn from_metadata(metadata: &cap_std::fs::Metadata) -> io::Result<Self> {
        let kind = match metadata.file_type() {
            t if t.is_file() => FileKind::File,
            t if t.is_dir() => FileKind::Folder,
            t if t.is_symlink() => FileKind::Link,
            _ => FileKind::Special,
        };
        #[cfg(unix)]
        let (inode, device, executable) = {
            use cap_std::fs::MetadataExt;
            (
                metadata.ino(),
                metadata.dev(),
                metadata.mode() & 0o100 != 0 && kind == FileKind::File,
            )
        };
        #[cfg(not(unix))]
        let (inode, device, executable) = (0, 0, false);
        Ok(FileFacts {
            kind,
            size: metadata.len(),
            modified: metadata.modified()?.into_std().into(),
            inode,
            device,
            executable,
        })
    }

    /// Gives an open file the time of change and the executable bit that are wanted, where these
    /// facts of it differ.
    pub fn adapt(&self, file: &File, modified: Timestamp, executable: bool) -> io::Result<()> {
        if self.executable != executable {
            permissions::set_executable(file, executable)?;
        }
        if self.modified != modified {
            file.set_modified(modified.into())?;
        }
        Ok(())
    }

    /// Whether both are facts of one unchanged regular file: size, time of change to the
    /// nanosecond and inode agree. Never ctime: a backup, a link or a chmod changes that one.
    pub fn same_file(&self, other: &FileFacts) -> bool {
        self.kind == FileKind::File
            && other.kind == FileKind::File
            && self.size == other.size
            && self.modified == other.modified
            && self.inode == other.inode
    }
}
