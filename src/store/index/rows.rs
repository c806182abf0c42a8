use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params};

use crate::disk::FileFacts;
use crate::types::{Digest, Entry, FileName, Timestamp};

/// What the index says of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Row {
    pub(in crate::store) name: FileName,
    pub(in crate::store) size: u64,
    pub(in crate::store) modified: Timestamp,
    pub(in crate::store) inode: u64,
    pub(in crate::store) executable: bool,
    pub(in crate::store) id: Option<Digest>,
    /// Whether the id can be relied upon while the facts stay the same.
    pub(in crate::store) settled: bool,
}

impl Row {
    pub(in crate::store) fn new(
        name: FileName,
        facts: &FileFacts,
        id: Option<Digest>,
        settled: bool,
    ) -> Self {
        Row {
            name,
            size: facts.size,
            modified: facts.modified,
            inode: facts.inode,
            executable: facts.executable,
            id,
            settled,
        }
    }

    /// Whether the file with these facts is the one that the row is about.
    pub(in crate::store) fn describes(&self, facts: &FileFacts) -> bool {
        self.size == facts.size && self.modified == facts.modified && self.inode == facts.inode
    }

    /// Whether both rows are about one unchanged file, whatever is known of it.
    pub(in crate::store) fn is_about_same_file(&self, other: &Row) -> bool {
        self.size == other.size && self.modified == other.modified && self.inode == other.inode
    }

    /// The id, when it can be relied upon.
    pub(in crate::store) fn trusted_id(&self) -> Option<Digest> {
        self.id.filter(|_| self.settled)
    }

    pub(in crate::store) fn into_entry(self) -> Entry {
        Entry {
            name: self.name,
            id: self.id,
            size: self.size,
            modified: self.modified,
            executable: self.executable,
        }
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let modified = Timestamp::new(row.get(2)?, row.get(3)?).ok_or_else(|| strange(2))?;
        let id = row
            .get_ref(6)?
            .as_blob_or_null()
            .map_err(|_| strange(6))?
            .map(|bytes| bytes.try_into().map(Digest::Md5).map_err(|_| strange(6)))
            .transpose()?;
        Ok(Row {
            name: read_name(row, 0)?,
            size: row.get::<_, i64>(1)?.cast_unsigned(),
            modified,
            inode: row.get::<_, i64>(4)?.cast_unsigned(),
            executable: row.get(5)?,
            id,
            settled: row.get(7)?,
        })
    }
}

const COLUMNS: &str = "name, size, mtime_seconds, mtime_nanos, inode, executable, id, settled";

/// Questions to the index; the same for readers and, within its transaction, for the writer.
#[derive(Clone, Copy)]
pub(in crate::store) struct Rows<'c>(pub(super) &'c Connection);

impl Rows<'_> {
    pub(in crate::store) fn file(&self, name: &FileName) -> rusqlite::Result<Option<Row>> {
        self.0
            .prepare_cached(&format!("SELECT {COLUMNS} FROM files WHERE name = ?1"))?
            .query_row([name.as_str()], Row::read)
            .optional()
    }

    pub(in crate::store) fn has_folder(&self, path: &FileName) -> rusqlite::Result<bool> {
        self.0
            .prepare_cached("SELECT 1 FROM folders WHERE path = ?1")?
            .exists([path.as_str()])
    }

    /// The first other name, of a file or a folder, that differs only in case or form.
    pub(in crate::store) fn twin(&self, name: &FileName) -> rusqlite::Result<Option<FileName>> {
        self.0
            .prepare_cached(
                "SELECT name FROM files WHERE fold = ?1 AND name <> ?2
                 UNION ALL SELECT path FROM folders WHERE fold = ?1 AND path <> ?2
                 ORDER BY 1 LIMIT 1",
            )?
            .query_row([name.fold().as_str(), name.as_str()], |row| {
                read_name(row, 0)
            })
            .optional()
    }

    /// What in a folder, not shared itself, differs from a name with this fold only in case or
    /// form: what the disk calls it.
    pub(in crate::store) fn lookalikes_of(
        &self,
        folder: Option<&FileName>,
        fold: &str,
    ) -> rusqlite::Result<Vec<String>> {
        self.0
            .prepare_cached("SELECT leaf FROM lookalikes WHERE folder = ?1 AND fold = ?2")?
            .query_map([text_of(folder), fold], |row| row.get(0))?
            .collect()
    }

    /// All of them in a folder, in byte order.
    pub(in crate::store) fn lookalikes_in(
        &self,
        folder: Option<&FileName>,
    ) -> rusqlite::Result<Vec<String>> {
        self.0
            .prepare_cached("SELECT leaf FROM lookalikes WHERE folder = ?1 ORDER BY leaf")?
            .query_map([text_of(folder)], |row| row.get(0))?
            .collect()
    }

    /// The files directly in a folder, in byte order.
    pub(in crate::store) fn files_in(
        &self,
        folder: Option<&FileName>,
    ) -> rusqlite::Result<Vec<Row>> {
        self.collect(
            &format!("SELECT {COLUMNS} FROM files WHERE folder = ?1 ORDER BY name"),
            [text_of(folder)],
        )
    }

    /// The folders directly in a folder, in byte order.
    pub(in crate::store) fn folders_in(
        &self,
        folder: Option<&FileName>,
    ) -> rusqlite::Result<Vec<FileName>> {
        self.0
            .prepare_cached("SELECT path FROM folders WHERE parent = ?1 ORDER BY path")?
            .query_map([text_of(folder)], |row| read_name(row, 0))?
            .collect()
    }

    /// The first files whose ids lie between two, by id and name.
    pub(in crate::store) fn files_with_id(
        &self,
        (low, high): (Digest, Digest),
        limit: u32,
    ) -> rusqlite::Result<Vec<Row>> {
        self.collect(
            &format!(
                "SELECT {COLUMNS} FROM files WHERE id IS NOT NULL AND id BETWEEN ?1 AND ?2
                 ORDER BY id, name LIMIT ?3"
            ),
            (low.bytes(), high.bytes(), limit),
        )
    }

    /// The first files after `after` that have no id yet.
    pub(in crate::store) fn unhashed(&self, after: &str, limit: u32) -> rusqlite::Result<Vec<Row>> {
        self.collect(
            &format!(
                "SELECT {COLUMNS} FROM files WHERE id IS NULL AND name > ?1
                 ORDER BY name LIMIT ?2"
            ),
            (after, limit),
        )
    }

    /// The first files after `after` whose id is to be computed once more.
    pub(in crate::store) fn unsettled(
        &self,
        after: &str,
        limit: u32,
    ) -> rusqlite::Result<Vec<Row>> {
        self.collect(
            &format!(
                "SELECT {COLUMNS} FROM files WHERE id IS NOT NULL AND settled = 0 AND name > ?1
                 ORDER BY name LIMIT ?2"
            ),
            (after, limit),
        )
    }

    /// The first files after `after` that have an id.
    pub(in crate::store) fn hashed(&self, after: &str, limit: u32) -> rusqlite::Result<Vec<Row>> {
        self.collect(
            &format!(
                "SELECT {COLUMNS} FROM files WHERE id IS NOT NULL AND name > ?1
                 ORDER BY name LIMIT ?2"
            ),
            (after, limit),
        )
    }

    /// How many files have an id, and their bytes.
    pub(in crate::store) fn hashed_totals(&self) -> rusqlite::Result<(u64, u64)> {
        self.0
            .prepare_cached("SELECT count(*), total(size) FROM files WHERE id IS NOT NULL")?
            .query_row([], |row| {
                Ok((row.get::<_, u32>(0)?.into(), row.get::<_, f64>(1)? as u64))
            })
    }

    /// How many files have no id yet, and their bytes.
    pub(in crate::store) fn unhashed_totals(&self) -> rusqlite::Result<(u64, u64)> {
        self.0
            .prepare_cached("SELECT count(*), total(size) FROM files WHERE id IS NULL")?
            .query_row([], |row| {
                Ok((row.get::<_, u32>(0)?.into(), row.get::<_, f64>(1)? as u64))
            })
    }

    /// Shows `visit` the files with `beginning <= name < end`, after `after`, in byte order, until
    /// it says `false`.
    pub(in crate::store) fn each_file(
        &self,
        range: &NameRange<'_>,
        mut visit: impl FnMut(Row) -> bool,
    ) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM files WHERE name > ?1 AND name >= ?2 AND name < ifnull(?3, x'')
             ORDER BY name"
        ))?;
        let mut rows = statement.query((range.after, range.beginning, range.end))?;
        while let Some(row) = rows.next()? {
            if !visit(Row::read(row)?) {
                break;
            }
        }
        Ok(())
    }

    /// The same for folders that have nothing in them.
    pub(in crate::store) fn each_empty_folder(
        &self,
        range: &NameRange<'_>,
        mut visit: impl FnMut(FileName) -> bool,
    ) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare_cached(
            "SELECT path FROM folders AS f WHERE path > ?1 AND path >= ?2 AND path < ifnull(?3, x'')
             AND NOT EXISTS (SELECT 1 FROM files WHERE folder = f.path)
             AND NOT EXISTS (SELECT 1 FROM folders WHERE parent = f.path)
             ORDER BY path",
        )?;
        let mut rows = statement.query((range.after, range.beginning, range.end))?;
        while let Some(row) = rows.next()? {
            if !visit(read_name(row, 0)?) {
                break;
            }
        }
        Ok(())
    }

    fn collect(&self, sql: &str, params: impl Params) -> rusqlite::Result<Vec<Row>> {
        self.0
            .prepare_cached(sql)?
            .query_map(params, Row::read)?
            .collect()
    }
}

/// A part of the index in byte order of names.
pub(in crate::store) struct NameRange<'a> {
    /// Only names after this one; `""` is all.
    pub(in crate::store) after: &'a str,
    /// Only this name and those after it.
    pub(in crate::store) beginning: &'a str,
    /// Only names before this one; `None` is all (in SQLite every text is less than a blob).
    pub(in crate::store) end: Option<&'a str>,
}

/// Every name in `folder`, however deep, is at least this …
pub(in crate::store) fn beginning_below(folder: &FileName) -> String {
    format!("{}/", folder.as_str())
}

/// … and less than this: `0` is what follows `/`.
pub(in crate::store) fn end_below(folder: &FileName) -> String {
    format!("{}0", folder.as_str())
}

pub(super) fn text_of(folder: Option<&FileName>) -> &str {
    folder.map_or("", FileName::as_str)
}

fn read_name(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<FileName> {
    let text = row.get_ref(column)?.as_str().map_err(|_| strange(column))?;
    FileName::parse(text).map_err(|_| strange(column))
}

/// The error for a value that this program never writes; it counts as damage.
fn strange(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, "a damaged row".into())
}
