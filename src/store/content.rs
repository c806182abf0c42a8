//! Reading files in order to know their ids.

use std::fs::File;
use std::time::{Duration, SystemTime};

use super::error::StoreError;
use super::inner::Inner;
use super::readings::Readings;
use crate::disk::{FileFacts, Folder};
use crate::types::{Digest, FileName, Timestamp};

/// A change within this time of another may leave the same time on the file: file systems count
/// in steps of up to two seconds.
pub(super) const SETTLES_AFTER: Duration = Duration::from_secs(2);

/// How often a file that changes while it is read is read again at once.
const TRIES: usize = 3;

/// What reading a whole file showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hashed {
    pub(super) digest: Digest,
    pub(super) facts: FileFacts,
    /// When the reading began.
    pub(super) since: Timestamp,
}

impl Hashed {
    pub(super) fn is_settled(&self) -> bool {
        is_settled(self.facts.modified, self.since)
    }
}

/// Whether a change after `looked` would give the file another time than `modified`. A time ahead
/// of the clock is as good as an old one: no change can leave it there by chance.
pub(super) fn is_settled(modified: Timestamp, looked: Timestamp) -> bool {
    let apart = modified.total_nanoseconds() - looked.total_nanoseconds();
    apart.unsigned_abs() >= SETTLES_AFTER.as_nanos()
}

pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Inner {
    /// Reads the file, a few times if it changes meanwhile.
    pub(super) fn hash(&self, name: &FileName) -> Result<Hashed, StoreError> {
        for _ in 0..TRIES {
            if let Some(hashed) = self.hash_once(name)? {
                return Ok(hashed);
            }
        }
        Err(StoreError::ChangedMeanwhile { name: name.clone() })
    }

    /// The folder that the file is in.
    pub(super) fn open_folder(&self, name: &FileName) -> Result<Folder, StoreError> {
        match name.folder() {
            None => Ok(self.root.clone()),
            Some(folder) => self
                .root
                .folder(&folder)
                .map_err(|error| StoreError::look(name, error)),
        }
    }

    /// The file as it is now.
    pub(super) fn open_to_read(&self, name: &FileName) -> Result<(File, FileFacts), StoreError> {
        let opened = self.open_folder(name)?.open_file(name.leaf());
        opened.map_err(|error| StoreError::look(name, error))
    }

    fn hash_once(&self, name: &FileName) -> Result<Option<Hashed>, StoreError> {
        let since = now();
        let (file, facts) = self.open_to_read(name)?;
        let mut readings = Readings::new();
        readings.join((), file, facts);
        loop {
            if self.is_stopping() {
                return Err(StoreError::Closed);
            }
            if let Some(ended) = readings.step(|_, _| {}).pop() {
                let unchanged = ended
                    .outcome
                    .map_err(|error| StoreError::disk(name, error))?;
                return Ok(unchanged.map(|(digest, facts)| Hashed {
                    digest,
                    facts,
                    since,
                }));
            }
        }
    }
}
