//! The folder that a server shares: its files, and what the server knows of them.
//!
//! The folder is the database. A stored file is an ordinary file under its own name; the index
//! beside it (`index`) only saves hashing files again, and follows whatever people do in the folder
//! by hand (`scanner`, `hasher`). Uploads are written into a staging folder and then given their
//! names by one thread (`publisher`), which makes every change, one after the other, and answers
//! when a change is there for good.
//!
//! Everything here blocks. It knows no messages, no sessions and no async runtime.

mod answer;
mod cause;
mod content;
mod damage;
mod database;
mod error;
mod hash_slots;
mod hasher;
mod index;
mod inner;
mod journal;
mod ledger;
mod listing;
mod lookup;
mod names;
mod open;
mod options;
mod own_folder;
mod partial;
mod places;
mod publisher;
mod readings;
mod row_queue;
mod scanner;
mod scrub;
mod signing;
mod staging;
mod stored_file;
mod sweeper;
mod trash;
mod undo;
mod upload;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::digest::{BlockSize, Hasher};
use crate::disk;
use crate::types::{Entry, FileName, FileRef, Item, Precondition};

pub use answer::Done;
pub use cause::Cause;
pub use error::{IndexError, OpenError, StoreError};
pub use index::IndexState;
pub use journal::UndoCursor;
pub use listing::{ListQuery, Page};
pub use options::{Durability, NameRules, StoreOptions};
pub use partial::{Found, Partial, PartialKey, Reread};
pub use places::Places;
pub use publisher::Removed;
pub use scrub::{Finding, Scrub, ScrubTotals, ScrubWatch};
pub use signing::{Signed, Signing};
pub use stored_file::StoredFile;
pub use trash::TrashPage;
pub use undo::{UndoPage, Undone};
pub use upload::{NewFile, Upload};

use inner::Inner;
use open::Running;
use publisher::Job;
use trash::Amount;

/// How many damaged files are named.
const DAMAGED_SHOWN: usize = 64;

/// A shared folder; cheap to clone. It is closed when the last clone is dropped.
#[derive(Clone)]
pub struct Store(Arc<Running>);

impl Store {
    /// Opens the folder for serving, making it when it is missing. No other process can serve it
    /// until this one closes it or ends. However many files wait to be hashed, this does not wait.
    pub fn open(options: StoreOptions) -> Result<Store, OpenError> {
        Running::start(options).map(|running| Store(Arc::new(running)))
    }

    /// Whether the index of an earlier run was there.
    pub fn index_state(&self) -> IndexState {
        self.inner().index_state
    }

    /// Finishes what is being published, stops the threads and gives the folder free. Whatever is
    /// asked of the store afterwards is answered with [`StoreError::Closed`].
    pub fn close(&self) {
        self.0.close();
    }

    /// What stands under a name now. The id of a file that is not known is computed on the spot
    /// when the file is small; that of a large one is computed in the background, and told to
    /// whoever asks again later.
    pub fn stat(&self, file: &FileRef) -> Result<Item, StoreError> {
        let found = self.inner().resolve(file)?;
        if found.is_folder() {
            return Ok(Item::Folder(found.name));
        }
        self.inner().entry_of(&found).map(Item::File)
    }

    /// Opens a file for reading.
    pub fn open_file(&self, file: &FileRef) -> Result<StoredFile, StoreError> {
        self.inner().open_file(file)
    }

    /// Opens a file to learn of which blocks it consists.
    pub fn sign(&self, file: &FileRef, size: BlockSize) -> Result<Signing, StoreError> {
        Ok(Signing::new(self.open_file(file)?, size))
    }

    /// The next at most `max_items` items after `after`, in byte order of names: files however
    /// deep, and folders that have nothing in them.
    ///
    /// The first page (`after` is `None`) is made once the index is at most a second behind the
    /// disk. A name that is there the whole time is on exactly one page.
    pub fn list(
        &self,
        query: &ListQuery,
        after: Option<&FileName>,
        max_items: usize,
    ) -> Result<Page, StoreError> {
        self.inner().list(query, after, max_items)
    }

    /// Makes every check that can be made before an upload's bytes are there. `Some` is the file
    /// that has the name already, which the conflict policy decides about; its id is told only
    /// when it is known and can be relied upon ([`stat`](Self::stat) computes it).
    pub fn examine(&self, new: &NewFile) -> Result<Option<Entry>, StoreError> {
        self.inner().examine(new)
    }

    /// Whether the file is known to be damaged: its recorded id is not that of its bytes.
    pub fn is_damaged(&self, name: &FileName) -> bool {
        self.inner().damaged().contains(name)
    }

    /// Begins an upload. What was kept of an earlier one with the same key is thrown away.
    pub fn stage(&self, new: NewFile) -> Result<Upload, StoreError> {
        self.inner().stage(new)
    }

    /// What arrived of an upload with this key that was cut, for a file of this size.
    pub fn find_partial(&self, key: &PartialKey, size: Option<u64>) -> Result<Found, StoreError> {
        self.inner().find_partial(key, size)
    }

    /// Goes on with an upload that was cut, behind what arrived, all of which was read again. Tells
    /// the state of the digest, too.
    pub fn go_on(&self, new: NewFile, partial: Partial) -> Result<(Upload, Hasher), StoreError> {
        self.inner().go_on(new, partial)
    }

    /// Gives a file or folder another name, which nothing may have. Tells what it is called now,
    /// or with `dry_run` what is called `from`, when nothing would be in the way.
    pub fn rename(
        &self,
        from: &FileRef,
        to: &FileName,
        precondition: Precondition,
        dry_run: bool,
        cause: &Cause,
    ) -> Result<Item, StoreError> {
        let inner = self.inner();
        let found = inner.resolve_one(from)?;
        let expected = inner.confirm(&found, precondition)?.or(match from {
            FileRef::Id(_) => Some(found.facts),
            FileRef::Name(_) => None,
        });
        if dry_run {
            return inner.read(|rows| {
                let rules = inner.rules(rows);
                rules
                    .check_rename(&found.name, to)
                    .map(|found| found.item())
            });
        }
        inner.ask(|answer| Job::Rename {
            from: found.name,
            to: to.clone(),
            expected,
            cause: cause.clone(),
            answer,
        })
    }

    /// Removes a file, or with `recursive` a folder and all that is in it, shared or not. It goes to
    /// the trash, if that takes it. Tells what was removed, or would be.
    pub fn remove(
        &self,
        file: &FileRef,
        recursive: bool,
        precondition: Precondition,
        dry_run: bool,
        cause: &Cause,
    ) -> Result<Removed, StoreError> {
        let inner = self.inner();
        let found = inner.resolve_one(file)?;
        let expected = inner.confirm(&found, precondition)?.or(match file {
            FileRef::Id(_) => Some(found.facts),
            FileRef::Name(_) => None,
        });
        let amount = match found.is_folder() {
            true if !recursive => return Err(StoreError::IsFolder { name: found.name }),
            true => {
                let contents = disk::contents(&found.parent, found.name.leaf())
                    .map_err(|error| StoreError::look(&found.name, error))?;
                // Removing renames first, and a rename takes what is mounted inside along.
                let Some(contents) = contents else {
                    return Err(StoreError::Conflict {
                        name: found.name,
                        reason: "another file system is mounted inside",
                    });
                };
                Amount::from(contents)
            }
            false => Amount::of(&found.facts),
        };
        if dry_run {
            return Ok(Removed {
                item: found.item(),
                kept: inner.trash.takes(amount.bytes),
            });
        }
        inner.ask(|answer| Job::Remove {
            name: found.name,
            recursive,
            amount,
            expected,
            cause: cause.clone(),
            answer,
        })
    }

    /// Removes a folder with nothing in it, shared or not. It does not go to the trash.
    pub fn remove_empty_folder(&self, name: &FileName, cause: &Cause) -> Result<(), StoreError> {
        self.inner().ask(|answer| Job::RemoveEmptyFolder {
            name: name.clone(),
            cause: cause.clone(),
            answer,
        })
    }

    /// Makes a folder, and those above it that are missing.
    pub fn make_folder(
        &self,
        name: &FileName,
        dry_run: bool,
        cause: &Cause,
    ) -> Result<(), StoreError> {
        let inner = self.inner();
        if dry_run {
            return inner.read(|rows| inner.rules(rows).check_free(name, None));
        }
        inner.ask(|answer| Job::MakeFolder {
            name: name.clone(),
            cause: cause.clone(),
            answer,
        })
    }

    /// The next at most `max_items` files after `after` (a name and a version) that were replaced
    /// or removed and are kept, in byte order of names and then by version. Each page reads the
    /// whole trash and keeps no more of it in memory than the page.
    pub fn trash(
        &self,
        query: &ListQuery,
        after: Option<(&FileName, u32)>,
        max_items: usize,
    ) -> Result<TrashPage, StoreError> {
        self.inner().trash_page(query, after, max_items)
    }

    /// Brings a file back out of the trash: version 1 is the one that went last. What stands under
    /// its name goes to the trash in its turn. Tells what stands there now, or with `dry_run` would.
    pub fn restore(
        &self,
        name: &FileName,
        version: u32,
        dry_run: bool,
        cause: &Cause,
    ) -> Result<Item, StoreError> {
        let inner = self.inner();
        let (when, facts) = inner.find_kept(name, version)?;
        if dry_run {
            let free = inner.read(|rows| inner.rules(rows).check_free(name, None));
            return match free {
                Ok(())
                | Err(StoreError::AlreadyExists {
                    existing: Some(_), ..
                }) => Ok(Item::File(Entry {
                    name: name.clone(),
                    id: None,
                    size: facts.size,
                    modified: facts.modified,
                    executable: facts.executable,
                })),
                Err(error) => Err(error),
            };
        }
        let restored = inner.ask(|answer| Job::Restore {
            name: name.clone(),
            when,
            cause: cause.clone(),
            answer,
        })?;
        // With its id, if that does not take long.
        Ok(self.stat(&FileRef::Name(name.clone())).unwrap_or(restored))
    }

    /// Takes back some of what the owner's last command changed, the last change first, each only
    /// if what it left is still there: what was added goes to the trash, what was replaced or
    /// removed comes back, what was renamed gets its old name. To be called again with the cursor
    /// of the page until there is none; then the command is forgotten.
    pub fn undo(
        &self,
        owner: Option<&str>,
        from: Option<UndoCursor>,
        dry_run: bool,
    ) -> Result<UndoPage, StoreError> {
        self.inner().undo(owner, from, dry_run)
    }

    /// What can be said of the store as a whole. Like a listing, it is at most a second behind the
    /// disk, unless the store is closed.
    pub fn facts(&self) -> Result<StoreFacts, StoreError> {
        let inner = self.inner();
        inner.scan.ensure_fresh()?;
        let (unhashed_files, unhashed_bytes) = inner.read(|rows| Ok(rows.unhashed_totals()?))?;
        let unreadable = inner.hashing.unreadable();
        let stored = inner.ledger.stored();
        let unshared = inner.scan.unshared();
        let trash = inner.trash.total();
        let damaged = inner.damaged();
        Ok(StoreFacts {
            root: inner.root_path.clone(),
            files: stored.files,
            bytes: stored.bytes,
            unhashed_files: unhashed_files.saturating_sub(unreadable.files),
            unhashed_bytes: unhashed_bytes.saturating_sub(unreadable.bytes),
            left_out: LeftOut {
                links: unshared.left_out.links,
                special: unshared.left_out.special,
                mounts: unshared.left_out.mounts,
                names: unshared.left_out.names,
                twins: unshared.twins,
                unreadable: unshared.left_out.unreadable + unreadable.files,
            },
            free_space: inner.root.free_space(),
            quota: inner.quota,
            max_file_size: inner.max_file_size,
            names: inner.names,
            durability: inner.durability,
            trash_files: trash.files,
            trash_bytes: trash.bytes,
            keep_removed: inner.trash.time,
            keep_removed_size: inner.trash.size,
            damaged_files: damaged.len() as u64,
            damaged: damaged.into_iter().take(DAMAGED_SHOWN).collect(),
        })
    }

    fn inner(&self) -> &Arc<Inner> {
        self.0.inner()
    }
}

/// What can be said of a store as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    /// The folder that is shared.
    pub root: PathBuf,
    /// How many files are shared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them have no id yet and will get one.
    pub unhashed_files: u64,
    /// The bytes of those.
    pub unhashed_bytes: u64,
    /// What is in the folder and is not shared.
    pub left_out: LeftOut,
    /// How many bytes the disk has room for, where the system tells.
    pub free_space: Option<u64>,
    /// How many bytes the shared files may have in all.
    pub quota: Option<u64>,
    /// The largest file that is taken.
    pub max_file_size: Option<u64>,
    /// Which names may be created.
    pub names: NameRules,
    /// How sure a change is before it is acknowledged.
    pub durability: Durability,
    /// How many replaced and removed files are kept.
    pub trash_files: u64,
    /// Their bytes.
    pub trash_bytes: u64,
    /// For how long they are kept; zero: not at all.
    pub keep_removed: Duration,
    /// How many bytes of them are kept.
    pub keep_removed_size: u64,
    /// How many files are known to be damaged.
    pub damaged_files: u64,
    /// The first of them by name, at most 64.
    pub damaged: Vec<FileName>,
}

/// How many things in the folder are not shared, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Symbolic links.
    pub links: u64,
    /// FIFOs, sockets and devices.
    pub special: u64,
    /// Other file systems mounted there.
    pub mounts: u64,
    /// Names that no client could name.
    pub names: u64,
    /// Names that differ from a shared one only in case or Unicode form.
    pub twins: u64,
    /// Folders that could not be read, and files: those are listed, but have no id.
    pub unreadable: u64,
}
