use std::io::{self, ErrorKind};

use super::Publisher;
use crate::disk::{FileFacts, Folder, Replace, StagedFile};
use crate::store::error::{StoreError, is_full};
use crate::store::sweeper::Sweep;
use crate::store::trash::{Amount, When};
use crate::types::FileName;

/// How what is to be replaced got into the trash.
pub(super) enum Aside {
    /// It is not kept.
    No,
    /// It has a second name there, and the first one is still to be given away.
    Linked(When),
    /// It has changed places with the new file already.
    Exchanged(When, FileFacts),
}

impl Publisher {
    /// Does something that needs a little room on the disk. When there is none, what is only kept
    /// gives way, and it is done once more.
    pub(super) fn with_room<T>(
        &mut self,
        mut work: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        match work(self) {
            Err(error) if is_full(&error) && self.inner.give_way(0) => work(self),
            outcome => outcome,
        }
    }

    /// Moves what is to be removed into the trash; `None` when it is not kept and has to be
    /// deleted: it is too large for the bound, nothing is kept at all, or a disk that is full has
    /// not even room for the folder.
    pub(super) fn keep_removed(
        &mut self,
        parent: &Folder,
        name: &FileName,
        amount: Amount,
    ) -> Result<Option<When>, StoreError> {
        if !self.inner.trash.takes(amount.bytes) {
            return Ok(None);
        }
        let leaf = name.leaf();
        let kept = self.bring(name, amount, |folder, here| {
            parent.rename(leaf, folder, here, Replace::Never)
        });
        match kept {
            Ok(when) => Ok(Some(when)),
            Err(error) if is_full(&error) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::not_found(name)),
            Err(error) => Err(StoreError::disk(name, error)),
        }
    }

    /// Gives what is to be replaced a place in the trash before its name goes to `staged`: by a
    /// second link, so that the name is never without a file; where there are no links, by an
    /// exchange.
    pub(super) fn keep_replaced(
        &mut self,
        parent: &Folder,
        name: &FileName,
        facts: &FileFacts,
        staged: &mut StagedFile,
    ) -> Result<Aside, StoreError> {
        if !self.inner.trash.takes(facts.size) {
            tracing::info!(%name, size = facts.size, "what is replaced is not kept");
            return Ok(Aside::No);
        }
        let (leaf, amount) = (name.leaf(), Amount::of(facts));
        let linked = self.bring(name, amount, |folder, here| parent.link(leaf, folder, here));
        match linked {
            Ok(when) => return Ok(Aside::Linked(when)),
            Err(error) if !has_no_links(&error) => return Err(StoreError::disk(name, error)),
            Err(_) => {}
        }
        let mut published = None;
        let exchanged = self.bring(name, amount, |folder, here| {
            published = Some(staged.publish_in_exchange(parent, leaf, folder, here)?);
            Ok(())
        });
        match (exchanged, published) {
            (Ok(when), Some(facts)) => Ok(Aside::Exchanged(when, facts)),
            (Err(error), _) if has_no_links(&error) => {
                tracing::warn!(%name, "what is replaced cannot be kept on this file system");
                Ok(Aside::No)
            }
            (Err(error), _) => Err(StoreError::disk(name, error)),
            (Ok(_), None) => Ok(Aside::No),
        }
    }

    /// Gives a file that stands in the way of a kept one a second link in the trash.
    pub(super) fn keep_displaced(
        &mut self,
        parent: &Folder,
        name: &FileName,
        facts: &FileFacts,
    ) -> Result<When, StoreError> {
        if !self.inner.trash.takes(facts.size) {
            return Err(StoreError::Conflict {
                name: name.clone(),
                reason: "what stands there now would not be kept; rename it first",
            });
        }
        let leaf = name.leaf();
        self.bring(name, Amount::of(facts), |folder, here| {
            parent.link(leaf, folder, here)
        })
        .map_err(|error| StoreError::disk(name, error))
    }

    /// Takes a second link out of the trash again.
    pub(super) fn unkeep(&mut self, when: When, name: &FileName, amount: Amount) {
        let folder = self.inner.trash.folder_of(when, name);
        let removed = folder.and_then(|folder| folder.remove_file(name.leaf()));
        match removed {
            Ok(()) => self.inner.trash.taken(when, name, amount),
            Err(error) => tracing::warn!(%name, "a file is in the trash as well: {error}"),
        }
    }

    fn bring(
        &mut self,
        name: &FileName,
        amount: Amount,
        mut how: impl FnMut(&Folder, &str) -> io::Result<()>,
    ) -> io::Result<When> {
        let place =
            self.with_room(|publisher| publisher.inner.trash.keep(name, amount, &mut how))?;
        self.batch.kept(place.touched);
        let _ = self.inner.to_sweep.send(Sweep::Trim);
        Ok(place.when)
    }
}

/// Whether the file system knows no second link, or no exchange, for this file.
fn has_no_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unsupported
            | ErrorKind::PermissionDenied
            | ErrorKind::TooManyLinks
            | ErrorKind::CrossesDevices
    )
}
