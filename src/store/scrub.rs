//! Reading every stored file again to see whether its bytes are still those that were stored.
//! Works beside a server of the same folder, of which it needs no more than to read its index.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use super::damage::Damage;
use super::error::{OpenError, StoreError};
use super::index::{IndexFile, Readers, Row};
use super::places::Places;
use crate::digest::Hasher;
use crate::disk::{FileFacts, FileLock, Folder, LockError};
use crate::types::{Digest, FileName};

/// How many files are looked up at a time.
const LOOKED_UP: u32 = 256;

/// How much is read at a time, and between two looks at whether to stop.
const READ_BYTES: usize = 1024 * 1024;

/// Beside a server, so many times what reading took is waited before the next read: the disk and
/// a core belong to clients for three quarters of the time at least.
const REST_FACTOR: u32 = 3;

/// How often to look whether the folder is being served.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The longest wait before somebody is asked again whether to stop.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// What a scrub finds out about one file.
#[derive(Debug)]
pub enum Finding {
    /// Its bytes are those that were stored.
    Whole,
    /// They are not, under the same size, time and inode.
    Damaged {
        /// The id that is recorded.
        recorded: Digest,
        /// The id of what is there.
        found: Digest,
    },
    /// Somebody changed, replaced or removed it, which is no damage.
    Changed,
    /// It cannot be read.
    Unreadable(StoreError),
}

/// Hears how a scrub goes on.
pub trait ScrubWatch {
    /// Reading of a file begins.
    fn begin(&mut self, name: &FileName, size: u64);
    /// So many more bytes were read.
    fn read(&mut self, bytes: u64);
    /// A file is done.
    fn end(&mut self, name: &FileName, size: u64, finding: Finding);
    /// Whether to stop. Asked at least ten times a second.
    fn stops(&self) -> bool;
}

/// A folder whose stored files can be read again.
pub struct Scrub {
    root: Folder,
    state: Folder,
    index: Readers,
    damage: Damage,
    limit_rate: Option<u64>,
}

/// What there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubTotals {
    /// Files with a recorded id.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose id was never recorded: nothing can be said of them.
    pub without_id: u64,
}

impl Scrub {
    /// Opens a folder that was served before. `limit_rate`: the most bytes to read per second.
    /// `NotFolder` when the root is not there; [`OpenError::NeverServed`] when there is no index.
    pub fn open(
        root: &Path,
        state_dir: Option<&Path>,
        limit_rate: Option<u64>,
    ) -> Result<Self, OpenError> {
        if !root.is_dir() {
            return Err(OpenError::NotFolder {
                path: root.to_owned(),
            });
        }
        let Places {
            root_path,
            root,
            state_path,
            state,
        } = Places::open(root, state_dir)?;
        let file = IndexFile::in_folder(&state_path);
        if !file.is_there() {
            return Err(OpenError::NeverServed { root: root_path });
        }
        Ok(Scrub {
            root,
            state,
            index: Readers::new(file),
            damage: Damage::in_folder(&state_path),
            limit_rate,
        })
    }

    /// How much there is to read.
    pub fn totals(&self) -> Result<ScrubTotals, StoreError> {
        self.index.read(|rows| {
            let (files, bytes) = rows.hashed_totals()?;
            let (without_id, _) = rows.unhashed_totals()?;
            Ok(ScrubTotals {
                files,
                bytes,
                without_id,
            })
        })
    }

    /// Reads every file with a recorded id, in order of names, and compares. What is found damaged
    /// is remembered until it is replaced, removed or found whole. Returns early when `watch` says
    /// stop.
    pub fn run(&self, watch: &mut dyn ScrubWatch) -> Result<(), StoreError> {
        let mut pace = Pace::new(self);
        let mut after = String::new();
        loop {
            let rows = self
                .index
                .read(|rows| Ok(rows.hashed(&after, LOOKED_UP)?))?;
            let Some(last) = rows.last() else {
                break;
            };
            after = last.name.as_str().to_owned();
            for row in rows {
                if watch.stops() {
                    return Ok(());
                }
                watch.begin(&row.name, row.size);
                let Some(finding) = self.look_at(&row, &mut pace, watch) else {
                    return Ok(());
                };
                self.remember(&row, &finding)?;
                watch.end(&row.name, row.size, finding);
            }
        }
        self.forget_replaced()
    }

    /// Compares one file; `None` when it was stopped.
    fn look_at(
        &self,
        row: &Row,
        pace: &mut Pace<'_>,
        watch: &mut dyn ScrubWatch,
    ) -> Option<Finding> {
        let recorded = row.id?;
        let found = match self.hash(row, pace, watch) {
            Ok(Outcome::Stopped) => return None,
            Ok(Outcome::Changed) => return Some(Finding::Changed),
            Ok(Outcome::Whole(found)) => found,
            Err(error) => return Some(Finding::Unreadable(error)),
        };
        if found == recorded {
            return Some(Finding::Whole);
        }
        // A server may have learned meanwhile that it is another file.
        let now = self.index.read(|rows| Ok(rows.file(&row.name)?));
        Some(match now {
            Ok(Some(now)) if now.is_about_same_file(row) && now.id == row.id => {
                Finding::Damaged { recorded, found }
            }
            Ok(_) => Finding::Changed,
            Err(error) => Finding::Unreadable(error),
        })
    }

    fn hash(
        &self,
        row: &Row,
        pace: &mut Pace<'_>,
        watch: &mut dyn ScrubWatch,
    ) -> Result<Outcome, StoreError> {
        let name = &row.name;
        let opened = match name.folder() {
            Some(folder) => self.root.folder(&folder),
            None => Ok(self.root.clone()),
        }
        .and_then(|folder| folder.open_file(name.leaf()));
        let (mut file, facts) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                return match StoreError::look(name, error) {
                    StoreError::NotFound(_) => Ok(Outcome::Changed),
                    error => Err(error),
                };
            }
        };
        if !row.describes(&facts) {
            return Ok(Outcome::Changed);
        }
        forget_cached(&file);
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let began = Instant::now();
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    hasher.update(buffer.get(..length).unwrap_or_default());
                    watch.read(length as u64);
                    if !pace.keep(began.elapsed(), length as u64, watch) {
                        return Ok(Outcome::Stopped);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::disk(name, error)),
            }
        }
        let after = FileFacts::of(&file).map_err(|error| StoreError::disk(name, error))?;
        forget_cached(&file);
        match row.describes(&after) {
            true => Ok(Outcome::Whole(hasher.finish())),
            false => Ok(Outcome::Changed),
        }
    }

    fn remember(&self, row: &Row, finding: &Finding) -> Result<(), StoreError> {
        match finding {
            Finding::Damaged { .. } => {
                tracing::warn!(name = %row.name, "a stored file is damaged");
                self.damage.mark(row)?;
            }
            Finding::Whole | Finding::Changed => self.damage.clear(&row.name)?,
            Finding::Unreadable(_) => {}
        }
        Ok(())
    }

    /// Forgets damage of files that are not there any more.
    fn forget_replaced(&self) -> Result<(), StoreError> {
        for damaged in self.damage.all()? {
            let known = self.index.read(|rows| Ok(rows.file(&damaged.name)?))?;
            if known.is_none() {
                self.damage.clear(&damaged.name)?;
            }
        }
        Ok(())
    }
}

/// What came of reading a file.
enum Outcome {
    Whole(Digest),
    Changed,
    Stopped,
}

/// How fast to read.
struct Pace<'a> {
    scrub: &'a Scrub,
    served: bool,
    looked: Instant,
    /// Until when, at the limit of the rate, what was read takes.
    due: Instant,
}

impl<'a> Pace<'a> {
    fn new(scrub: &'a Scrub) -> Self {
        Pace {
            scrub,
            served: is_served(&scrub.state),
            looked: Instant::now(),
            due: Instant::now(),
        }
    }

    /// Waits as long as it must after a read; `false` when it is time to stop.
    fn keep(&mut self, took: Duration, bytes: u64, watch: &dyn ScrubWatch) -> bool {
        if self.looked.elapsed() >= LOOK_AGAIN {
            self.served = is_served(&self.scrub.state);
            self.looked = Instant::now();
        }
        let mut until = Instant::now();
        if self.served {
            until += took * REST_FACTOR;
        }
        if let Some(rate) = self.scrub.limit_rate {
            let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
            let worth = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
            self.due = self.due.max(Instant::now() - took) + worth;
            until = until.max(self.due);
        }
        loop {
            if watch.stops() {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LONGEST_REST));
        }
    }
}

/// Whether a server holds the folder now.
fn is_served(state: &Folder) -> bool {
    matches!(FileLock::probe(state, "lock"), Err(LockError::Held { .. }))
}

/// What is read should come from the disk, and not push aside what clients read.
#[cfg(target_os = "linux")]
fn forget_cached(file: &File) {
    use rustix::fs::{Advice, fadvise};

    // Only advice: without it the scrub reads what the system has in memory.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn forget_cached(_file: &File) {}
