use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::{IndexFile, Rows};
use crate::store::error::StoreError;

/// Connections kept open for the next reader.
const KEPT: usize = 8;

/// Connections that read the index while its one writer goes on.
pub(in crate::store) struct Readers {
    file: IndexFile,
    /// Whether somebody found the present index damaged.
    damaged: AtomicBool,
    // No await and no I/O while it is held. The number tells connections to an index that was
    // replaced since from those to the present one.
    pool: Mutex<(u64, Vec<Connection>)>,
}

impl Readers {
    pub(in crate::store) fn new(file: IndexFile) -> Self {
        Readers {
            file,
            damaged: AtomicBool::new(false),
            pool: Mutex::new((0, Vec::new())),
        }
    }

    /// Lets `question` read the index, as it was after some commit.
    pub(in crate::store) fn read<T>(
        &self,
        question: impl FnOnce(Rows<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (generation, kept) = {
            let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            (pool.0, pool.1.pop())
        };
        let connection = match kept {
            Some(connection) => connection,
            None => self.file.open_for_reading()?,
        };
        let answer = question(Rows(&connection));
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.0 == generation {
            if matches!(&answer, Err(StoreError::Index(error)) if error.is_damage()) {
                self.damaged.store(true, Ordering::Release);
            }
            if pool.1.len() < KEPT {
                pool.1.push(connection);
            }
        }
        answer
    }

    /// Closes the connections that are not in use, and those in use once they are not.
    pub(in crate::store) fn renew(&self) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.0 += 1;
        self.damaged.store(false, Ordering::Release);
        pool.1.clear();
    }

    /// Whether somebody found the present index damaged.
    pub(in crate::store) fn found_damage(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// The file that is read.
    pub(in crate::store) fn file(&self) -> &IndexFile {
        &self.file
    }
}
