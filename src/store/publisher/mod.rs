//! The one thread that changes names: it publishes, renames and removes, and writes the index.
//!
//! Because every change passes through here, a decision ("this name is free") still holds when it
//! is acted upon; only a person who works in the folder by hand can come between, and the renames
//! that never replace catch that. Whatever has queued up is done as one batch: all the renames,
//! then one sync for each folder that was touched, then one commit of the index, then the answers.

mod alter;
mod batch;
mod keep;
mod publish;
mod reconcile;
mod take_back;

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use super::answer::Answer;
use super::cause::Cause;
use super::content::Hashed;
use super::error::{IndexError, StoreError};
use super::index::Writer;
use super::inner::Inner;
use super::journal::{Change, Journal, UndoCursor};
use super::ledger::Reservation;
use super::names::Rules;
use super::options::Durability;
use super::partial::Claim;
use super::trash::{Amount, When};
use super::undo::UndoPage;
use crate::disk::{FileFacts, StagedFile};
use crate::types::{Digest, Entry, FileName, Item, OnConflict};

use batch::Batch;

/// How many changes share their syncs and their commit.
pub(super) const BATCH: usize = 256;

/// One change.
pub(super) enum Job {
    /// A staged file, synced already, gets its name.
    Publish(Box<Publication>),
    /// A file or folder gets another name.
    Rename {
        from: FileName,
        to: FileName,
        /// What the file must still be.
        expected: Option<FileFacts>,
        cause: Cause,
        answer: Answer<Item>,
    },
    /// A file or folder goes.
    Remove {
        name: FileName,
        recursive: bool,
        /// How much it is.
        amount: Amount,
        expected: Option<FileFacts>,
        cause: Cause,
        answer: Answer<Removed>,
    },
    /// A folder with nothing in it goes.
    RemoveEmptyFolder {
        name: FileName,
        cause: Cause,
        answer: Answer<()>,
    },
    /// A folder is made.
    MakeFolder {
        name: FileName,
        cause: Cause,
        answer: Answer<()>,
    },
    /// A file of the trash gets its name back.
    Restore {
        name: FileName,
        when: When,
        cause: Cause,
        answer: Answer<Item>,
    },
    /// Some of what a command changed is taken back.
    TakeBack {
        owner: Option<String>,
        /// Where to go on; `None` is the end of the owner's last command.
        from: Option<UndoCursor>,
        dry_run: bool,
        answer: Answer<UndoPage>,
    },
    /// The index may be wrong about names in one folder: what is on the disk now is written into
    /// it. Hidden names are forgotten whatever is there.
    Look {
        folder: Option<FileName>,
        hidden: Vec<FileName>,
        names: Vec<FileName>,
        answer: Answer<()>,
    },
    /// What in a folder is not shared and must have no twin: leaves and their folds.
    Lookalikes {
        folder: Option<FileName>,
        found: Vec<(String, String)>,
        answer: Answer<()>,
    },
    /// A file was read and its id is known.
    Learn {
        name: FileName,
        hashed: Hashed,
        answer: Answer<()>,
    },
    /// Somebody found the index damaged.
    Repair,
    /// Finish what is queued, then stop.
    Stop,
}

/// An upload that is complete.
pub(super) struct Publication {
    pub(super) staged: StagedFile,
    pub(super) name: FileName,
    pub(super) on_conflict: OnConflict,
    /// Whether a certain version must stand there, and what it was when it was looked at.
    pub(super) expected: Option<FileFacts>,
    pub(super) digest: Digest,
    /// Held while the file has its temporary name, if that can be found again.
    pub(super) claim: Option<Claim>,
    pub(super) cause: Cause,
    /// Held until the index counts the file.
    pub(super) reservation: Reservation,
    pub(super) answer: Answer<Entry>,
}

/// Something that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// What it was.
    pub item: Item,
    /// Whether it is kept in the trash, whole.
    pub kept: bool,
}

/// Syncs files until it is told to stop, and hands them on. Several threads run this.
pub(super) fn sync_files(inner: &Inner, publications: &Mutex<Receiver<Option<Box<Publication>>>>) {
    loop {
        // One thread waits in recv holding the lock, the others wait for the lock: the same thing.
        let next = publications
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(Some(publication)) = next else {
            return;
        };
        match publication.staged.sync() {
            Ok(()) => inner.send(Job::Publish(publication)),
            Err(error) => {
                // Never tried again: the system may have dropped the pages that it could not write.
                let error = StoreError::disk(&publication.name, error);
                let Publication { staged, answer, .. } = *publication;
                drop(staged);
                answer.give(Err(error));
            }
        }
    }
}

/// The thread's state.
pub(super) struct Publisher {
    inner: Arc<Inner>,
    writer: Writer,
    journal: Journal,
    batch: Batch,
    /// On whose behalf the present job changes something; `None`: it cannot be taken back.
    cause: Option<Cause>,
    /// Why what was written into the index since `begin` must not be kept.
    index_error: Option<IndexError>,
    /// Whether the index must be made anew.
    damaged: bool,
}

impl Publisher {
    pub(super) fn new(inner: Arc<Inner>, writer: Writer, journal: Journal) -> Self {
        Publisher {
            inner,
            writer,
            journal,
            batch: Batch::default(),
            cause: None,
            index_error: None,
            damaged: false,
        }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut stopped = false;
        while !stopped {
            let Ok(first) = jobs.recv() else {
                break;
            };
            stopped = self.run_batch(first, jobs);
        }
        while let Ok(next) = jobs.try_recv() {
            self.run_batch(next, jobs);
        }
        self.journal.close();
        if let Err(error) = self.writer.close() {
            tracing::warn!("the index was not closed cleanly: {error}");
        }
    }

    /// Whether one of the jobs was to stop.
    fn run_batch(&mut self, first: Job, jobs: &Receiver<Job>) -> bool {
        let mut stopped = false;
        if let Err(error) = self.writer.begin() {
            self.index_error = Some(error);
        }
        for job in [first].into_iter().chain(jobs.try_iter()).take(BATCH) {
            match job {
                Job::Stop => stopped = true,
                job => self.act(job),
            }
            if self.batch.is_full() {
                break;
            }
        }
        self.finish();
        stopped
    }

    fn act(&mut self, job: Job) {
        self.cause = None;
        match job {
            Job::Publish(publication) => self.publish(*publication),
            Job::Rename {
                from,
                to,
                expected,
                cause,
                answer,
            } => {
                self.cause = Some(cause);
                let outcome = self.rename(&from, &to, expected);
                self.answer_later(from, answer, outcome);
            }
            Job::Remove {
                name,
                recursive,
                amount,
                expected,
                cause,
                answer,
            } => {
                self.cause = Some(cause);
                let outcome = self.remove(&name, recursive, amount, expected);
                self.answer_later(name, answer, outcome);
            }
            Job::RemoveEmptyFolder {
                name,
                cause,
                answer,
            } => {
                self.cause = Some(cause);
                let outcome = self.remove_empty_folder(&name);
                self.answer_later(name, answer, outcome);
            }
            Job::MakeFolder {
                name,
                cause,
                answer,
            } => {
                self.cause = Some(cause);
                let outcome = self.make_folder(&name);
                self.answer_later(name, answer, outcome);
            }
            Job::Restore {
                name,
                when,
                cause,
                answer,
            } => {
                self.cause = Some(cause);
                let outcome = self.restore(&name, when);
                self.answer_later(name, answer, outcome);
            }
            Job::TakeBack {
                owner,
                from,
                dry_run,
                answer,
            } => self.take_back(owner.as_deref(), from, dry_run, answer),
            Job::Look {
                folder,
                hidden,
                names,
                answer,
            } => {
                self.reconcile(folder.as_ref(), &hidden, &names);
                self.batch.answers.push(Box::new(|_| answer.give(Ok(()))));
            }
            Job::Lookalikes {
                folder,
                found,
                answer,
            } => {
                self.remember(|index| index.set_lookalikes(folder.as_ref(), &found));
                self.batch.answers.push(Box::new(|_| answer.give(Ok(()))));
            }
            Job::Learn {
                name,
                hashed,
                answer,
            } => {
                self.learn(&name, &hashed);
                self.batch.answers.push(Box::new(|_| answer.give(Ok(()))));
            }
            // The end of the batch looks after it.
            Job::Repair | Job::Stop => {}
        }
    }

    fn rules(&self) -> Rules<'_> {
        self.inner.rules(self.writer.rows())
    }

    /// Writes into the index. The disk has the change already, so a failure is not the failure of
    /// the change: the index is brought back in step by the next walk.
    fn remember(&mut self, write: impl FnOnce(&mut Writer) -> Result<(), IndexError>) {
        if self.index_error.is_none()
            && let Err(error) = write(&mut self.writer)
        {
            self.index_error = Some(error);
        }
    }

    /// Writes a change down, so that it can be taken back.
    fn record(&mut self, change: Change) {
        if let Some(cause) = &self.cause {
            self.journal.record(cause, &change);
        }
    }

    /// Ends a batch: what the answers promise becomes true, and then they are given.
    fn finish(&mut self) {
        if self.inner.durability == Durability::Fsync {
            self.batch.sync();
        }
        self.inner.trash.end_batch();
        self.journal.commit();
        let committed = match self.index_error.take() {
            Some(error) => Err(error),
            None => self.writer.commit(),
        };
        if let Err(error) = committed {
            tracing::warn!("the index missed a change and will be brought up to date: {error}");
            self.writer.roll_back();
            self.damaged |= error.is_damage();
        }
        if self.damaged || self.inner.readers.found_damage() {
            self.replace_index();
        }
        self.inner.ledger.set_stored(self.writer.totals());
        self.inner.hashing.wake();
        std::mem::take(&mut self.batch).answer();
    }

    fn replace_index(&mut self) {
        self.inner.readers.renew();
        // Closed first: a connection that is closed removes the log that belongs to its path.
        let replaced = self
            .writer
            .abandon()
            .and_then(|()| self.inner.readers.file().replace());
        // Until it succeeds, every batch tries again.
        self.damaged = replaced.is_err();
        match replaced {
            Ok(writer) => {
                tracing::warn!("the index was damaged and is made anew from the folder");
                self.writer = writer;
                self.inner.readers.renew();
                self.inner.scan.want();
            }
            Err(error) => tracing::error!("the damaged index cannot be made anew: {error}"),
        }
    }
}
