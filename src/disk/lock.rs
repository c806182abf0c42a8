use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};

use super::Folder;

/// A lock file that this process holds until the value is dropped or the process dies, however it
/// dies. The file itself stays: removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another process holds the lock")]
    Held {
        /// The process that holds it, as it said itself.
        pid: Option<u32>,
    },
    /// The file cannot be opened or written.
    #[error("the lock file cannot be used")]
    Io(#[from] io::Error),
}

impl FileLock {
    /// Looks whether another process holds the lock, without taking it from anybody for longer than
    /// an instant. Whoever acquires it in that very instant has to try again.
    pub fn probe(folder: &Folder, leaf: &str) -> Result<(), LockError> {
        let (file, _) = match folder.open_file(leaf) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(LockError::Held { pid: None }),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Locks the file `leaf` in `folder`, or fails at once, and writes this process's number into
    /// it for whoever comes second.
    pub fn acquire(folder: &Folder, leaf: &str) -> Result<Self, LockError> {
        let mut file = folder.open_or_create_file(leaf)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Bounded, and only for the message: whatever cannot be read is left unsaid.
                let _ = (&mut file).take(32).read_to_string(&mut text);
                return Err(LockError::Held {
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(FileLock { _file: file })
    }
}
