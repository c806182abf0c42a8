use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use super::When;
use crate::disk::{FileFacts, FileKind, Folder, Walk};
use crate::store::error::StoreError;
use crate::store::inner::Inner;
use crate::store::listing::ListQuery;
use crate::types::{FileName, Kept, Patterns};

/// A part of what is kept, in byte order of names and then by version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashPage {
    /// Files.
    pub files: Vec<Kept>,
    /// Whether there is more after the last one.
    pub more: bool,
}

impl Inner {
    pub(in crate::store) fn trash_page(
        &self,
        query: &ListQuery,
        after: Option<(&FileName, u32)>,
        max_items: usize,
    ) -> Result<TrashPage, StoreError> {
        let mut found = Found {
            patterns: Patterns::parse(&query.patterns)?,
            folder: query.folder.clone(),
            after: after.map(|(name, version)| (name.clone(), version)),
            enough: max_items.saturating_add(1),
            number: 0,
            end: None,
            versions: BTreeMap::new(),
        };
        for when in self.trash.newest_first() {
            if self.is_stopping() {
                return Err(StoreError::Closed);
            }
            let Ok(top) = self.trash_folder(when, query.folder.as_ref()) else {
                // Emptied meanwhile, or nothing of that folder was in it.
                continue;
            };
            for listing in Walk::new(&top) {
                for (below, facts) in listing.files {
                    found.see(when, &below, &facts);
                }
            }
        }
        Ok(found.page(max_items))
    }

    fn trash_folder(&self, when: When, folder: Option<&FileName>) -> io::Result<Folder> {
        let trash = self.trash.place.existing().ok_or(ErrorKind::NotFound)?;
        let top = trash.subfolder(&when.leaf())?;
        match folder {
            Some(folder) => top.folder(folder),
            None => Ok(top),
        }
    }

    /// The version of a file that is kept, and what it is.
    pub(in crate::store) fn find_kept(
        &self,
        name: &FileName,
        version: u32,
    ) -> Result<(When, FileFacts), StoreError> {
        let mut seen = 0;
        for when in self.trash.newest_first() {
            if self.is_stopping() {
                return Err(StoreError::Closed);
            }
            let facts = self
                .trash
                .folder_of(when, name)
                .and_then(|folder| folder.facts(name.leaf()));
            if let Ok(facts) = facts
                && facts.kind == FileKind::File
            {
                seen += 1;
                if seen == version {
                    return Ok((when, facts));
                }
            }
        }
        Err(StoreError::NotKept {
            name: name.clone(),
            versions: seen,
        })
    }
}

/// The first of what is kept, in order of names, out of all that is seen.
struct Found {
    patterns: Patterns,
    folder: Option<FileName>,
    after: Option<(FileName, u32)>,
    /// One more than fits tells whether there is more.
    enough: usize,
    /// How many entries there are.
    number: usize,
    /// From this name on nothing is looked for any more.
    end: Option<FileName>,
    /// The newest first.
    versions: BTreeMap<FileName, Vec<(When, FileFacts)>>,
}

impl Found {
    fn see(&mut self, when: When, below: &FileName, facts: &FileFacts) {
        let Ok(name) = FileName::inside(self.folder.as_ref(), below) else {
            return;
        };
        let passed = self.after.as_ref().is_some_and(|(after, _)| name < *after);
        let beyond = self.end.as_ref().is_some_and(|end| name >= *end);
        if passed || beyond || !self.patterns.is_match(below) {
            return;
        }
        // Those before `after` are needed to count the versions behind them, and are not given.
        let given = |name: &FileName, versions: usize| match &self.after {
            Some((after, version)) if after == name => versions.saturating_sub(*version as usize),
            _ => versions,
        };
        let versions = self.versions.entry(name.clone()).or_default();
        let before = given(&name, versions.len());
        versions.push((when, *facts));
        self.number += given(&name, versions.len()) - before;
        while let Some(last) = self.versions.last_entry() {
            let without = self.number - given(last.key(), last.get().len());
            if without < self.enough {
                break;
            }
            self.number = without;
            self.end = Some(last.remove_entry().0);
        }
    }

    fn page(self, max_items: usize) -> TrashPage {
        let after = self.after;
        let mut files: Vec<Kept> = self
            .versions
            .into_iter()
            .flat_map(|(name, versions)| {
                (1..)
                    .zip(versions)
                    .map(move |(version, (when, facts))| Kept {
                        name: name.clone(),
                        version,
                        size: facts.size,
                        modified: facts.modified,
                        kept: when.time(),
                    })
            })
            .filter(|kept| {
                after
                    .as_ref()
                    .is_none_or(|(name, version)| (&kept.name, kept.version) > (name, *version))
            })
            .take(max_items.saturating_add(1))
            .collect();
        let more = files.len() > max_items;
        files.truncate(max_items);
        TrashPage { files, more }
    }
}
