//! What arrived of uploads that were cut, so that they can go on where they stopped.
//!
//! An upload that has a [`PartialKey`] is written into a folder of its own beside staging, under a
//! name made of the key, from its first byte: what is there after a kill can be found again. How
//! much of it is right nobody knows, so it is read again before anybody goes on with it, and only
//! the digest of the whole file says in the end that it was.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::content::now;
use super::error::StoreError;
use super::inner::Inner;
use super::own_folder::{Home, OwnFolder};
use crate::digest::{self, Hasher};
use crate::disk::{FileFacts, Folder, StagedFile};
use crate::types::{Digest, FileName, Timestamp};

const LEAF: &str = "partial";

/// What is kept are whole segments of this size, as they come over the wire.
const SEGMENT: u64 = 64 * 1024;

/// Less is not worth keeping: it is sent again in no time.
pub(super) const LEAST: u64 = 1024 * 1024;

/// How long what arrived is kept.
const AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How many uploads that were cut are kept; then the oldest gives way.
const MOST: usize = 64;

/// How much is read again at a time.
const HOP: u64 = 16 * 1024 * 1024;

/// Says which uploads are one and the same: those of one user, with one token, for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialKey(String);

impl PartialKey {
    /// The key of an upload; `None` for the token 0: nothing need be kept.
    pub fn new(owner: Option<&str>, token: u64, name: &FileName) -> Option<Self> {
        let hash = digest::keyed(
            b"fileshare partial upload",
            &[
                &[u8::from(owner.is_some())],
                owner.unwrap_or_default().as_bytes(),
                &token.to_le_bytes(),
                name.as_str().as_bytes(),
            ],
        );
        let leaf = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        (token != 0).then_some(PartialKey(leaf))
    }
}

/// What there is of an upload that was cut.
pub enum Found {
    /// Nothing.
    Nothing,
    /// Somebody is writing or reading it just now.
    InUse,
    /// This.
    Partial(Box<Partial>),
}

/// How far reading a [`Partial`] again is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reread {
    /// All of it was read.
    Done,
    /// There is more to read.
    More,
    /// As many files are being hashed as may be: try again a little later.
    Busy,
}

/// What arrived of an upload that was cut. Nobody else can have it meanwhile; dropping it leaves it
/// where it is.
pub struct Partial {
    inner: Arc<Inner>,
    /// `None` once it is in other hands.
    staged: Option<StagedFile>,
    length: u64,
    read: u64,
    hasher: Hasher,
    // After the file: whoever takes it next must find it at rest.
    claim: Option<Claim>,
}

impl Partial {
    /// Reads the next part of it again. When that fails it is of no use any more.
    pub fn read_on(&mut self) -> Result<Reread, StoreError> {
        let Some(_slot) = self.inner.hash_slots.take_within(Duration::ZERO)? else {
            return Ok(Reread::Busy);
        };
        let wanted = (self.length - self.read).min(HOP);
        if let Some(staged) = &self.staged {
            let read = self.hasher.update_from(&mut staged.file(), wanted);
            if read.map_err(StoreError::Root)? != wanted {
                return Err(StoreError::Root(ErrorKind::UnexpectedEof.into()));
            }
        }
        self.read += wanted;
        Ok(match self.read == self.length {
            true => Reread::Done,
            false => Reread::More,
        })
    }

    /// How many bytes there are: whole segments of 64 KiB.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The digest of what was read again.
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Removes it.
    pub fn discard(mut self) {
        self.staged = None;
        if let Some(claim) = &mut self.claim {
            claim.kept = None;
        }
    }

    /// Hands it over to the upload that goes on with it, with the state of its digest.
    pub(super) fn into_parts(mut self) -> Option<(StagedFile, Claim, u64, Hasher)> {
        let mut staged = self.staged.take()?;
        let mut claim = self.claim.take()?;
        claim.kept = None;
        // What is behind the last whole segment comes again.
        staged.cut(self.length).ok()?;
        Some((staged, claim, self.length, self.hasher.clone()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(staged) = self.staged.take() {
            staged.keep();
        }
    }
}

/// All that is kept of uploads that were cut.
pub(super) struct Partials {
    folder: OwnFolder,
    // The I/O while it is held is opening and removing single files.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What nobody uses just now.
    kept: HashMap<String, Kept>,
    in_use: HashSet<String>,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    bytes: u64,
    since: Timestamp,
}

/// The right to be the only one to use a partial; given back when it is dropped.
pub(super) struct Claim {
    partials: Arc<Partials>,
    leaf: String,
    /// What is left there when it is given back.
    kept: Option<Kept>,
}

impl Partials {
    /// Finds the folder and what an earlier run left in it. Call it under the lock only.
    pub(super) fn open(home: &Home) -> io::Result<Self> {
        let folder = OwnFolder::open(home, LEAF)?;
        let found = folder.existing();
        let partials = Partials {
            folder,
            state: Mutex::default(),
        };
        if let Some(folder) = found {
            let mut state = partials.lock();
            for leaf in folder.leaves()? {
                match look_at(&folder, &leaf) {
                    Ok(Some(kept)) => drop(state.kept.insert(leaf, kept)),
                    // What cannot be used is of no use, and what cannot be removed stays.
                    _ => drop(folder.remove_file(&leaf)),
                }
            }
        }
        partials.sweep(now());
        Ok(partials)
    }

    /// Removes what is too old, and the oldest while there are too many.
    pub(super) fn sweep(&self, now: Timestamp) {
        let mut state = self.lock();
        let is_old = |kept: &Kept| {
            let age = now.total_nanoseconds() - kept.since.total_nanoseconds();
            age > 0 && age.unsigned_abs() > AGE.as_nanos()
        };
        while let Some(oldest) = state.oldest()
            && (state.kept.len() > MOST || state.kept.get(&oldest).is_some_and(is_old))
        {
            self.remove(&mut state, &oldest);
        }
    }

    /// Removes the oldest, so that there is more room; `false` when there is none.
    pub(super) fn give_way(&self) -> bool {
        let mut state = self.lock();
        let oldest = state.oldest();
        if let Some(oldest) = &oldest {
            self.remove(&mut state, oldest);
        }
        oldest.is_some()
    }

    /// Removes the oldest until no more than so many bytes are kept.
    pub(super) fn shrink_to(&self, bytes: u64) {
        let mut state = self.lock();
        while state.bytes() > bytes
            && let Some(oldest) = state.oldest()
        {
            self.remove(&mut state, &oldest);
        }
    }

    /// How many bytes could give way, and how many of an upload's own there are.
    pub(super) fn bytes(&self, own: Option<&PartialKey>) -> (u64, u64) {
        let state = self.lock();
        let own = own.and_then(|key| state.kept.get(&key.0));
        let own = own.map_or(0, |kept| kept.bytes);
        (state.bytes() - own, own)
    }

    /// Makes somebody the only one to use this partial; `None` when somebody else is.
    fn claim(self: &Arc<Self>, key: &PartialKey) -> Option<Claim> {
        let mut state = self.lock();
        state.in_use.insert(key.0.clone()).then(|| Claim {
            partials: Arc::clone(self),
            leaf: key.0.clone(),
            kept: state.kept.remove(&key.0),
        })
    }

    /// A new file for this key, instead of what is there of it; `None` when somebody else is using
    /// that.
    pub(super) fn create(
        self: &Arc<Self>,
        key: &PartialKey,
    ) -> io::Result<Option<(StagedFile, Claim)>> {
        let Some(mut claim) = self.claim(key) else {
            return Ok(None);
        };
        claim.kept = None;
        let create = |folder: &Folder| StagedFile::create_or_take(folder, &key.0);
        let staged = self.folder.with(create)?;
        Ok(Some((staged, claim)))
    }

    fn remove(&self, state: &mut State, leaf: &str) {
        state.kept.remove(leaf);
        let removed = self
            .folder
            .get()
            .and_then(|folder| folder.remove_file(leaf));
        if let Err(error) = removed {
            tracing::warn!("what is left of an upload cannot be removed: {error}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn oldest(&self) -> Option<String> {
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.since);
        oldest.map(|(leaf, _)| leaf.clone())
    }

    fn bytes(&self) -> u64 {
        self.kept.values().map(|kept| kept.bytes).sum()
    }
}

impl Claim {
    /// Keeps what arrived of the upload, as far as it is whole segments and worth it.
    pub(super) fn keep(mut self, mut staged: StagedFile, received: u64) {
        let bytes = received - received % SEGMENT;
        if bytes < LEAST || staged.cut(bytes).is_err() {
            // Dropped first, and so removed, while nobody else can use its name.
            return drop(staged);
        }
        staged.keep();
        let since = now();
        self.kept = Some(Kept { bytes, since });
        let partials = Arc::clone(&self.partials);
        drop(self);
        partials.sweep(since);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.partials.lock();
        state.in_use.remove(&self.leaf);
        if let Some(kept) = self.kept {
            state.kept.insert(std::mem::take(&mut self.leaf), kept);
        }
    }
}

/// What an earlier run left, cut to whole segments; `None` when it is not worth keeping.
fn look_at(folder: &Folder, leaf: &str) -> io::Result<Option<Kept>> {
    let (file, facts) = folder.open_file(leaf)?;
    let since = last_touched(&file, &facts)?;
    let bytes = facts.size - facts.size % SEGMENT;
    if bytes < LEAST {
        return Ok(None);
    }
    // Room that was set aside is given back. What is neat already keeps its age.
    if bytes != facts.size || takes_more(&file)? {
        folder.open_or_create_file(leaf)?.set_len(bytes)?;
    }
    Ok(Some(Kept { bytes, since }))
}

/// The time of the last change of the content does not tell: just before a file is published it is
/// that of the client's file.
#[cfg(unix)]
fn last_touched(file: &File, facts: &FileFacts) -> io::Result<Timestamp> {
    use std::os::unix::fs::MetadataExt;

    let metadata = file.metadata()?;
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or(0);
    Ok(Timestamp::new(metadata.ctime(), nanoseconds).unwrap_or(facts.modified))
}

#[cfg(not(unix))]
fn last_touched(_file: &File, facts: &FileFacts) -> io::Result<Timestamp> {
    Ok(facts.modified)
}

/// Whether clearly more room is taken than the content needs.
#[cfg(unix)]
fn takes_more(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let metadata = file.metadata()?;
    Ok(metadata.blocks().saturating_mul(512) > metadata.size() + SEGMENT)
}

#[cfg(not(unix))]
fn takes_more(_file: &File) -> io::Result<bool> {
    Ok(true)
}

impl Inner {
    /// What there is of an upload that was cut, for one of a file of this size.
    pub(super) fn find_partial(
        self: &Arc<Self>,
        key: &PartialKey,
        size: Option<u64>,
    ) -> Result<Found, StoreError> {
        if self.is_stopping() {
            return Err(StoreError::Closed);
        }
        let Some(mut claim) = self.partials.claim(key) else {
            return Ok(Found::InUse);
        };
        let Some(kept) = claim.kept else {
            return Ok(Found::Nothing);
        };
        let taken = self
            .partials
            .folder
            .get()
            .and_then(|folder| StagedFile::take(&folder, &key.0));
        let Ok(staged) = taken else {
            claim.kept = None;
            return Ok(Found::Nothing);
        };
        let partial = Partial {
            inner: Arc::clone(self),
            staged: Some(staged),
            length: kept.bytes,
            read: 0,
            hasher: Hasher::new(),
            claim: Some(claim),
        };
        if size.is_some_and(|size| size < kept.bytes) {
            partial.discard();
            return Ok(Found::Nothing);
        }
        Ok(Found::Partial(Box::new(partial)))
    }

    /// Lets what is only kept go, oldest first, until the disk has room for so many bytes: what is
    /// left of cut uploads, and then what is in the trash. Tells whether that was any use.
    pub(super) fn give_way(&self, bytes: u64) -> bool {
        let mut made = false;
        while self.partials.give_way() {
            made = true;
            if self.root.free_space().is_none_or(|free| free >= bytes) {
                return true;
            }
        }
        self.make_room(bytes) || made
    }

    /// Keeps no more than there is room for in the quota, beside all that is stored and promised.
    pub(super) fn fit_partials(&self) {
        if let Some(quota) = self.quota {
            self.partials.shrink_to(self.ledger.room(quota));
        }
    }
}
