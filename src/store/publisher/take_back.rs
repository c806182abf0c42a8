use std::io::ErrorKind;

use super::Publisher;
use crate::disk::{FileFacts, FileKind, Folder, Replace, Walk};
use crate::store::answer::Answer;
use crate::store::error::StoreError;
use crate::store::index::Row;
use crate::store::journal::{Change, Kind, Left, UndoCursor};
use crate::store::lookup::Found;
use crate::store::trash::{Amount, When};
use crate::store::undo::{UndoPage, Undone};
use crate::types::{FileName, Item, TakenBack};

/// How many changes are taken back before others get their turn.
const AT_ONCE: u32 = 256;

/// Of a folder that comes back so many files are listed at once; the next walk finds the others.
const LISTED_AT_ONCE: usize = 20_000;

impl Publisher {
    /// Brings a file of the trash back. What stands under its name is kept in its turn.
    pub(super) fn restore(&mut self, name: &FileName, when: When) -> Result<Item, StoreError> {
        let standing = match self.rules().find(name) {
            Ok(found) if found.is_folder() => {
                return Err(StoreError::Conflict {
                    name: name.clone(),
                    reason: "a folder has that name",
                });
            }
            Ok(found) => Some(found),
            Err(StoreError::NotFound(_)) => {
                self.rules().check_free(name, None)?;
                None
            }
            Err(error) => return Err(error),
        };
        let (facts, kept) = self.bring_back(name, when, standing.as_ref())?;
        let kind = match standing {
            Some(_) => Kind::Replaced,
            None => Kind::Added,
        };
        self.record(Change {
            kept,
            left: Some(Left::from(&facts)),
            ..Change::new(kind, name)
        });
        Ok(Item::File(
            Row::new(name.clone(), &facts, None, false).into_entry(),
        ))
    }

    /// Takes back the next changes of a command, the last one first, each only if what it left is
    /// still there, and forgets those that are taken back or never can be.
    pub(super) fn take_back(
        &mut self,
        owner: Option<&str>,
        from: Option<UndoCursor>,
        dry_run: bool,
        answer: Answer<UndoPage>,
    ) {
        let changes = self.journal.last_changes(owner, from, AT_ONCE);
        let next = match changes.last() {
            Some((cursor, _)) if changes.len() == AT_ONCE as usize => Some(*cursor),
            _ => None,
        };
        let mut page = UndoPage {
            changes: Vec::with_capacity(changes.len()),
            next,
        };
        let mut first = None;
        for (cursor, change) in changes {
            let outcome = match dry_run {
                true => self.would_take_back(&change),
                false => self.take_back_one(&change),
            };
            // What is in the way may go, and then it can be taken back.
            let is_final = match &outcome {
                Ok(_) | Err(StoreError::NotFound(_)) => true,
                Err(StoreError::Conflict { reason, .. }) => [GONE, NOT_KEPT].contains(reason),
                Err(_) => false,
            };
            let outcome = outcome.map_err(|error| explain(&change.name, error));
            if is_final && !dry_run {
                self.journal.forget(cursor);
            }
            let name = match (&outcome, &change.before) {
                (Ok(TakenBack::Renamed), Some(before)) => before,
                _ => &change.name,
            };
            first.get_or_insert_with(|| change.name.clone());
            page.changes.push(Undone {
                name: name.clone(),
                outcome,
            });
        }
        match first {
            Some(name) => self.answer_later(name, answer, Ok(page)),
            None => answer.give(Ok(page)),
        }
    }

    fn take_back_one(&mut self, change: &Change) -> Result<TakenBack, StoreError> {
        let name = &change.name;
        let outcome = self.would_take_back(change)?;
        match (change.kind, change.kept, &change.before) {
            (Kind::Added, ..) => {
                let found = self.rules().find(name)?;
                let amount = Amount::of(&found.facts);
                let kept = self.keep_removed(&found.parent, name, amount)?;
                if kept.is_none() {
                    return Err(conflict(name, NOT_KEPT_NOW));
                }
                self.batch.touch(name.folder(), &found.parent);
                self.remember(|index| index.forget(name));
            }
            (Kind::Replaced, Some(when), _) => {
                let found = self.rules().find(name)?;
                self.bring_back(name, when, Some(&found))?;
            }
            (Kind::RemovedFile, Some(when), _) => {
                self.bring_back(name, when, None)?;
            }
            (Kind::RemovedFolder, Some(when), _) => self.bring_folder_back(name, when)?,
            (Kind::Renamed, _, Some(before)) => {
                self.rename(name, before, None)?;
            }
            (Kind::MadeFolder, ..) => {
                let found = self.rules().find(name)?;
                self.unmake_folder(&found)?;
            }
            (Kind::UnmadeFolder, ..) => self.make_folder(name)?,
            _ => return Err(conflict(name, NOT_KEPT)),
        }
        Ok(outcome)
    }

    /// Whether a change can be taken back, as far as can be told before.
    fn would_take_back(&self, change: &Change) -> Result<TakenBack, StoreError> {
        let name = &change.name;
        let unchanged = || {
            let found = self.rules().find(name)?;
            match change.left.is_some_and(|left| left.is(&found.facts)) {
                true => Ok(found),
                false => Err(conflict(name, CHANGED)),
            }
        };
        let still_kept = || match change.kept {
            None => Err(conflict(name, NOT_KEPT)),
            Some(when) => self.kept_facts(name, when),
        };
        match change.kind {
            Kind::Added => {
                let found = unchanged()?;
                match self.inner.trash.takes(found.facts.size) {
                    true => Ok(TakenBack::Removed),
                    false => Err(conflict(name, NOT_KEPT_NOW)),
                }
            }
            Kind::Replaced => {
                unchanged()?;
                still_kept().map(|_| TakenBack::Restored)
            }
            Kind::RemovedFile | Kind::RemovedFolder => {
                still_kept()?;
                self.rules().check_free(name, None)?;
                Ok(TakenBack::Restored)
            }
            Kind::Renamed => {
                unchanged()?;
                if let Some(before) = &change.before {
                    self.rules().check_rename(name, before)?;
                }
                Ok(TakenBack::Renamed)
            }
            Kind::UnmadeFolder => {
                self.rules().check_free(name, None)?;
                Ok(TakenBack::Restored)
            }
            Kind::MadeFolder => match self.rules().find(name)?.is_folder() {
                true => Ok(TakenBack::Removed),
                false => Err(conflict(name, CHANGED)),
            },
        }
    }

    fn kept_facts(&self, name: &FileName, when: When) -> Result<(Folder, FileFacts), StoreError> {
        let folder = self.inner.trash.folder_of(when, name);
        let found = folder.and_then(|folder| {
            let facts = folder.facts(name.leaf())?;
            Ok((folder, facts))
        });
        found.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => conflict(name, GONE),
            _ => StoreError::disk(name, error),
        })
    }

    /// Gives a kept file its name, which is free or that of `standing`; tells what the file is, and
    /// when the other one went to the trash.
    fn bring_back(
        &mut self,
        name: &FileName,
        when: When,
        standing: Option<&Found>,
    ) -> Result<(FileFacts, Option<When>), StoreError> {
        let (kept_in, facts) = self.kept_facts(name, when)?;
        if facts.kind != FileKind::File {
            return Err(conflict(name, GONE));
        }
        let more = facts.size;
        let less = standing.map_or(0, |found| found.facts.size);
        let quota = self.inner.quota;
        if !self.inner.ledger.has_room(more.saturating_sub(less), quota) {
            return Err(StoreError::QuotaExceeded {
                name: name.clone(),
                quota: quota.unwrap_or(u64::MAX),
            });
        }
        let folder = self.open_or_make(name.folder())?;
        let (displaced, replace) = match standing {
            Some(found) => (
                Some(self.keep_displaced(&folder, name, &found.facts)?),
                Replace::Allowed,
            ),
            None => (None, Replace::Never),
        };
        let renamed =
            self.with_room(|_| kept_in.rename(name.leaf(), &folder, name.leaf(), replace));
        if let Err(error) = renamed {
            if let (Some(when), Some(found)) = (displaced, standing) {
                self.unkeep(when, name, Amount::of(&found.facts));
            }
            return Err(match error.kind() {
                ErrorKind::NotFound => conflict(name, GONE),
                ErrorKind::AlreadyExists => conflict(name, TAKEN),
                _ => StoreError::disk(name, error),
            });
        }
        self.inner.trash.taken(when, name, Amount::of(&facts));
        let row = Row::new(name.clone(), &facts, None, false);
        self.remember(|index| {
            index.forget_folder(name)?;
            index.put_file(&row)
        });
        Ok((facts, displaced))
    }

    fn bring_folder_back(&mut self, name: &FileName, when: When) -> Result<(), StoreError> {
        let (kept_in, facts) = self.kept_facts(name, when)?;
        if facts.kind != FileKind::Folder {
            return Err(conflict(name, GONE));
        }
        let target = self.open_or_make(name.folder())?;
        kept_in
            .rename(name.leaf(), &target, name.leaf(), Replace::Never)
            .map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => conflict(name, TAKEN),
                _ => StoreError::disk(name, error),
            })?;
        self.remember(|index| index.put_folder(name));
        let folder = target.subfolder(name.leaf());
        let folder = folder.map_err(|error| StoreError::disk(name, error))?;
        let mut amount = Amount::default();
        for listing in Walk::new(&folder) {
            let inside = |below: &FileName| FileName::inside(Some(name), below).ok();
            let here = listing.name.as_ref().map_or(Some(name.clone()), inside);
            amount.files += listing.files.len() as u64;
            amount.bytes += listing
                .files
                .iter()
                .map(|(_, facts)| facts.size)
                .sum::<u64>();
            if amount.files <= LISTED_AT_ONCE as u64 {
                let files = listing.files.iter().map(|(below, _)| below);
                let names: Vec<FileName> =
                    files.chain(&listing.folders).filter_map(inside).collect();
                self.reconcile(here.as_ref(), &[], &names);
            }
        }
        self.inner.trash.taken(when, name, amount);
        self.inner.scan.want();
        Ok(())
    }
}

const CHANGED: &str = "it was changed since";
const GONE: &str = "it is not kept any more";
const NOT_KEPT: &str = "what was there before was not kept";
const NOT_KEPT_NOW: &str = "it would not be kept in the trash";
const TAKEN: &str = "something else has that name by now";

fn conflict(name: &FileName, reason: &'static str) -> StoreError {
    StoreError::Conflict {
        name: name.clone(),
        reason,
    }
}

/// To whoever takes something back, what is missing or in the way was changed since.
fn explain(name: &FileName, error: StoreError) -> StoreError {
    match error {
        StoreError::NotFound(_) => conflict(name, CHANGED),
        StoreError::AlreadyExists { .. } | StoreError::Twin { .. } => conflict(name, TAKEN),
        error => error,
    }
}
