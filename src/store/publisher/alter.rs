use std::io::ErrorKind;

use super::{Publisher, Removed};
use crate::disk::{FileFacts, Replace};
use crate::store::error::StoreError;
use crate::store::index::Row;
use crate::store::journal::{Change, Kind, Left};
use crate::store::lookup::Found;
use crate::store::names::{Place, Rules, taken_by};
use crate::store::sweeper::Sweep;
use crate::store::trash::Amount;
use crate::types::{FileName, Item, NameError};

/// Files from this size on are not deleted here, where everybody waits, but in the background.
const DELETED_AT_ONCE: u64 = 64 * 1024 * 1024;

impl Rules<'_> {
    /// Everything that must hold before a file or folder gets another name.
    pub(in crate::store) fn check_rename(
        &self,
        from: &FileName,
        to: &FileName,
    ) -> Result<Found, StoreError> {
        let found = self.find(from)?;
        if found.is_folder() && to.relative_to(from).is_some() {
            return Err(StoreError::Conflict {
                name: to.clone(),
                reason: "a folder cannot be moved into itself",
            });
        }
        self.check_free(to, Some(from))?;
        Ok(found)
    }

    /// That nothing has the name and it may be created, but for the twin that gives it up.
    pub(in crate::store) fn check_free(
        &self,
        name: &FileName,
        instead_of: Option<&FileName>,
    ) -> Result<(), StoreError> {
        if let Place::Ready(folder) = self.place(name.folder().as_ref())? {
            match folder.facts(name.leaf()) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::disk(name, error)),
                Ok(facts) => {
                    return Err(match self.find(name) {
                        Ok(found) => StoreError::AlreadyExists {
                            existing: (!found.is_folder()).then(|| found.entry()),
                            name: name.clone(),
                        },
                        Err(StoreError::NotFound(_)) => taken_by(name, facts.kind),
                        Err(error) => error,
                    });
                }
            }
        }
        match self.check_new(name) {
            Err(StoreError::Twin { existing, .. }) if Some(&existing) == instead_of => Ok(()),
            checked => checked,
        }
    }
}

impl Publisher {
    pub(super) fn rename(
        &mut self,
        from: &FileName,
        to: &FileName,
        expected: Option<FileFacts>,
    ) -> Result<Item, StoreError> {
        let found = self.rules().check_rename(from, to)?;
        check_expected(&found, expected)?;
        if found.is_folder() {
            self.check_lengths(from, to)?;
        }
        let target = self.open_or_make(to.folder())?;
        found
            .parent
            .rename(from.leaf(), &target, to.leaf(), Replace::Never)
            .map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => StoreError::AlreadyExists {
                    name: to.clone(),
                    existing: None,
                },
                _ => StoreError::disk(from, error),
            })?;
        self.batch.touch(from.folder(), &found.parent);
        self.record(Change {
            before: Some(from.clone()),
            left: Some(Left::from(&found.facts)),
            ..Change::new(Kind::Renamed, to)
        });
        if let Err(error) = self.inner.damage.renamed(from, to) {
            tracing::warn!("the record of damage cannot be used: {error}");
        }
        if found.is_folder() {
            self.batch.forget_names();
            self.remember(|index| {
                index.forget(to)?;
                index.move_folder(from, to)
            });
            return Ok(Item::Folder(to.clone()));
        }
        let id = found.row.as_ref().and_then(|row| row.id);
        let settled = found.trusted_id().is_some();
        let row = Row::new(to.clone(), &found.facts, id, settled);
        self.remember(|index| {
            index.forget_file(from)?;
            index.forget_folder(to)?;
            index.put_file(&row)
        });
        Ok(Item::File(row.into_entry()))
    }

    pub(super) fn remove(
        &mut self,
        name: &FileName,
        recursive: bool,
        amount: Amount,
        expected: Option<FileFacts>,
    ) -> Result<Removed, StoreError> {
        let found = self.rules().find(name)?;
        check_expected(&found, expected)?;
        if found.is_folder() && !recursive {
            return Err(StoreError::IsFolder { name: name.clone() });
        }
        let kept = self.keep_removed(&found.parent, name, amount)?;
        if kept.is_none() {
            self.delete(&found)?;
        }
        self.batch.touch(name.folder(), &found.parent);
        if found.is_folder() {
            self.batch.forget_names();
        }
        self.remember(|index| index.forget(name));
        let kind = match found.is_folder() {
            true => Kind::RemovedFolder,
            false => Kind::RemovedFile,
        };
        self.record(Change {
            kept,
            ..Change::new(kind, name)
        });
        Ok(Removed {
            item: found.item(),
            kept: kept.is_some(),
        })
    }

    pub(super) fn remove_empty_folder(&mut self, name: &FileName) -> Result<(), StoreError> {
        let found = self.rules().find(name)?;
        self.unmake_folder(&found)?;
        self.record(Change::new(Kind::UnmadeFolder, name));
        Ok(())
    }

    /// Removes a folder, if nothing is in it.
    pub(super) fn unmake_folder(&mut self, found: &Found) -> Result<(), StoreError> {
        let name = &found.name;
        let removed = found.parent.remove_folder(name.leaf());
        removed.map_err(|error| {
            let reason = match error.kind() {
                ErrorKind::DirectoryNotEmpty => "it is not empty",
                ErrorKind::NotADirectory => "it is no folder",
                _ => return StoreError::disk(name, error),
            };
            StoreError::Conflict {
                name: name.clone(),
                reason,
            }
        })?;
        self.batch.touch(name.folder(), &found.parent);
        self.batch.forget_names();
        self.remember(|index| index.forget(name));
        Ok(())
    }

    fn delete(&mut self, found: &Found) -> Result<(), StoreError> {
        let leaf = found.name.leaf();
        if !found.is_folder() && found.facts.size < DELETED_AT_ONCE {
            let removed = found.parent.remove_file(leaf);
            return removed.map_err(|error| StoreError::disk(&found.name, error));
        }
        let taken = self.inner.staging.take_away(&found.parent, leaf);
        let taken = taken.map_err(|error| StoreError::disk(&found.name, error))?;
        let _ = self.inner.to_sweep.send(Sweep::Delete(taken));
        Ok(())
    }

    pub(super) fn make_folder(&mut self, name: &FileName) -> Result<(), StoreError> {
        self.rules().check_free(name, None)?;
        let parent = self.open_or_make(name.folder())?;
        self.with_room(|_| parent.make_folder(name.leaf()))
            .map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => StoreError::AlreadyExists {
                    name: name.clone(),
                    existing: None,
                },
                _ => StoreError::disk(name, error),
            })?;
        self.remember(|index| {
            index.forget_file(name)?;
            index.put_folder(name)
        });
        self.record(Change::new(Kind::MadeFolder, name));
        Ok(())
    }

    /// A longer name for a folder must not make a name in it too long to be named.
    fn check_lengths(&self, from: &FileName, to: &FileName) -> Result<(), StoreError> {
        let longest = self.writer.longest_name_in(from)?;
        if longest - from.as_str().len() + to.as_str().len() <= FileName::MAX_BYTES {
            return Ok(());
        }
        Err(StoreError::InvalidName {
            name: to.clone(),
            source: NameError::TooLong,
        })
    }
}

fn check_expected(found: &Found, expected: Option<FileFacts>) -> Result<(), StoreError> {
    match expected {
        Some(expected) if !expected.same_file(&found.facts) => {
            Err(StoreError::PreconditionFailed {
                name: found.name.clone(),
            })
        }
        _ => Ok(()),
    }
}
