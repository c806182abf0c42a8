//! A command that names a file sees it as it is now, whatever the index remembers.

use std::time::Duration;

use super::answer::Answer;
use super::error::StoreError;
use super::hash_slots::HashSlot;
use super::index::Row;
use super::inner::Inner;
use super::names::Rules;
use super::publisher::Job;
use crate::disk::{FileFacts, FileKind, Folder};
use crate::types::{Digest, Entry, FileName, FileRef, IdPrefix, Item, Precondition};

/// Up to this size a file whose id is not known is hashed while the command waits: a fraction of a
/// second. Larger ones are hashed in the background.
const HASHED_AT_ONCE: u64 = 64 * 1024 * 1024;

/// How long such a command waits for its turn to hash. After that the id is told to whoever asks
/// again.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many files an ambiguous id names in the message.
const NAMES_SHOWN: usize = 5;

/// How many files with one id are looked at.
const CANDIDATES: u32 = 1000;

/// A shared file or folder, as the disk has it.
pub(super) struct Found {
    pub(super) name: FileName,
    /// The folder that it is in.
    pub(super) parent: Folder,
    pub(super) facts: FileFacts,
    /// What the index says of the very same file.
    pub(super) row: Option<Row>,
}

impl Found {
    pub(super) fn is_folder(&self) -> bool {
        self.facts.kind == FileKind::Folder
    }

    pub(super) fn trusted_id(&self) -> Option<Digest> {
        self.row.as_ref().and_then(Row::trusted_id)
    }

    pub(super) fn entry(&self) -> Entry {
        self.entry_with(self.trusted_id(), &self.facts)
    }

    pub(super) fn item(&self) -> Item {
        if self.is_folder() {
            Item::Folder(self.name.clone())
        } else {
            Item::File(self.entry())
        }
    }

    fn entry_with(&self, id: Option<Digest>, facts: &FileFacts) -> Entry {
        Entry {
            name: self.name.clone(),
            id,
            size: facts.size,
            modified: facts.modified,
            executable: facts.executable,
        }
    }
}

impl Rules<'_> {
    /// Looks at what stands under a name.
    pub(super) fn find(&self, name: &FileName) -> Result<Found, StoreError> {
        let missing = |error| StoreError::look(name, error);
        let parent = match name.folder() {
            Some(folder) => self.root.folder(&folder).map_err(missing)?,
            None => self.root.clone(),
        };
        let facts = parent.facts(name.leaf()).map_err(missing)?;
        let shared = matches!(facts.kind, FileKind::File | FileKind::Folder)
            && facts.device == self.root.device()
            && self.is_shared(name)?;
        if !shared {
            return Err(StoreError::not_found(name));
        }
        let row = self.rows.file(name)?.filter(|row| row.describes(&facts));
        Ok(Found {
            name: name.clone(),
            parent,
            facts,
            row,
        })
    }
}

impl Inner {
    /// Looks at what stands under a name, and lets the index know when it is not what it thought.
    pub(super) fn look(&self, name: &FileName) -> Result<Found, StoreError> {
        if self.is_stopping() {
            return Err(StoreError::Closed);
        }
        let found = self.read(|rows| {
            let found = self.rules(rows).find(name);
            let known = matches!(found, Err(StoreError::NotFound(_)))
                && (rows.file(name)?.is_some() || rows.has_folder(name)?);
            Ok((found, known))
        })?;
        match &found {
            (Ok(found), _) if found.row.is_none() && !found.is_folder() => self.noticed(name),
            (Err(_), true) => self.noticed(name),
            _ => {}
        }
        found.0
    }

    /// The file's entry with its id, which is computed now when it is not known, the file is small
    /// enough, and not too many others are being hashed.
    pub(super) fn entry_of(&self, found: &Found) -> Result<Entry, StoreError> {
        if found.trusted_id().is_some() || found.facts.size > HASHED_AT_ONCE {
            return Ok(found.entry());
        }
        let Some(slot) = self.hash_slots.take_within(PATIENCE)? else {
            return Ok(found.entry());
        };
        match self.hash_and_learn(found, &slot) {
            Ok((digest, facts)) => Ok(found.entry_with(Some(digest), &facts)),
            Err(StoreError::ChangedMeanwhile { .. } | StoreError::Io { .. }) => Ok(found.entry()),
            Err(error) => Err(error),
        }
    }

    fn hash_and_learn(
        &self,
        found: &Found,
        _slot: &HashSlot<'_>,
    ) -> Result<(Digest, FileFacts), StoreError> {
        // Whoever had the slot before may have read the very same file.
        let row = self.read(|rows| Ok(rows.file(&found.name)?))?;
        if let Some(row) = row.filter(|row| row.describes(&found.facts))
            && let Some(id) = row.trusted_id()
        {
            return Ok((id, found.facts));
        }
        let hashed = self.hash(&found.name)?;
        // Nothing to learn while a young file still has the digest that it had.
        let known = found.row.as_ref().is_some_and(|row| {
            row.describes(&hashed.facts) && row.id == Some(hashed.digest) && !hashed.is_settled()
        });
        if !known {
            let _ = self.jobs.try_send(Job::Learn {
                name: found.name.clone(),
                hashed,
                answer: Answer::unheard(),
            });
        }
        Ok((hashed.digest, hashed.facts))
    }

    /// The file that a reading command means.
    pub(super) fn resolve(&self, file: &FileRef) -> Result<Found, StoreError> {
        match file {
            FileRef::Name(name) => self.look(name),
            FileRef::Id(prefix) => {
                for row in self.candidates(prefix)? {
                    if let Some(found) = self.still_has_id(&row)? {
                        return Ok(found);
                    }
                }
                Err(StoreError::NotFound(file.clone()))
            }
        }
    }

    /// The one file that a changing command means.
    pub(super) fn resolve_one(&self, file: &FileRef) -> Result<Found, StoreError> {
        let FileRef::Id(prefix) = file else {
            return self.resolve(file);
        };
        let mut only = None;
        for row in self.candidates(prefix)? {
            let Some(found) = self.still_has_id(&row)? else {
                continue;
            };
            if let Some(first) = only.replace(found) {
                let names = vec![first.name, row.name];
                return Err(ambiguous(prefix, names));
            }
        }
        only.ok_or_else(|| StoreError::NotFound(file.clone()))
    }

    /// Makes sure that the file is the version that is meant. What is returned must still hold
    /// when the change is made.
    pub(super) fn confirm(
        &self,
        found: &Found,
        precondition: Precondition,
    ) -> Result<Option<FileFacts>, StoreError> {
        let Some(expected) = precondition.if_match else {
            return Ok(None);
        };
        if found.is_folder() {
            return Err(StoreError::IsFolder {
                name: found.name.clone(),
            });
        }
        let (digest, facts) = match found.trusted_id() {
            Some(id) => (id, found.facts),
            None => self.hash_and_learn(found, &self.hash_slots.take()?)?,
        };
        if digest != expected {
            return Err(StoreError::PreconditionFailed {
                name: found.name.clone(),
            });
        }
        Ok(Some(facts))
    }

    /// The files of the one id that begins with these digits.
    fn candidates(&self, prefix: &IdPrefix) -> Result<Vec<Row>, StoreError> {
        let rows = self.read(|rows| Ok(rows.files_with_id(prefix.range(), CANDIDATES)?))?;
        let first = rows.first().and_then(|row| row.id);
        if rows.iter().any(|row| row.id != first) {
            let mut names: Vec<FileName> = Vec::new();
            for group in rows.chunk_by(|a, b| a.id == b.id) {
                names.extend(group.first().map(|row| row.name.clone()));
            }
            return Err(ambiguous(prefix, names));
        }
        Ok(rows)
    }

    /// The file of the row, when it has the row's id now.
    fn still_has_id(&self, row: &Row) -> Result<Option<Found>, StoreError> {
        let found = match self.look(&row.name) {
            Ok(found) if !found.is_folder() => found,
            Ok(_) | Err(StoreError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let id = match found.trusted_id() {
            Some(id) => id,
            None => self.hash_and_learn(&found, &self.hash_slots.take()?)?.0,
        };
        Ok((Some(id) == row.id).then_some(found))
    }
}

fn ambiguous(prefix: &IdPrefix, mut names: Vec<FileName>) -> StoreError {
    names.truncate(NAMES_SHOWN);
    StoreError::Ambiguous {
        prefix: prefix.clone(),
        names,
    }
}
