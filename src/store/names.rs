//! Which names may be created, and which of the names on the disk are shared.

use std::io::ErrorKind;

use super::error::StoreError;
use super::index::Rows;
use super::options::NameRules;
use crate::disk::{FileKind, Folder};
use crate::types::FileName;

/// The rules of a store, seen from one reader or from the writer.
pub(super) struct Rules<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) root: &'a Folder,
    pub(super) names: NameRules,
}

/// A folder that something is to be created in.
pub(super) enum Place {
    /// It is there.
    Ready(Folder),
    /// These folders must be made, outermost first; the first of them in this one.
    Missing(Folder, Vec<FileName>),
}

impl Rules<'_> {
    /// Finds the folder of a new name and checks whatever is missing on the way.
    pub(super) fn place(&self, folder: Option<&FileName>) -> Result<Place, StoreError> {
        let Some(folder) = folder else {
            return Ok(Place::Ready(self.root.clone()));
        };
        let mut deepest = self.root.clone();
        let mut paths = folder.ancestors().chain([folder.clone()]);
        while let Some(path) = paths.next() {
            deepest = match deepest.subfolder(path.leaf()) {
                Ok(found) => {
                    if !self.is_shared(&path)? {
                        return Err(self.twin_error(&path)?);
                    }
                    found
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let missing: Vec<_> = [path].into_iter().chain(paths).collect();
                    missing.iter().try_for_each(|path| self.check_new(path))?;
                    return Ok(Place::Missing(deepest, missing));
                }
                Err(error) => return Err(in_the_way(&path, error)),
            };
        }
        Ok(Place::Ready(deepest))
    }

    /// Checks a name that nothing has yet, but for its folders.
    pub(super) fn check_new(&self, name: &FileName) -> Result<(), StoreError> {
        if self.names == NameRules::Native {
            return Ok(());
        }
        let portable = FileName::parse(name.leaf()).and_then(|leaf| leaf.check_portable());
        portable.map_err(|source| StoreError::InvalidName {
            name: name.clone(),
            source,
        })?;
        match self.twin(name)?.or(self.lookalike(name)?) {
            Some(existing) => Err(StoreError::Twin {
                name: name.clone(),
                existing,
            }),
            None => Ok(()),
        }
    }

    /// The name, brought to the form that names have, of something that is not shared and differs
    /// from this name only in case or form.
    fn lookalike(&self, name: &FileName) -> Result<Option<FileName>, StoreError> {
        let folder = name.folder();
        let leaves = self
            .rows
            .lookalikes_of(folder.as_ref(), &fold_of_leaf(name))?;
        if leaves.is_empty() {
            return Ok(None);
        }
        let open = match &folder {
            Some(folder) => self.root.folder(folder),
            None => Ok(self.root.clone()),
        };
        let Ok(open) = open else {
            return Ok(None);
        };
        let on_disk = leaves.iter().find(|leaf| open.facts(leaf).is_ok());
        Ok(on_disk
            .and_then(|leaf| FileName::from_typed(leaf).ok())
            .and_then(|leaf| FileName::inside(folder.as_ref(), &leaf).ok()))
    }

    /// The shared name that differs from this one only in case or form, if it is there.
    pub(super) fn twin(&self, name: &FileName) -> Result<Option<FileName>, StoreError> {
        if self.names == NameRules::Native {
            return Ok(None);
        }
        // A name whose file was removed by hand a moment ago is in nobody's way.
        let twin = self.rows.twin(name)?;
        Ok(twin.filter(|twin| self.is_on_disk(twin)))
    }

    /// Whether clients may see what stands under this name: under portable names, the first in
    /// byte order of several that differ only in case or form, in every folder of the path.
    pub(super) fn is_shared(&self, name: &FileName) -> Result<bool, StoreError> {
        if self.names == NameRules::Native
            || self.rows.has_folder(name)?
            || self.rows.file(name)?.is_some()
        {
            return Ok(true);
        }
        // The index has only names that are shared, so this one is either hidden or new.
        for path in name.ancestors().chain([name.clone()]) {
            if self.twin(&path)?.is_some_and(|twin| twin < path) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn twin_error(&self, name: &FileName) -> Result<StoreError, StoreError> {
        Ok(match self.twin(name)? {
            Some(existing) => StoreError::Twin {
                name: name.clone(),
                existing,
            },
            None => StoreError::not_found(name),
        })
    }

    fn is_on_disk(&self, name: &FileName) -> bool {
        let folder = match name.folder() {
            Some(folder) => self.root.folder(&folder),
            None => Ok(self.root.clone()),
        };
        folder.and_then(|folder| folder.facts(name.leaf())).is_ok()
    }
}

/// In one folder the parts before the last are the same, so only that one is folded.
pub(super) fn fold_of_leaf(name: &FileName) -> String {
    FileName::parse(name.leaf()).map_or_else(|_| name.leaf().to_owned(), |leaf| leaf.fold())
}

/// The error for a path on which something that is no folder stands in the way of a new name.
fn in_the_way(path: &FileName, error: std::io::Error) -> StoreError {
    let reason = match error.kind() {
        ErrorKind::NotADirectory => "a folder is needed there, and something else has that name",
        ErrorKind::CrossesDevices => "another file system is mounted there, which is not shared",
        _ => return StoreError::disk(path, error),
    };
    StoreError::Conflict {
        name: path.clone(),
        reason,
    }
}

/// The error for something that is neither a file nor a folder and has the name already.
pub(super) fn taken_by(name: &FileName, kind: FileKind) -> StoreError {
    let reason = match kind {
        FileKind::Folder => "a folder has that name",
        FileKind::File => "a file has that name",
        FileKind::Link | FileKind::Special => "something that is not shared has that name",
    };
    StoreError::Conflict {
        name: name.clone(),
        reason,
    }
}

/// The names that a file gets in turn when its own is taken: `report (1).pdf`, `report (2).pdf` …
pub(super) fn numbered(name: &FileName) -> impl Iterator<Item = FileName> {
    /// After so many something else is wrong.
    const TRIES: u32 = 10_000;

    let leaf = name.leaf();
    let dot = leaf.rfind('.').filter(|at| *at > 0).unwrap_or(leaf.len());
    let (stem, extension) = leaf.split_at(dot);
    let folder = name.folder();
    (1..TRIES).filter_map(move |number| {
        let suffix = format!(" ({number}){extension}");
        let room = FileName::MAX_PART_BYTES.checked_sub(suffix.len())?;
        let stem = &stem[..stem.floor_char_boundary(room)];
        let leaf = FileName::parse(&format!("{stem}{suffix}")).ok()?;
        FileName::inside(folder.as_ref(), &leaf).ok()
    })
}
