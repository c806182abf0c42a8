use rusqlite::{Connection, params};

use super::rows::{beginning_below, end_below, text_of};
use super::{Row, Rows};
use crate::store::error::IndexError;
use crate::types::FileName;

/// How many files the index has, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store) struct Totals {
    pub(in crate::store) files: u64,
    pub(in crate::store) bytes: u64,
}

/// The one connection that changes the index. Changes are made between [`begin`](Self::begin) and
/// [`commit`](Self::commit); the questions that it answers meanwhile see them.
pub(in crate::store) struct Writer {
    connection: Connection,
    totals: Totals,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Result<Self, IndexError> {
        let mut writer = Writer {
            connection,
            totals: Totals::default(),
        };
        writer.read_totals()?;
        Ok(writer)
    }

    pub(in crate::store) fn rows(&self) -> Rows<'_> {
        Rows(&self.connection)
    }

    pub(in crate::store) fn totals(&self) -> Totals {
        self.totals
    }

    pub(in crate::store) fn begin(&mut self) -> Result<(), IndexError> {
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    pub(in crate::store) fn commit(&mut self) -> Result<(), IndexError> {
        self.connection
            .prepare_cached(
                "UPDATE totals SET files = ?1, bytes = ?2 WHERE (files, bytes) IS NOT (?1, ?2)",
            )?
            .execute([
                self.totals.files.cast_signed(),
                self.totals.bytes.cast_signed(),
            ])?;
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// Takes everything since `begin` back.
    pub(in crate::store) fn roll_back(&mut self) {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        let _ = self.read_totals();
    }

    /// Closes the file without an end to what was begun. Until another index takes this one's
    /// place, nothing can be asked of it.
    pub(in crate::store) fn abandon(&mut self) -> Result<(), IndexError> {
        self.connection = Connection::open_in_memory()?;
        Ok(())
    }

    /// Writes everything into the main file and closes.
    pub(in crate::store) fn close(self) -> Result<(), IndexError> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        self.connection.close().map_err(|(_, error)| error)?;
        Ok(())
    }

    /// Remembers a file, and the folders that it is in.
    pub(in crate::store) fn put_file(&mut self, row: &Row) -> Result<(), IndexError> {
        if let Some(old) = self.rows().file(&row.name)? {
            if old == *row {
                return Ok(());
            }
            self.less(1, old.size);
        }
        if let Some(folder) = row.name.folder() {
            self.put_folder(&folder)?;
        }
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                row.name.as_str(),
                text_of(row.name.folder().as_ref()),
                row.name.fold(),
                row.size.cast_signed(),
                row.modified.seconds(),
                row.modified.nanoseconds(),
                row.inode.cast_signed(),
                row.executable,
                row.id.as_ref().map(|id| id.bytes()),
                row.settled,
            ])?;
        self.totals.files += 1;
        self.totals.bytes = self.totals.bytes.saturating_add(row.size);
        Ok(())
    }

    /// Remembers a folder, and the folders that it is in.
    pub(in crate::store) fn put_folder(&mut self, path: &FileName) -> Result<(), IndexError> {
        let mut next = Some(path.clone());
        while let Some(path) = next {
            if self.rows().has_folder(&path)? {
                break;
            }
            next = path.folder();
            self.connection
                .prepare_cached("INSERT INTO folders VALUES (?1, ?2, ?3)")?
                .execute([path.as_str(), text_of(next.as_ref()), &path.fold()])?;
        }
        Ok(())
    }

    pub(in crate::store) fn forget_file(&mut self, name: &FileName) -> Result<(), IndexError> {
        if let Some(old) = self.rows().file(name)? {
            self.connection
                .prepare_cached("DELETE FROM files WHERE name = ?1")?
                .execute([name.as_str()])?;
            self.less(1, old.size);
        }
        Ok(())
    }

    /// Forgets a folder and all that is in it.
    pub(in crate::store) fn forget_folder(&mut self, path: &FileName) -> Result<(), IndexError> {
        if !self.rows().has_folder(path)? {
            return Ok(());
        }
        let below = [beginning_below(path), end_below(path)];
        let (files, bytes) = self.connection.query_row(
            "SELECT count(*), total(size) FROM files WHERE name >= ?1 AND name < ?2",
            [&below[0], &below[1]],
            |row| Ok((row.get::<_, u32>(0)?.into(), row.get::<_, f64>(1)? as u64)),
        )?;
        self.connection
            .prepare_cached("DELETE FROM files WHERE name >= ?1 AND name < ?2")?
            .execute([&below[0], &below[1]])?;
        self.connection
            .prepare_cached("DELETE FROM folders WHERE path = ?3 OR (path >= ?1 AND path < ?2)")?
            .execute([below[0].as_str(), &below[1], path.as_str()])?;
        self.connection
            .prepare_cached(
                "DELETE FROM lookalikes WHERE folder = ?3 OR (folder >= ?1 AND folder < ?2)",
            )?
            .execute([below[0].as_str(), &below[1], path.as_str()])?;
        self.less(files, bytes);
        Ok(())
    }

    /// Remembers what in a folder is not shared and must have no twin: the leaves and their folds.
    pub(in crate::store) fn set_lookalikes(
        &mut self,
        folder: Option<&FileName>,
        lookalikes: &[(String, String)],
    ) -> Result<(), IndexError> {
        let folder = text_of(folder);
        self.connection
            .prepare_cached("DELETE FROM lookalikes WHERE folder = ?1")?
            .execute([folder])?;
        let mut insert = self
            .connection
            .prepare_cached("INSERT OR REPLACE INTO lookalikes VALUES (?1, ?2, ?3)")?;
        for (leaf, fold) in lookalikes {
            insert.execute([folder, leaf, fold])?;
        }
        Ok(())
    }

    /// Forgets whatever has the name.
    pub(in crate::store) fn forget(&mut self, name: &FileName) -> Result<(), IndexError> {
        self.forget_file(name)?;
        self.forget_folder(name)
    }

    /// Gives a folder and all that is in it another name. Nothing may have that name.
    pub(in crate::store) fn move_folder(
        &mut self,
        from: &FileName,
        to: &FileName,
    ) -> Result<(), IndexError> {
        if let Some(parent) = to.folder() {
            self.put_folder(&parent)?;
        }
        // substr counts characters from 1. A fold is folded part by part, because a slash neither
        // folds nor composes with anything, so its beginning can be exchanged as well.
        let kept = from.as_str().chars().count() as u32 + 1;
        let fold_kept = from.fold().chars().count() as u32 + 1;
        let below = [beginning_below(from), end_below(from)];
        for (table, name, parent) in [("files", "name", "folder"), ("folders", "path", "parent")] {
            self.connection.execute(
                &format!(
                    "UPDATE {table} SET {name} = ?3 || substr({name}, ?4),
                     {parent} = ?3 || substr({parent}, ?4), fold = ?5 || substr(fold, ?6)
                     WHERE {name} >= ?1 AND {name} < ?2"
                ),
                params![below[0], below[1], to.as_str(), kept, to.fold(), fold_kept],
            )?;
        }
        self.connection.execute(
            "UPDATE OR REPLACE lookalikes SET folder = ?3 || substr(folder, ?4)
             WHERE folder = ?5 OR (folder >= ?1 AND folder < ?2)",
            params![below[0], below[1], to.as_str(), kept, from.as_str()],
        )?;
        self.connection
            .execute("DELETE FROM folders WHERE path = ?1", [from.as_str()])?;
        self.put_folder(to)
    }

    /// The length in bytes of the longest name in a folder, itself included.
    pub(in crate::store) fn longest_name_in(&self, path: &FileName) -> Result<usize, IndexError> {
        let below = [beginning_below(path), end_below(path)];
        let longest: Option<u32> = self.connection.query_row(
            "SELECT max(length) FROM (
                SELECT max(octet_length(name)) AS length FROM files WHERE name >= ?1 AND name < ?2
                UNION ALL
                SELECT max(octet_length(path)) FROM folders WHERE path >= ?1 AND path < ?2)",
            [&below[0], &below[1]],
            |row| row.get(0),
        )?;
        Ok((longest.unwrap_or(0) as usize).max(path.as_str().len()))
    }

    fn less(&mut self, files: u64, bytes: u64) {
        self.totals.files = self.totals.files.saturating_sub(files);
        self.totals.bytes = self.totals.bytes.saturating_sub(bytes);
    }

    fn read_totals(&mut self) -> Result<(), IndexError> {
        self.totals = self
            .connection
            .query_row("SELECT files, bytes FROM totals", [], |row| {
                Ok(Totals {
                    files: row.get::<_, i64>(0)?.cast_unsigned(),
                    bytes: row.get::<_, i64>(1)?.cast_unsigned(),
                })
            })?;
        Ok(())
    }
}
