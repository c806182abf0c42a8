//! Hashes in the background what nobody hashed on the way in.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::mpsc::Receiver;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::content::{Hashed, SETTLES_AFTER, is_settled, now};
use super::error::StoreError;
use super::index::Row;
use super::inner::Inner;
use super::publisher::Job;
use super::readings::{Ended, Readings};
use super::row_queue::RowQueue;
use crate::disk::FileFacts;
use crate::types::{Digest, FileName, Timestamp};

/// How many files are looked up at a time.
const LOOKED_UP: u32 = 256;

/// How long a file that could not be hashed is left alone: this long at first, twice as long each
/// time, and never longer than the second.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How long a file that may not be read is left alone, unless it changes meanwhile.
const UNREADABLE_WAIT: Duration = LONGEST_WAIT;

/// How long the thread rests when files wait for their time.
const REST: Duration = Duration::from_millis(500);

/// Where the publisher tells the hasher that there may be something to do.
#[derive(Default)]
pub(super) struct HashGate {
    // No I/O while it is held.
    state: Mutex<HashState>,
    changed: Condvar,
}

#[derive(Default)]
struct HashState {
    woken: bool,
    stopped: bool,
    unreadable: Unreadable,
}

/// Files without an id that nobody waits for, because the server may not read them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl HashGate {
    pub(super) fn wake(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .woken = true;
        self.changed.notify_all();
    }

    pub(super) fn stop(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopped = true;
        self.changed.notify_all();
    }

    /// What could not be read when the files were gone through last.
    pub(super) fn unreadable(&self) -> Unreadable {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unreadable
    }

    fn set_unreadable(&self, unreadable: Unreadable) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unreadable = unreadable;
    }

    /// Waits until there may be something to do; `false` when the store is closing.
    fn rest(&self, waiting: bool) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = if waiting {
            // Being woken does not shorten this: under a stream of uploads, each of which wakes,
            // the files that wait would be looked up without end.
            self.changed
                .wait_timeout_while(state, REST, |state| !state.stopped)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        } else {
            self.changed
                .wait_while(state, |state| !state.woken && !state.stopped)
                .unwrap_or_else(PoisonError::into_inner)
        };
        state.woken = false;
        !state.stopped
    }
}

/// Works until the store closes.
pub(super) fn hash_files(inner: &Inner) {
    let mut hasher = BackgroundHasher {
        inner,
        retries: HashMap::new(),
    };
    loop {
        let waiting = match hasher.pass() {
            Ok(waiting) => waiting,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!("files could not be hashed: {error}");
                true
            }
        };
        if !inner.hashing.rest(waiting) {
            return;
        }
    }
}

struct BackgroundHasher<'a> {
    inner: &'a Inner,
    /// Files that could not be hashed, so that one that nobody may read, or that never stops
    /// changing, does not keep the thread busy.
    retries: HashMap<FileName, Retry>,
}

struct Retry {
    at: Instant,
    wait: Duration,
    /// The file as it was when it could not be read; it is tried at once when it is another.
    unreadable: Option<Row>,
}

impl Retry {
    /// What to do about a file that could not be hashed.
    fn after(error: &StoreError, row: &Row, before: Option<&Retry>, now: Instant) -> Retry {
        if is_forbidden(error) {
            return Retry {
                at: now + UNREADABLE_WAIT,
                wait: FIRST_WAIT,
                unreadable: Some(row.clone()),
            };
        }
        let wait = before.map_or(FIRST_WAIT, |before| before.wait);
        Retry {
            at: now + wait,
            wait: (wait * 2).min(LONGEST_WAIT),
            unreadable: None,
        }
    }

    fn is_due(&self, row: &Row, now: Instant) -> bool {
        let changed = self
            .unreadable
            .as_ref()
            .is_some_and(|known| !known.is_about_same_file(row));
        changed || now >= self.at
    }
}

/// Whether trying again soon would not help.
fn is_forbidden(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied)
}

/// Which files a pass goes through.
#[derive(Clone, Copy)]
enum Kind {
    Unhashed,
    Unsettled,
}

impl BackgroundHasher<'_> {
    /// Goes through all files once, those without an id first; tells whether some are left.
    fn pass(&mut self) -> Result<bool, StoreError> {
        let unhashed_left = self.pass_over(Kind::Unhashed)?;
        let left = unhashed_left | self.pass_over(Kind::Unsettled)?;
        if !left {
            self.retries.clear();
        }
        Ok(left)
    }

    fn pass_over(&mut self, kind: Kind) -> Result<bool, StoreError> {
        let inner = self.inner;
        let mut rows = RowQueue::new(|after| {
            inner.read(|rows| {
                Ok(match kind {
                    Kind::Unhashed => rows.unhashed(after, LOOKED_UP)?,
                    Kind::Unsettled => rows.unsettled(after, LOOKED_UP)?,
                })
            })
        });
        let mut pass = Pass {
            readings: Readings::new(),
            learning: Vec::new(),
            left: false,
            unreadable: Unreadable::default(),
        };
        loop {
            while let Some(row) = rows.next_if(|row| pass.readings.have_room_for(row.size))? {
                self.begin(row, &mut pass);
            }
            if pass.readings.is_empty() {
                break;
            }
            if inner.is_stopping() {
                return Err(StoreError::Closed);
            }
            let ended = pass.readings.step(|_, _| {});
            pass.let_learn()?;
            for Ended { of, outcome } in ended {
                self.end(of, outcome, &mut pass);
            }
        }
        pass.let_learn()?;
        if let Kind::Unhashed = kind {
            inner.hashing.set_unreadable(pass.unreadable);
        }
        Ok(pass.left)
    }

    /// Begins to read a file, unless it is to be left alone for now.
    fn begin(&mut self, row: Row, pass: &mut Pass) {
        // Hashed too early, it would only have to be hashed again.
        let young = row.id.is_some() && !is_settled(row.modified, now());
        let retry = self.retries.get(&row.name);
        if young || retry.is_some_and(|retry| !retry.is_due(&row, Instant::now())) {
            pass.left = true;
            if retry.is_some_and(|retry| retry.unreadable.is_some()) {
                pass.count_unreadable(&row);
            }
            return;
        }
        let since = now();
        match self.inner.open_to_read(&row.name) {
            Ok((file, facts)) => pass.readings.join((row, since), file, facts),
            Err(error) => self.fail(row, &error, pass),
        }
    }

    fn end(
        &mut self,
        (row, since): (Row, Timestamp),
        outcome: io::Result<Option<(Digest, FileFacts)>>,
        pass: &mut Pass,
    ) {
        let name = row.name.clone();
        match outcome {
            Ok(Some((digest, facts))) => {
                self.retries.remove(&name);
                let hashed = Hashed {
                    digest,
                    facts,
                    since,
                };
                pass.left |= !hashed.is_settled();
                let (answer, learned) = Answer::awaited();
                self.inner.send(Job::Learn {
                    name,
                    hashed,
                    answer,
                });
                pass.learning.push(learned);
            }
            Ok(None) => self.fail(row, &StoreError::ChangedMeanwhile { name }, pass),
            Err(error) => self.fail(row, &StoreError::disk(&name, error), pass),
        }
    }

    /// The file must be looked at again later.
    fn fail(&mut self, row: Row, error: &StoreError, pass: &mut Pass) {
        if let StoreError::NotFound(_) = error {
            self.inner.noticed(&row.name);
        }
        let before = self.retries.get(&row.name);
        let retry = Retry::after(error, &row, before, Instant::now());
        pass.left = true;
        if retry.unreadable.is_some() {
            pass.count_unreadable(&row);
        }
        self.retries.insert(row.name, retry);
    }
}

/// What one look at all files of a kind has come to.
struct Pass {
    /// What is being read: the row, and since when.
    readings: Readings<(Row, Timestamp)>,
    /// Digests that the publisher is taking into the index, while the next files are read.
    learning: Vec<Receiver<Result<(), StoreError>>>,
    /// Whether some must be looked at again.
    left: bool,
    unreadable: Unreadable,
}

impl Pass {
    /// Waits until everything hashed so far is in the index.
    fn let_learn(&mut self) -> Result<(), StoreError> {
        for learned in self.learning.drain(..) {
            learned.recv().unwrap_or(Err(StoreError::Closed))?;
        }
        Ok(())
    }

    fn count_unreadable(&mut self, row: &Row) {
        self.unreadable.files += 1;
        self.unreadable.bytes = self.unreadable.bytes.saturating_add(row.size);
    }
}

const _: () = assert!(REST.as_millis() < SETTLES_AFTER.as_millis());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_read_is_left_alone_until_it_changes() {
        let now = Instant::now();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("f"), "one").unwrap();
        let folder = crate::disk::Folder::open(directory.path()).unwrap();
        let name = FileName::parse("f").unwrap();
        let row = || Row::new(name.clone(), &folder.facts("f").unwrap(), None, false);
        let failed = |kind: ErrorKind| StoreError::disk(&name, kind.into());

        let first = row();
        let forbidden = failed(ErrorKind::PermissionDenied);
        let retry = Retry::after(&forbidden, &first, None, now);
        assert!(retry.unreadable.is_some());
        assert!(!retry.is_due(&first, now + Duration::from_secs(60)));
        assert!(retry.is_due(&first, now + UNREADABLE_WAIT));
        std::fs::write(directory.path().join("f"), "three").unwrap();
        assert!(retry.is_due(&row(), now));

        let retry = Retry::after(&failed(ErrorKind::Other), &first, None, now);
        assert!(retry.unreadable.is_none());
        assert!(!retry.is_due(&first, now));
        assert!(retry.is_due(&first, now + FIRST_WAIT));
        let again = Retry::after(&failed(ErrorKind::Other), &first, Some(&retry), now);
        assert!(!again.is_due(&first, now + FIRST_WAIT));
    }
}
