use std::io::ErrorKind;

use super::keep::Aside;
use super::{Publication, Publisher};
use crate::disk::{FileFacts, FileKind, Folder, PublishError, Replace, StagedFile};
use crate::store::answer::Answer;
use crate::store::content::{is_settled, now};
use crate::store::error::{StoreError, is_full};
use crate::store::index::Row;
use crate::store::journal::{Change, Kind, Left};
use crate::store::names::{numbered, taken_by};
use crate::store::trash::Amount;
use crate::types::{Digest, Entry, FileName, OnConflict};

/// How often somebody who works in the folder by hand may come between a look and a rename.
const TRIES: usize = 10;

/// What is under a name that a file is to get.
enum Standing {
    Free,
    File(FileFacts),
    /// A folder, or something that is not shared.
    Other(FileKind),
    Twin(FileName),
}

impl Publisher {
    pub(super) fn publish(&mut self, publication: Publication) {
        let Publication {
            staged,
            name,
            on_conflict,
            expected,
            digest,
            claim,
            cause,
            reservation,
            answer,
        } = publication;
        self.cause = Some(cause);
        let outcome = self.publish_under_free_name(staged, &name, on_conflict, expected, digest);
        drop(claim);
        // The promise of room ends when the file itself is counted.
        let answer = Answer::to(Box::new(move |outcome| {
            drop(reservation);
            answer.give(outcome);
        }));
        self.answer_later(name, answer, outcome);
    }

    fn publish_under_free_name(
        &mut self,
        mut staged: StagedFile,
        name: &FileName,
        on_conflict: OnConflict,
        expected: Option<FileFacts>,
        digest: Digest,
    ) -> Result<Entry, StoreError> {
        let mut folder = self.open_or_make(name.folder())?;
        let mut others = numbered(name);
        let mut candidate = name.clone();
        let mut tries = 0;
        loop {
            let standing = self.standing(&folder, &candidate)?;
            if on_conflict == OnConflict::Rename && !matches!(standing, Standing::Free) {
                candidate = others.next().ok_or_else(|| StoreError::Conflict {
                    name: name.clone(),
                    reason: "every numbered form of the name is taken too",
                })?;
                continue;
            }
            let replaced = match &standing {
                Standing::File(facts) => Some(*facts),
                _ => None,
            };
            let replace = self.may_have(&candidate, standing, on_conflict, expected)?;
            let aside = match replaced {
                Some(facts) => self.keep_replaced(&folder, &candidate, &facts, &mut staged)?,
                None => Aside::No,
            };
            let kept = match &aside {
                Aside::No => None,
                Aside::Linked(when) | Aside::Exchanged(when, _) => Some(*when),
            };
            let published = match aside {
                Aside::Exchanged(_, facts) => Ok(facts),
                _ => staged.publish(&folder, candidate.leaf(), replace),
            };
            match published {
                Ok(facts) => {
                    let kind = match replaced {
                        Some(_) => Kind::Replaced,
                        None => Kind::Added,
                    };
                    self.record(Change {
                        kept,
                        left: Some(Left::from(&facts)),
                        ..Change::new(kind, &candidate)
                    });
                    return Ok(self.published(candidate, &facts, digest));
                }
                Err(PublishError {
                    staged: back,
                    source,
                }) => {
                    if let (Some(when), Some(facts)) = (kept, replaced) {
                        self.unkeep(when, &candidate, Amount::of(&facts));
                    }
                    if tries == TRIES {
                        return Err(StoreError::disk(&candidate, source));
                    }
                    staged = back;
                    tries += 1;
                    match source.kind() {
                        _ if is_full(&source) && self.inner.give_way(0) => {}
                        ErrorKind::AlreadyExists if replace == Replace::Never => {}
                        // The folder was removed by hand.
                        ErrorKind::NotFound => {
                            self.batch.forget_names();
                            folder = self.open_or_make(name.folder())?;
                        }
                        _ => return Err(StoreError::disk(&candidate, source)),
                    }
                }
            }
        }
    }

    fn standing(&self, folder: &Folder, name: &FileName) -> Result<Standing, StoreError> {
        let rules = self.rules();
        match folder.facts(name.leaf()) {
            Ok(facts) => {
                if let Some(twin) = rules.twin(name)?
                    && !rules.is_shared(name)?
                {
                    return Ok(Standing::Twin(twin));
                }
                Ok(match facts.kind {
                    FileKind::File => Standing::File(facts),
                    kind => Standing::Other(kind),
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => match rules.check_new(name) {
                Ok(()) => Ok(Standing::Free),
                Err(StoreError::Twin { existing, .. }) => Ok(Standing::Twin(existing)),
                Err(error) => Err(error),
            },
            Err(error) => Err(StoreError::disk(name, error)),
        }
    }

    fn may_have(
        &self,
        name: &FileName,
        standing: Standing,
        on_conflict: OnConflict,
        expected: Option<FileFacts>,
    ) -> Result<Replace, StoreError> {
        let changed = || StoreError::PreconditionFailed { name: name.clone() };
        match standing {
            Standing::Free if expected.is_some() => Err(changed()),
            Standing::Free => Ok(Replace::Never),
            Standing::File(facts) if on_conflict == OnConflict::Overwrite => match expected {
                Some(expected) if !expected.same_file(&facts) => Err(changed()),
                _ => Ok(Replace::Allowed),
            },
            Standing::File(_) => Err(self.exists(name)),
            Standing::Other(kind) => Err(taken_by(name, kind)),
            Standing::Twin(existing) => Err(StoreError::Twin {
                name: name.clone(),
                existing,
            }),
        }
    }

    fn exists(&self, name: &FileName) -> StoreError {
        match self.rules().find(name) {
            Ok(found) => StoreError::AlreadyExists {
                name: name.clone(),
                existing: Some(found.entry()),
            },
            Err(StoreError::NotFound(_)) => StoreError::AlreadyExists {
                name: name.clone(),
                existing: None,
            },
            Err(error) => error,
        }
    }

    fn published(&mut self, name: FileName, facts: &FileFacts, digest: Digest) -> Entry {
        let settled = is_settled(facts.modified, now());
        let row = Row::new(name, facts, Some(digest), settled);
        self.remember(|index| {
            index.forget_folder(&row.name)?;
            index.put_file(&row)
        });
        row.into_entry()
    }
}
