//! Which stored files were found damaged, in a small SQLite database that the server and a scrub
//! in another process share.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, params};

use super::database::open_private;
use super::error::IndexError;
use super::index::Row;
use super::inner::Inner;
use crate::disk::FileFacts;
use crate::types::{FileName, Timestamp};

/// How many damaged files are remembered; when there are more, the disk is what needs attention.
const REMEMBERED: u32 = 10_000;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS damaged (
        name        TEXT PRIMARY KEY,
        size        INTEGER NOT NULL,   -- bit pattern of a u64, as is inode
        seconds     INTEGER NOT NULL,
        nanoseconds INTEGER NOT NULL,
        inode       INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// The record of damage. A row counts as long as the very file is under its name: a file that was
/// replaced, removed or changed is not damaged any more.
pub(super) struct Damage {
    path: PathBuf,
    connection: Mutex<Option<Connection>>,
}

/// A file that was found damaged, and what it was then.
pub(super) struct Damaged {
    pub(super) name: FileName,
    size: u64,
    modified: Timestamp,
    inode: u64,
}

impl Damaged {
    pub(super) fn is(&self, facts: &FileFacts) -> bool {
        self.size == facts.size && self.modified == facts.modified && self.inode == facts.inode
    }
}

impl Damage {
    /// The record in the state folder, which need not be there.
    pub(super) fn in_folder(state: &Path) -> Self {
        Damage {
            path: state.join("damage.db"),
            connection: Mutex::new(None),
        }
    }

    /// Notes that a file is damaged.
    pub(super) fn mark(&self, row: &Row) -> Result<(), IndexError> {
        self.with(true, |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO damaged SELECT ?1, ?2, ?3, ?4, ?5
                     WHERE (SELECT count(*) FROM damaged) < ?6",
                )?
                .execute(params![
                    row.name.as_str(),
                    row.size.cast_signed(),
                    row.modified.seconds(),
                    row.modified.nanoseconds(),
                    row.inode.cast_signed(),
                    REMEMBERED,
                ])?;
            Ok(())
        })
        .map(|_| ())
    }

    /// Notes that a file is whole.
    pub(super) fn clear(&self, name: &FileName) -> Result<(), IndexError> {
        self.with(false, |connection| {
            connection
                .prepare_cached("DELETE FROM damaged WHERE name = ?1")?
                .execute([name.as_str()])?;
            Ok(())
        })
        .map(|_| ())
    }

    /// Notes that a file, or a folder with all that is in it, has another name.
    pub(super) fn renamed(&self, from: &FileName, to: &FileName) -> Result<(), IndexError> {
        // substr counts characters from 1.
        let kept = from.as_str().chars().count() as u32 + 1;
        self.with(false, |connection| {
            connection
                .prepare_cached(
                    "UPDATE OR REPLACE damaged SET name = ?2 || substr(name, ?3)
                     WHERE name = ?1 OR (name >= ?1 || '/' AND name < ?1 || '0')",
                )?
                .execute(params![from.as_str(), to.as_str(), kept])?;
            Ok(())
        })
        .map(|_| ())
    }

    /// All that is known, in order of names.
    pub(super) fn all(&self) -> Result<Vec<Damaged>, IndexError> {
        let rows = self.with(false, |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, size, seconds, nanoseconds, inode FROM damaged ORDER BY name",
            )?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let name: String = row.get(0)?;
                let modified = Timestamp::new(row.get(2)?, row.get(3)?);
                if let (Ok(name), Some(modified)) = (FileName::parse(&name), modified) {
                    found.push(Damaged {
                        name,
                        size: row.get::<_, i64>(1)?.cast_unsigned(),
                        modified,
                        inode: row.get::<_, i64>(4)?.cast_unsigned(),
                    });
                }
            }
            Ok(found)
        });
        Ok(rows?.unwrap_or_default())
    }

    /// Works on the database; `None` when there is none, which is only made when there is
    /// something to write into it.
    fn with<T>(
        &self,
        make: bool,
        work: impl FnOnce(&Connection) -> Result<T, IndexError>,
    ) -> Result<Option<T>, IndexError> {
        let mut kept = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let connection = match kept.take() {
            Some(connection) => connection,
            None if !make && !self.path.exists() => return Ok(None),
            None => connect(&self.path)?,
        };
        let outcome = work(&connection);
        match &outcome {
            Err(error) if error.is_damage() => {
                drop(connection);
                // A scrub finds it all again.
                let _ = std::fs::remove_file(&self.path);
            }
            _ => *kept = Some(connection),
        }
        outcome.map(Some)
    }
}

impl Inner {
    /// The files that are damaged as far as is known, in order of names.
    pub(super) fn damaged(&self) -> Vec<FileName> {
        let all = match self.damage.all() {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!("the record of damage cannot be read: {error}");
                return Vec::new();
            }
        };
        let still = |damaged: &Damaged| {
            let folder = self.open_folder(&damaged.name);
            folder.is_ok_and(|folder| {
                let facts = folder.facts(damaged.name.leaf());
                facts.is_ok_and(|facts| damaged.is(&facts))
            })
        };
        all.into_iter()
            .filter(still)
            .map(|damaged| damaged.name)
            .collect()
    }
}

fn connect(path: &Path) -> Result<Connection, IndexError> {
    let connection = open_private(path)?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}
