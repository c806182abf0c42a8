//! What users changed, so that `undo` can take it back: commands and their changes, in an SQLite
//! database of its own. It survives a lost index; losing it costs what could be taken back, and
//! nothing else.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::cause::Cause;
use super::database::open_private;
use super::error::IndexError;
use super::trash::When;
use crate::disk::{FileFacts, FileKind};
use crate::types::{FileName, Timestamp};

/// How many commands of one user can be taken back.
const COMMANDS: u32 = 32;

/// How many changes are remembered, of all users together, …
const CHANGES: u64 = 1_000_000;

/// … and how many of the oldest are forgotten at a time when there are more.
const FORGOTTEN: u32 = 10_000;

/// Counted up whenever the tables change their shape; a journal of another version is made anew.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE commands (
        id     INTEGER PRIMARY KEY AUTOINCREMENT,
        owner  TEXT NOT NULL,           -- '' is everybody without an account
        number INTEGER NOT NULL,        -- bit pattern of a u64, as are size and inode
        UNIQUE (owner, number)
    ) STRICT;
    CREATE TABLE changes (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        command     INTEGER NOT NULL,
        kind        INTEGER NOT NULL,
        name        TEXT NOT NULL,
        before      TEXT,               -- the name before a rename
        kept        TEXT,               -- where in the trash it is
        size        INTEGER,            -- what the command left there
        seconds     INTEGER,
        nanoseconds INTEGER,
        inode       INTEGER
    ) STRICT;
    CREATE INDEX changes_by_command ON changes (command, id);
";

/// One change that a command made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) kind: Kind,
    /// The name after the change.
    pub(super) name: FileName,
    /// The name before a rename.
    pub(super) before: Option<FileName>,
    /// When what was replaced or removed came into the trash; `None` when it did not.
    pub(super) kept: Option<When>,
    /// What stood under the name after the change.
    pub(super) left: Option<Left>,
}

/// What a change was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Added = 1,
    Replaced = 2,
    RemovedFile = 3,
    RemovedFolder = 4,
    Renamed = 5,
    MadeFolder = 6,
    UnmadeFolder = 7,
}

/// What tells a file or folder from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    size: u64,
    modified: Timestamp,
    inode: u64,
}

impl Change {
    pub(super) fn new(kind: Kind, name: &FileName) -> Self {
        Change {
            kind,
            name: name.clone(),
            before: None,
            kept: None,
            left: None,
        }
    }
}

impl From<&FileFacts> for Left {
    fn from(facts: &FileFacts) -> Self {
        Left {
            size: facts.size,
            modified: facts.modified,
            inode: facts.inode,
        }
    }
}

impl Left {
    /// Whether this is still what stands there. A folder is the same whatever became of what is
    /// in it.
    pub(super) fn is(&self, facts: &FileFacts) -> bool {
        self.inode == facts.inode
            && (facts.kind == FileKind::Folder
                || (self.size == facts.size && self.modified == facts.modified))
    }
}

/// A command that is being taken back, and up to where that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndoCursor {
    command: i64,
    before: i64,
}

/// The journal, for the one thread that writes it. No failure of it fails a change: it is told in
/// the log, and the journal is made anew.
pub(super) struct Journal {
    path: PathBuf,
    connection: Option<Connection>,
    /// Whether a transaction is open.
    open: bool,
    /// How many changes there are.
    changes: u64,
    /// The command that was written last.
    last: Option<(Cause, i64)>,
    /// Whether a change could not be written down. What is before it must not be taken for the last
    /// command, so it is forgotten as soon as something can be written again.
    incomplete: bool,
}

impl Journal {
    /// Opens the journal in the state folder, making it anew when it is missing or damaged.
    pub(super) fn open(state: &Path) -> Self {
        let mut journal = Journal {
            path: state.join("undo.db"),
            connection: None,
            open: false,
            changes: 0,
            last: None,
            incomplete: false,
        };
        let opened = connect(&journal.path).and_then(|connection| {
            let changes = check(&connection)?;
            Ok((connection, changes))
        });
        match opened {
            Ok((connection, changes)) => {
                journal.connection = Some(connection);
                journal.changes = changes;
            }
            Err(error) => journal.replace(&error),
        }
        journal
    }

    /// Writes down a change, within the batch.
    pub(super) fn record(&mut self, cause: &Cause, change: &Change) {
        self.write(|journal, connection| {
            let command = match &journal.last {
                Some((last, command)) if last == cause => *command,
                _ => command_of(connection, cause)?,
            };
            journal.last = Some((cause.clone(), command));
            insert(connection, command, change)?;
            journal.changes += 1;
            if journal.changes > CHANGES {
                journal.changes -= forget_oldest(connection)?;
                journal.last = None;
            }
            Ok(())
        });
    }

    /// The next changes to take back of a command, the last one first; without a cursor, of the
    /// owner's last command. Each comes with the cursor behind it.
    pub(super) fn last_changes(
        &mut self,
        owner: Option<&str>,
        from: Option<UndoCursor>,
        limit: u32,
    ) -> Vec<(UndoCursor, Change)> {
        let mut found = Vec::new();
        self.write(|_, connection| {
            let from = match from {
                Some(from) => Some(from),
                None => last_command(connection, owner)?,
            };
            if let Some(from) = from {
                found = changes_before(connection, from, limit)?;
            }
            Ok(())
        });
        found
    }

    /// Forgets a change that was taken back, and its command with the last one.
    pub(super) fn forget(&mut self, at: UndoCursor) {
        self.write(|journal, connection| {
            let gone = connection
                .prepare_cached("DELETE FROM changes WHERE id = ?1")?
                .execute([at.before])?;
            journal.changes = journal.changes.saturating_sub(gone as u64);
            let ended = connection
                .prepare_cached(
                    "DELETE FROM commands WHERE id = ?1
                     AND NOT EXISTS (SELECT 1 FROM changes WHERE command = ?1)",
                )?
                .execute([at.command])?;
            if ended > 0 {
                journal.last = None;
            }
            Ok(())
        });
    }

    /// Ends a batch. Unlike the index, this is synced: it cannot be made anew from the folder, and
    /// without its end another command would be taken for the last one.
    pub(super) fn commit(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        if let Some(connection) = &self.connection
            && let Err(error) = connection.execute_batch("COMMIT")
        {
            self.failed(&error.into());
        }
    }

    /// Writes everything into the main file and closes.
    pub(super) fn close(mut self) {
        self.commit();
        if let Some(connection) = self.connection.take() {
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }

    fn write(&mut self, work: impl FnOnce(&mut Journal, &Connection) -> Result<(), IndexError>) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let begun = match self.open {
            true => Ok(()),
            false => connection
                .execute_batch("BEGIN IMMEDIATE")
                .map_err(IndexError::from),
        };
        let outcome = begun.and_then(|()| {
            self.open = true;
            if std::mem::take(&mut self.incomplete) {
                connection.execute_batch("DELETE FROM changes; DELETE FROM commands")?;
                self.changes = 0;
            }
            work(self, &connection)
        });
        self.connection = Some(connection);
        if let Err(error) = outcome {
            self.failed(&error);
        }
    }

    fn failed(&mut self, error: &IndexError) {
        self.open = false;
        self.last = None;
        self.incomplete = true;
        if error.is_damage() {
            return self.replace(error);
        }
        tracing::warn!("what was changed cannot be taken back: the journal says: {error}");
        if let Some(connection) = &self.connection
            && !connection.is_autocommit()
        {
            let _ = connection.execute_batch("ROLLBACK");
        }
    }

    fn replace(&mut self, error: &IndexError) {
        tracing::warn!(
            "the journal of changes is made anew, earlier ones cannot be undone: {error}"
        );
        self.connection = None;
        self.open = false;
        self.changes = 0;
        // Kept for whoever wants to know what happened; only the latest one.
        if std::fs::rename(&self.path, self.path.with_extension("damaged")).is_err() {
            let _ = std::fs::remove_file(&self.path);
        }
        for suffix in ["-wal", "-shm", "-journal"] {
            let mut path = self.path.clone().into_os_string();
            path.push(suffix);
            let _ = std::fs::remove_file(path);
        }
        match connect(&self.path) {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => tracing::error!("nothing can be undone, there is no journal: {error}"),
        }
    }
}

fn connect(path: &Path) -> Result<Connection, IndexError> {
    let connection = open_private(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == 0 {
        connection.execute_batch(&format!(
            "BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
    }
    Ok(connection)
}

/// Makes sure that the journal can be used, and counts its changes.
fn check(connection: &Connection) -> Result<u64, IndexError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if version != VERSION || sound != "ok" {
        return Err(strange(0).into());
    }
    let changes: u32 =
        connection.query_row("SELECT count(*) FROM changes", [], |row| row.get(0))?;
    Ok(changes.into())
}

fn command_of(connection: &Connection, cause: &Cause) -> Result<i64, IndexError> {
    let owner = cause.owner.as_deref().unwrap_or_default();
    let number = cause.command.cast_signed();
    let known = connection
        .prepare_cached("SELECT id FROM commands WHERE owner = ?1 AND number = ?2")?
        .query_row(params![owner, number], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    connection
        .prepare_cached("INSERT INTO commands (owner, number) VALUES (?1, ?2)")?
        .execute(params![owner, number])?;
    let command = connection.last_insert_rowid();
    let too_old = "SELECT id FROM commands WHERE owner = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2";
    connection
        .prepare_cached(&format!("DELETE FROM changes WHERE command IN ({too_old})"))?
        .execute(params![owner, COMMANDS])?;
    connection
        .prepare_cached(&format!("DELETE FROM commands WHERE id IN ({too_old})"))?
        .execute(params![owner, COMMANDS])?;
    Ok(command)
}

fn insert(connection: &Connection, command: i64, change: &Change) -> Result<(), IndexError> {
    connection
        .prepare_cached(
            "INSERT INTO changes
             (command, kind, name, before, kept, size, seconds, nanoseconds, inode)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            command,
            change.kind as i64,
            change.name.as_str(),
            change.before.as_ref().map(FileName::as_str),
            change.kept.map(When::leaf),
            change.left.map(|left| left.size.cast_signed()),
            change.left.map(|left| left.modified.seconds()),
            change.left.map(|left| left.modified.nanoseconds()),
            change.left.map(|left| left.inode.cast_signed()),
        ])?;
    Ok(())
}

/// Tells how many were forgotten.
fn forget_oldest(connection: &Connection) -> Result<u64, IndexError> {
    let gone = connection.execute(
        "DELETE FROM changes WHERE id IN (SELECT id FROM changes ORDER BY id LIMIT ?1)",
        [FORGOTTEN],
    )?;
    connection.execute(
        "DELETE FROM commands WHERE NOT EXISTS
         (SELECT 1 FROM changes WHERE command = commands.id)",
        [],
    )?;
    Ok(gone as u64)
}

/// The owner's command that changed something last.
fn last_command(
    connection: &Connection,
    owner: Option<&str>,
) -> Result<Option<UndoCursor>, IndexError> {
    let command = connection
        .prepare_cached(
            "SELECT id, (SELECT max(id) FROM changes WHERE command = commands.id) AS last
             FROM commands WHERE owner = ?1 AND last IS NOT NULL ORDER BY last DESC LIMIT 1",
        )?
        .query_row([owner.unwrap_or_default()], |row| row.get(0))
        .optional()?;
    Ok(command.map(|command| UndoCursor {
        command,
        before: i64::MAX,
    }))
}

fn changes_before(
    connection: &Connection,
    from: UndoCursor,
    limit: u32,
) -> Result<Vec<(UndoCursor, Change)>, IndexError> {
    let changes = connection
        .prepare_cached(
            "SELECT id, kind, name, before, kept, size, seconds, nanoseconds, inode FROM changes
             WHERE command = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
        )?
        .query_map(params![from.command, from.before, limit], |row| {
            let cursor = UndoCursor {
                command: from.command,
                before: row.get(0)?,
            };
            Ok((cursor, read(row)?))
        })?
        .collect::<Result<_, _>>()?;
    Ok(changes)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Change> {
    let name = |column: usize| {
        let text: Option<String> = row.get(column)?;
        text.map(|text| FileName::parse(&text).map_err(|_| strange(column)))
            .transpose()
    };
    let kind = match row.get::<_, i64>(1)? {
        1 => Kind::Added,
        2 => Kind::Replaced,
        3 => Kind::RemovedFile,
        4 => Kind::RemovedFolder,
        5 => Kind::Renamed,
        6 => Kind::MadeFolder,
        7 => Kind::UnmadeFolder,
        _ => return Err(strange(1)),
    };
    let kept: Option<String> = row.get(4)?;
    let left = match (row.get::<_, Option<i64>>(5)?, row.get::<_, Option<i64>>(8)?) {
        (Some(size), Some(inode)) => Some(Left {
            size: size.cast_unsigned(),
            modified: Timestamp::new(row.get(6)?, row.get(7)?).ok_or_else(|| strange(6))?,
            inode: inode.cast_unsigned(),
        }),
        _ => None,
    };
    Ok(Change {
        kind,
        name: name(2)?.ok_or_else(|| strange(2))?,
        before: name(3)?,
        kept: kept
            .map(|kept| When::parse(&kept).ok_or_else(|| strange(4)))
            .transpose()?,
        left,
    })
}

/// The error for a value that this program never writes; it counts as damage.
fn strange(column: usize) -> rusqlite::Error {
    let what = "a damaged row".into();
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Null, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_gap_nothing_older_is_taken_for_the_last_command() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path());
        let change = Change::new(Kind::Added, &FileName::parse("a").unwrap());
        let cause = |command| Cause {
            owner: None,
            command,
        };
        journal.record(&cause(1), &change);
        journal.commit();
        assert_eq!(journal.last_changes(None, None, 10).len(), 1);
        journal.commit();
        // The disk is full when the second command is written down.
        let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        journal.failed(&rusqlite::Error::SqliteFailure(full, None).into());
        assert_eq!(journal.last_changes(None, None, 10), []);
        journal.record(&cause(3), &change);
        journal.commit();
        assert_eq!(journal.last_changes(None, None, 10).len(), 1);
    }
}
