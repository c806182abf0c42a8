//! What the store remembers of its files: an SQLite database that can be made anew from the
//! folder at any time.

mod changes;
mod readers;
mod rows;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::error::IndexError;

pub(super) use changes::{Totals, Writer};
pub(super) use readers::Readers;
pub(super) use rows::{NameRange, Row, Rows, beginning_below, end_below};

/// Whether the store remembered anything when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// The index of an earlier run was there.
    Opened,
    /// The folder is served for the first time.
    Created,
    /// The folder was served before, but the index is missing or was damaged: what the files' ids
    /// were when they were stored is forgotten, and they are hashed again.
    Lost,
}

/// Counted up whenever the tables change their shape; an index of another version is made anew.
const VERSION: i64 = 2;

/// Up to this size the whole file is checked when it is opened, which takes a fraction of a
/// second. A larger one is checked as it is read.
const CHECKED_BYTES: u64 = 64 * 1024 * 1024;

const TABLES: &str = "
    CREATE TABLE files (
        name          TEXT PRIMARY KEY,
        folder        TEXT NOT NULL,     -- '' is the root
        fold          TEXT NOT NULL,     -- equal for names that differ only in case or form
        size          INTEGER NOT NULL,  -- bit pattern of a u64, as is inode
        mtime_seconds INTEGER NOT NULL,
        mtime_nanos   INTEGER NOT NULL,
        inode         INTEGER NOT NULL,
        executable    INTEGER NOT NULL,
        id            BLOB,              -- NULL until the file is hashed
        settled       INTEGER NOT NULL   -- 0: the id may have been overtaken, hash again
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX files_by_folder ON files (folder);
    CREATE INDEX files_by_fold ON files (fold);
    CREATE INDEX files_by_id ON files (id) WHERE id IS NOT NULL;
    CREATE INDEX files_unhashed ON files (name, size) WHERE id IS NULL;
    CREATE INDEX files_unsettled ON files (name) WHERE id IS NOT NULL AND settled = 0;
    CREATE TABLE folders (
        path   TEXT PRIMARY KEY,
        parent TEXT NOT NULL,
        fold   TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX folders_by_parent ON folders (parent);
    CREATE INDEX folders_by_fold ON folders (fold);
    CREATE TABLE lookalikes (            -- what is not shared and must have no twin either
        folder TEXT NOT NULL,
        leaf   TEXT NOT NULL,            -- as the disk has it, perhaps in another Unicode form
        fold   TEXT NOT NULL,            -- of the leaf alone
        PRIMARY KEY (folder, leaf)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX lookalikes_by_fold ON lookalikes (folder, fold);
    CREATE TABLE totals (files INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
    INSERT INTO totals VALUES (0, 0);
";

/// The index's file in the state folder.
#[derive(Debug, Clone)]
pub(super) struct IndexFile(PathBuf);

impl IndexFile {
    pub(super) fn in_folder(state: &Path) -> Self {
        IndexFile(state.join("index.sqlite"))
    }

    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.0.exists()
    }

    /// Opens the index for the one thread that writes it, making it anew when it is missing or
    /// damaged. `served_before` tells which of the two a missing one means.
    pub(super) fn open(&self, served_before: bool) -> Result<(Writer, IndexState), IndexError> {
        let missing = if served_before {
            IndexState::Lost
        } else {
            IndexState::Created
        };
        if !self.0.exists() {
            self.discard();
            return Ok((Writer::new(self.create()?)?, missing));
        }
        match self.open_existing() {
            Ok(Some(writer)) => Ok((writer, IndexState::Opened)),
            Ok(None) => Ok((self.replace()?, IndexState::Lost)),
            Err(error) if error.is_damage() => Ok((self.replace()?, IndexState::Lost)),
            Err(error) => Err(error),
        }
    }

    /// Makes an empty index in the place of a damaged one.
    pub(super) fn replace(&self) -> Result<Writer, IndexError> {
        // Kept for whoever wants to know what happened; only the latest one.
        let aside = self.0.with_extension("damaged");
        if std::fs::rename(&self.0, &aside).is_err() {
            let _ = std::fs::remove_file(&self.0);
        }
        self.discard();
        Writer::new(self.create()?)
    }

    pub(super) fn open_for_reading(&self) -> Result<Connection, IndexError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags)?;
        configure(&connection)?;
        Ok(connection)
    }

    /// `None` when it is sound but of another version.
    fn open_existing(&self) -> Result<Option<Writer>, IndexError> {
        let connection = self.connect()?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version != VERSION {
            return Ok(None);
        }
        let size = std::fs::metadata(&self.0).map_or(0, |metadata| metadata.len());
        if size <= CHECKED_BYTES {
            let found: String =
                connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            if found != "ok" {
                return Ok(None);
            }
        }
        Ok(Some(Writer::new(connection)?))
    }

    fn create(&self) -> Result<Connection, IndexError> {
        let connection = self.connect()?;
        connection.execute_batch(&format!(
            "BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
        Ok(connection)
    }

    fn connect(&self) -> Result<Connection, IndexError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags)?;
        configure(&connection)?;
        // NORMAL: a power cut may cost the last changes but never the soundness of the file, and
        // what is lost is found in the folder again.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(connection)
    }

    /// Removes what belongs to an index file that is gone.
    fn discard(&self) {
        for suffix in ["-wal", "-shm", "-journal"] {
            let mut path = self.0.clone().into_os_string();
            path.push(suffix);
            let _ = std::fs::remove_file(path);
        }
    }
}

fn configure(connection: &Connection) -> Result<(), IndexError> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(64);
    // Never a file in /tmp: a server may be confined to its own folders.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}
