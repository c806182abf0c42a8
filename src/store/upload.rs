use std::io::{self, ErrorKind, Write};
use std::sync::Arc;

use super::answer::{Answer, Done};
use super::cause::Cause;
use super::error::{StoreError, is_full};
use super::inner::Inner;
use super::ledger::Reservation;
use super::names::{Place, taken_by};
use super::options::Durability;
use super::partial::{Claim, LEAST, Partial, PartialKey};
use super::publisher::{Job, Publication};
use crate::digest::Hasher;
use crate::disk::{FileFacts, FileKind, StagedFile};
use crate::types::{Digest, Entry, FileName, OnConflict, Precondition, Timestamp};

/// From this size on room is set aside for a file before it comes. A smaller file is written in
/// less time than that takes.
const RESERVED_FROM: u64 = 1024 * 1024;

/// Room is set aside, and promised, for as much again as came already, in steps of the one and at
/// most the other at a time: whoever announces much and sends nothing takes no room from others.
const STEP: u64 = 4 * 1024 * 1024;
const LARGEST_STEP: u64 = 64 * 1024 * 1024;

/// A file that is about to be uploaded.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// The name that it is to have.
    pub name: FileName,
    /// Its size, where the sender knows it.
    pub size: Option<u64>,
    /// The time of its last change; `None` is the time of its upload.
    pub modified: Option<Timestamp>,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// What to do when the name is taken.
    pub on_conflict: OnConflict,
    /// What must hold of the file that is replaced.
    pub precondition: Precondition,
    /// Under what to keep what arrived, should the upload be cut.
    pub partial: Option<PartialKey>,
    /// On whose behalf it is stored.
    pub cause: Cause,
}

impl NewFile {
    /// A file of which nothing but the name is known, and that replaces nothing.
    pub fn new(name: FileName) -> Self {
        NewFile {
            name,
            size: None,
            modified: None,
            executable: false,
            on_conflict: OnConflict::Error,
            precondition: Precondition::default(),
            partial: None,
            cause: Cause::default(),
        }
    }
}

/// A file that is being uploaded. Nobody sees it before it is published; dropping it removes it.
pub struct Upload {
    inner: Arc<Inner>,
    new: NewFile,
    staged: StagedFile,
    /// The right to the name in the folder of partials, if that is where the file is.
    claim: Option<Claim>,
    reservation: Reservation,
    /// How much of the disk is set aside.
    reserved: u64,
    received: u64,
}

impl Inner {
    pub(super) fn examine(&self, new: &NewFile) -> Result<Option<Entry>, StoreError> {
        // What is kept of it need not find room again.
        let (_, kept) = self.partials.bytes(new.partial.as_ref());
        self.examine_beside(new, kept)
    }

    /// The same for a file of which so many bytes are on the disk already.
    fn examine_beside(&self, new: &NewFile, there: u64) -> Result<Option<Entry>, StoreError> {
        let name = &new.name;
        if self.is_stopping() {
            return Err(StoreError::Closed);
        }
        let existing = self.read(|rows| {
            let rules = self.rules(rows);
            if let Place::Ready(folder) = rules.place(name.folder().as_ref())? {
                match folder.facts(name.leaf()) {
                    Ok(facts) if facts.kind == FileKind::File => {
                        return match rules.find(name) {
                            Ok(found) => Ok(Some(found.entry())),
                            Err(StoreError::NotFound(_)) => {
                                rules.check_new(name)?;
                                Err(taken_by(name, FileKind::Special))
                            }
                            Err(error) => Err(error),
                        };
                    }
                    Ok(_) if new.on_conflict == OnConflict::Rename => return Ok(None),
                    Ok(facts) => return Err(taken_by(name, facts.kind)),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(StoreError::disk(name, error)),
                }
            }
            match rules.check_new(name) {
                Err(StoreError::Twin { .. }) if new.on_conflict == OnConflict::Rename => Ok(None),
                checked => checked.map(|()| None),
            }
        })?;
        let size = new.size.unwrap_or(0);
        self.check_size(name, size)?;
        if !self.ledger.has_room(size, self.quota) {
            return Err(self.quota_exceeded(name));
        }
        self.check_free_space(new, size.saturating_sub(there))?;
        Ok(existing)
    }

    pub(super) fn stage(self: &Arc<Self>, new: NewFile) -> Result<Upload, StoreError> {
        // What is kept of it is thrown away, and so makes room.
        let (_, kept) = self.partials.bytes(new.partial.as_ref());
        self.check_wanted(&new, kept)?;
        let failed = |error| StoreError::disk(&new.name, error);
        // A file that is too small to be kept needs no name that can be found again.
        let key = new.partial.as_ref();
        let key = key.filter(|_| new.size.is_none_or(|size| size >= LEAST));
        let kept = match key {
            Some(key) => self.partials.create(key).map_err(failed)?,
            None => None,
        };
        let (staged, claim) = match kept {
            Some((staged, claim)) => (staged, Some(claim)),
            None => (self.staging.create().map_err(failed)?, None),
        };
        Ok(self.upload(new, staged, claim, 0))
    }

    pub(super) fn go_on(
        self: &Arc<Self>,
        new: NewFile,
        partial: Partial,
    ) -> Result<(Upload, Hasher), StoreError> {
        self.check_wanted(&new, partial.length())?;
        let parts = partial.into_parts();
        let (staged, claim, received, hasher) = parts.ok_or_else(|| StoreError::Conflict {
            name: new.name.clone(),
            reason: "what had arrived of it cannot be used after all",
        })?;
        let mut upload = self.upload(new, staged, Some(claim), received);
        upload.promise(received)?;
        Ok((upload, hasher))
    }

    /// That the file may be uploaded, and would not be refused for the name.
    fn check_wanted(&self, new: &NewFile, there: u64) -> Result<(), StoreError> {
        match (self.examine_beside(new, there)?, new.on_conflict) {
            (Some(existing), OnConflict::Error | OnConflict::Skip) => {
                Err(StoreError::AlreadyExists {
                    name: new.name.clone(),
                    existing: Some(existing),
                })
            }
            _ => Ok(()),
        }
    }

    fn upload(
        self: &Arc<Self>,
        new: NewFile,
        staged: StagedFile,
        claim: Option<Claim>,
        received: u64,
    ) -> Upload {
        Upload {
            inner: Arc::clone(self),
            staged,
            claim,
            reservation: Reservation::none(&self.ledger),
            reserved: 0,
            new,
            received,
        }
    }

    fn check_size(&self, name: &FileName, size: u64) -> Result<(), StoreError> {
        match self.max_file_size.filter(|limit| size > *limit) {
            Some(limit) => Err(StoreError::TooLarge {
                name: name.clone(),
                limit,
            }),
            None => Ok(()),
        }
    }

    fn check_free_space(&self, new: &NewFile, size: u64) -> Result<(), StoreError> {
        let lacks_room = || self.root.free_space().is_some_and(|free| free < size);
        if size < RESERVED_FROM || !lacks_room() {
            return Ok(());
        }
        // Nothing is given up for what would not fit all the same.
        let (others, _) = self.partials.bytes(new.partial.as_ref());
        let kept = others.saturating_add(self.trash.total().bytes);
        let free = self.root.free_space().unwrap_or(0);
        if free.saturating_add(kept) >= size && self.give_way(size) && !lacks_room() {
            return Ok(());
        }
        let name = new.name.clone();
        Err(StoreError::DiskFull { name })
    }

    /// Does something that needs so much room on the disk, again and again while it has none and
    /// what is only kept can give way.
    fn retried<T>(&self, bytes: u64, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match work() {
                Err(error) if is_full(&error) && self.give_way(bytes) => {}
                outcome => return outcome,
            }
        }
    }

    fn quota_exceeded(&self, name: &FileName) -> StoreError {
        StoreError::QuotaExceeded {
            name: name.clone(),
            quota: self.quota.unwrap_or(u64::MAX),
        }
    }
}

/// How much room an upload has once so much of it came.
fn room_for(received: u64, announced: Option<u64>) -> u64 {
    received
        .saturating_add(received.min(LARGEST_STEP))
        .checked_next_multiple_of(STEP)
        .unwrap_or(u64::MAX)
        .min(announced.unwrap_or(u64::MAX))
}

impl Upload {
    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let received = self.received.saturating_add(bytes.len() as u64);
        match self.new.size {
            Some(announced) if received > announced => return Err(self.mismatch(received)),
            Some(_) => {}
            None => self.inner.check_size(&self.new.name, received)?,
        }
        self.promise(received)?;
        let name = &self.new.name;
        // What is set aside cannot be more than comes only where the size is known.
        if received > self.reserved && self.new.size.is_some_and(|size| size >= RESERVED_FROM) {
            let ahead = room_for(received, self.new.size);
            let reserved = || self.staged.reserve(ahead);
            let reserved = self.inner.retried(ahead - self.reserved, reserved);
            reserved.map_err(|error| StoreError::disk(name, error))?;
            self.reserved = ahead;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = self
                .inner
                .retried(rest.len() as u64, || self.staged.write(rest));
            match written {
                Ok(0) => return Err(StoreError::disk(name, ErrorKind::WriteZero.into())),
                Ok(length) => rest = rest.get(length..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::disk(name, error)),
            }
        }
        self.received = received;
        Ok(())
    }

    /// Gets room in the quota for all that came: in steps first, then to the byte, so that the whole
    /// quota can be used.
    fn promise(&mut self, received: u64) -> Result<(), StoreError> {
        if received <= self.reservation.bytes() {
            return Ok(());
        }
        let quota = self.inner.quota;
        let ahead = room_for(received, self.new.size);
        if !self.reservation.grow_to(ahead, quota) && !self.reservation.grow_to(received, quota) {
            return Err(self.inner.quota_exceeded(&self.new.name));
        }
        self.inner.fit_partials();
        Ok(())
    }

    /// The upload was cut: what arrived is kept for a while, if it has a key and is worth it.
    pub fn keep(self) {
        let Upload {
            inner,
            staged,
            claim,
            reservation,
            received,
            ..
        } = self;
        let Some(claim) = claim else {
            return;
        };
        claim.keep(staged, received);
        drop(reservation);
        inner.fit_partials();
    }

    /// The name that the upload asked for.
    pub fn name(&self) -> &FileName {
        &self.new.name
    }

    /// Gives the file its name, once its content is complete and `digest` is the digest of what
    /// was written. `done` is called when the file is stored for good, or with the reason why it
    /// is not; see [`Done`] for what it may do.
    ///
    /// This blocks while many other files are waiting to be published.
    pub fn publish(self, digest: Digest, done: Done<Entry>) {
        let answer = Answer::to(done);
        let expected = match self.complete() {
            Ok(expected) => expected,
            Err(error) => {
                drop(self);
                return answer.give(Err(error));
            }
        };
        let publication = Box::new(Publication {
            staged: self.staged,
            name: self.new.name,
            on_conflict: self.new.on_conflict,
            expected,
            digest,
            claim: self.claim,
            cause: self.new.cause,
            reservation: self.reservation,
            answer,
        });
        match self.inner.durability {
            Durability::Fsync => drop(self.inner.to_sync.send(Some(publication))),
            Durability::None => self.inner.send(Job::Publish(publication)),
        }
    }

    /// Brings everything but the name into its final state.
    fn complete(&self) -> Result<Option<FileFacts>, StoreError> {
        let name = &self.new.name;
        if self.new.size.is_some_and(|size| size != self.received) {
            return Err(self.mismatch(self.received));
        }
        let finish = || {
            if let Some(modified) = self.new.modified {
                self.staged.set_modified(modified)?;
            }
            self.staged.set_permissions(self.new.executable)
        };
        finish().map_err(|error| StoreError::disk(name, error))?;
        if self.new.precondition.if_match.is_none() {
            return Ok(None);
        }
        let found = match self.inner.look(name) {
            Err(StoreError::NotFound(_)) => {
                return Err(StoreError::PreconditionFailed { name: name.clone() });
            }
            found => found?,
        };
        self.inner.confirm(&found, self.new.precondition)
    }

    fn mismatch(&self, received: u64) -> StoreError {
        StoreError::SizeMismatch {
            name: self.new.name.clone(),
            announced: self.new.size.unwrap_or(0),
            received,
        }
    }
}
