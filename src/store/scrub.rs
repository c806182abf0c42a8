//! Reading every stored file again to see whether its bytes are still those that were stored.
//! Works beside a server of the same folder, of which it needs no more than to read its index.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::damage::Damage;
use super::error::{OpenError, StoreError};
use super::index::{IndexFile, Readers, Row};
use super::places::Places;
use super::readings::{Ended, Readings};
use super::row_queue::RowQueue;
use crate::disk::{FileFacts, FileLock, Folder, LockError};
use crate::types::{Digest, FileName};

/// How many files are looked up at a time.
const LOOKED_UP: u32 = 256;

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

/// Hears how a scrub goes on. Several files are read at once: each has a number.
pub trait ScrubWatch {
    /// Reading of a file begins.
    fn begin(&mut self, number: u32, name: &FileName, size: u64);
    /// So many more bytes of it were read.
    fn read(&mut self, number: u32, bytes: u64);
    /// It is done.
    fn end(&mut self, number: u32, name: &FileName, size: u64, finding: Finding);
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

    /// Reads every file with a recorded id, begun in order of names, and compares. What is found
    /// damaged is remembered until it is replaced, removed or found whole. Returns early when
    /// `watch` says stop.
    pub fn run(&self, watch: &mut dyn ScrubWatch) -> Result<(), StoreError> {
        let mut pace = Pace::new(self);
        let mut rows =
            RowQueue::new(|after| self.index.read(|rows| Ok(rows.hashed(after, LOOKED_UP)?)));
        let mut readings = Readings::past_cache();
        let mut number = 0;
        loop {
            while let Some(row) = rows.next_if(|row| readings.have_room_for(row.size))? {
                if watch.stops() {
                    return Ok(());
                }
                watch.begin(number, &row.name, row.size);
                match self.open_to_read(&row) {
                    Ok((file, facts)) => readings.join((number, row), file, facts),
                    Err(finding) => self.end(number, &row, finding, watch)?,
                }
                number = number.wrapping_add(1);
            }
            if readings.is_empty() {
                return self.forget_replaced();
            }
            let began = Instant::now();
            let mut bytes = 0;
            let ended = readings.step(|(number, _), read| {
                bytes += read;
                watch.read(*number, read);
            });
            for Ended { of, outcome } in ended {
                let (number, row) = of;
                let finding = self.compare(&row, outcome);
                self.end(number, &row, finding, watch)?;
            }
            if !pace.keep(began.elapsed(), bytes, watch) {
                return Ok(());
            }
        }
    }

    /// The file that the row is about, or why it cannot be compared.
    fn open_to_read(&self, row: &Row) -> Result<(File, FileFacts), Finding> {
        let name = &row.name;
        let opened = match name.folder() {
            Some(folder) => self.root.folder(&folder),
            None => Ok(self.root.clone()),
        }
        .and_then(|folder| folder.open_file(name.leaf()));
        match opened {
            Ok((file, facts)) if row.describes(&facts) => Ok((file, facts)),
            Ok(_) => Err(Finding::Changed),
            Err(error) => Err(match StoreError::look(name, error) {
                StoreError::NotFound(_) => Finding::Changed,
                error => Finding::Unreadable(error),
            }),
        }
    }

    /// What the digest of a file says.
    fn compare(&self, row: &Row, read: io::Result<Option<(Digest, FileFacts)>>) -> Finding {
        let found = match read {
            Ok(Some((found, _))) => found,
            Ok(None) => return Finding::Changed,
            Err(error) => return Finding::Unreadable(StoreError::disk(&row.name, error)),
        };
        if row.id == Some(found) {
            return Finding::Whole;
        }
        // A server may have learned meanwhile that it is another file.
        let now = self.index.read(|rows| Ok(rows.file(&row.name)?));
        match now {
            Ok(Some(now)) if now.is_about_same_file(row) && now.id == row.id => match row.id {
                Some(recorded) => Finding::Damaged { recorded, found },
                None => Finding::Changed,
            },
            Ok(_) => Finding::Changed,
            Err(error) => Finding::Unreadable(error),
        }
    }

    fn end(
        &self,
        number: u32,
        row: &Row,
        finding: Finding,
        watch: &mut dyn ScrubWatch,
    ) -> Result<(), StoreError> {
        self.remember(row, &finding)?;
        watch.end(number, &row.name, row.size, finding);
        Ok(())
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
