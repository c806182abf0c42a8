use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, SyncSender};

use super::answer::Answer;
use super::damage::Damage;
use super::error::StoreError;
use super::hash_slots::HashSlots;
use super::hasher::HashGate;
use super::index::{IndexState, Readers, Rows};
use super::ledger::Ledger;
use super::names::Rules;
use super::options::{Durability, NameRules};
use super::partial::Partials;
use super::publisher::{Job, Publication};
use super::scanner::ScanGate;
use super::staging::Staging;
use super::sweeper::Sweep;
use super::trash::Trash;
use crate::disk::Folder;
use crate::types::FileName;

/// What the store's threads and its callers share.
pub(super) struct Inner {
    pub(super) root: Folder,
    pub(super) root_path: PathBuf,
    pub(super) names: NameRules,
    pub(super) durability: Durability,
    pub(super) max_file_size: Option<u64>,
    pub(super) quota: Option<u64>,
    pub(super) index_state: IndexState,
    pub(super) staging: Staging,
    pub(super) partials: Arc<Partials>,
    pub(super) trash: Trash,
    pub(super) damage: Damage,
    pub(super) readers: Readers,
    pub(super) ledger: Arc<Ledger>,
    pub(super) jobs: SyncSender<Job>,
    /// `None` in it stops one of the threads that sync files.
    pub(super) to_sync: SyncSender<Option<Box<Publication>>>,
    pub(super) to_sweep: Sender<Sweep>,
    pub(super) scan: ScanGate,
    pub(super) hashing: HashGate,
    pub(super) hash_slots: HashSlots,
    pub(super) stopping: AtomicBool,
}

impl Inner {
    pub(super) fn rules<'a>(&'a self, rows: Rows<'a>) -> Rules<'a> {
        Rules {
            rows,
            root: &self.root,
            names: self.names,
        }
    }

    /// Reads the index. When it turns out to be damaged, the publisher makes it anew.
    pub(super) fn read<T>(
        &self,
        question: impl FnOnce(Rows<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let answer = self.readers.read(question);
        if answer.is_err() && self.readers.found_damage() {
            let _ = self.jobs.try_send(Job::Repair);
        }
        answer
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Hands a change to the publisher. When that has stopped, the job's answer is `Closed`.
    pub(super) fn send(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// Hands a change to the publisher and waits for what becomes of it.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(Answer<T>) -> Job,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = Answer::awaited();
        self.send(job(answer));
        outcome.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Tells the publisher that the index does not agree with the disk about a name. Nobody waits
    /// for it, and when there is much to do the next walk will find it again.
    pub(super) fn noticed(&self, name: &FileName) {
        let _ = self.jobs.try_send(Job::Look {
            folder: name.folder(),
            hidden: Vec::new(),
            names: vec![name.clone()],
            answer: Answer::unheard(),
        });
    }
}
