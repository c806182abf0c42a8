//! Hashes in the background what nobody hashed on the way in.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::content::{SETTLES_AFTER, is_settled, now};
use super::error::StoreError;
use super::index::Row;
use super::inner::Inner;
use super::publisher::Job;
use crate::types::FileName;

/// How many files are looked up at a time.
const LOOKED_UP: u32 = 64;

/// How long a file that could not be hashed is left alone: this long at first, twice as long each
/// time, and never longer than the second.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

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
        let left = self.pass_over(Kind::Unhashed)? | self.pass_over(Kind::Unsettled)?;
        if !left {
            self.retries.clear();
        }
        Ok(left)
    }

    fn pass_over(&mut self, kind: Kind) -> Result<bool, StoreError> {
        let mut left = false;
        let mut after = String::new();
        loop {
            let rows = self.inner.read(|rows| {
                Ok(match kind {
                    Kind::Unhashed => rows.unhashed(&after, LOOKED_UP)?,
                    Kind::Unsettled => rows.unsettled(&after, LOOKED_UP)?,
                })
            })?;
            let Some(last) = rows.last() else {
                return Ok(left);
            };
            after = last.name.as_str().to_owned();
            for row in rows {
                left |= self.hash(&row)?;
            }
        }
    }

    /// Whether the file must be looked at again later.
    fn hash(&mut self, row: &Row) -> Result<bool, StoreError> {
        // Hashed too early, it would only have to be hashed again.
        if row.id.is_some() && !is_settled(row.modified, now()) {
            return Ok(true);
        }
        if self
            .retries
            .get(&row.name)
            .is_some_and(|retry| Instant::now() < retry.at)
        {
            return Ok(true);
        }
        match self.inner.hash(&row.name) {
            Ok(hashed) => {
                self.retries.remove(&row.name);
                self.inner.ask(|answer| Job::Learn {
                    name: row.name.clone(),
                    hashed,
                    answer,
                })?;
                Ok(!hashed.is_settled())
            }
            Err(StoreError::Closed) => Err(StoreError::Closed),
            Err(error) => {
                if let StoreError::NotFound(_) = error {
                    self.inner.noticed(&row.name);
                }
                let retry = self.retries.entry(row.name.clone()).or_insert(Retry {
                    at: Instant::now(),
                    wait: FIRST_WAIT,
                });
                retry.at = Instant::now() + retry.wait;
                retry.wait = (retry.wait * 2).min(LONGEST_WAIT);
                Ok(true)
            }
        }
    }
}

const _: () = assert!(REST.as_millis() < SETTLES_AFTER.as_millis());
