use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::answer::Answer;
use super::content::{Hashed, now};
use super::error::StoreError;
use super::inner::Inner;
use super::publisher::Job;
use crate::disk::FileFacts;
use crate::types::{Digest, Entry, FileRef, Timestamp};

/// A stored file, open for reading. It stays the same file when its name is given to another one.
pub struct StoredFile {
    /// The file as it was when it was opened. Its id is told only when it can be relied upon.
    pub entry: Entry,
    inner: Arc<Inner>,
    file: File,
    facts: FileFacts,
    opened: Timestamp,
}

impl Inner {
    pub(super) fn open_file(self: &Arc<Self>, file: &FileRef) -> Result<StoredFile, StoreError> {
        let found = self.resolve(file)?;
        if found.is_folder() {
            return Err(StoreError::IsFolder { name: found.name });
        }
        let opened = now();
        let (file, facts) = found
            .parent
            .open_file(found.name.leaf())
            .map_err(|error| StoreError::look(&found.name, error))?;
        // It may be another file by now than the one that was looked at.
        let id = found.trusted_id().filter(|_| facts.same_file(&found.facts));
        Ok(StoredFile {
            entry: Entry {
                name: found.name,
                id,
                size: facts.size,
                modified: facts.modified,
                executable: facts.executable,
            },
            inner: Arc::clone(self),
            file,
            facts,
            opened,
        })
    }
}

impl StoredFile {
    pub(super) fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.inner)
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads from this place, which may be behind the end.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if offset >= self.facts.size {
            return Ok(0);
        }
        self.file.seek(SeekFrom::Start(offset))?;
        self.read(buffer)
    }

    /// Fails when the content may have changed since the file was opened.
    pub fn check_unchanged(&self) -> Result<(), StoreError> {
        let name = &self.entry.name;
        let now = FileFacts::of(&self.file).map_err(|error| StoreError::disk(name, error))?;
        if now.same_file(&self.facts) {
            return Ok(());
        }
        Err(StoreError::ChangedMeanwhile { name: name.clone() })
    }

    /// Tells the store the digest of the whole file, by whoever read it all since it was opened,
    /// so that a file that was not hashed yet need not be read once more.
    pub fn digest_seen(&self, digest: Digest) {
        if self.entry.id.is_some() || self.check_unchanged().is_err() {
            return;
        }
        let _ = self.inner.jobs.try_send(Job::Learn {
            name: self.entry.name.clone(),
            hashed: Hashed {
                digest,
                facts: self.facts,
                since: self.opened,
            },
            answer: Answer::unheard(),
        });
    }
}

impl Read for StoredFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}
