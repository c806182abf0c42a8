//! Files that are read to their ends side by side, so that they can be hashed together.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use crate::digest::Hasher;
use crate::disk::FileFacts;
use crate::types::Digest;

/// How many files at a time: as many as the best machines hash at once.
const FILES: usize = 16;

/// How much of a file is read at a time; of all of them together 4 MiB.
const PIECE_BYTES: usize = 256 * 1024;

/// Files that are being read. With each goes something of the caller's, to know it by.
pub(super) struct Readings<T> {
    running: Vec<Reading<T>>,
    /// Buffers of files that have ended.
    spare: Vec<Vec<u8>>,
    past_cache: bool,
    /// What the last step took.
    reading: Duration,
    hashing: Duration,
}

/// A file that was read to its end, or could not be.
pub(super) struct Ended<T> {
    pub(super) of: T,
    /// The digest and the file as it is; `None` when it changed while it was read.
    pub(super) outcome: io::Result<Option<(Digest, FileFacts)>>,
}

impl<T> Readings<T> {
    pub(super) fn new() -> Self {
        Readings {
            running: Vec::new(),
            spare: Vec::new(),
            past_cache: false,
            reading: Duration::ZERO,
            hashing: Duration::ZERO,
        }
    }

    /// What is read comes from the disk as far as possible, and does not push aside what others
    /// read.
    pub(super) fn past_cache() -> Self {
        Readings {
            past_cache: true,
            ..Self::new()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether a file of this size should join now. Large ones only join others after the disk had to
    /// wait for the hashing: a disk that has to seek reads one file faster than many.
    pub(super) fn have_room_for(&self, size: u64) -> bool {
        let disk_waits = self.hashing > self.reading;
        self.running.len() < FILES && (is_small(size) || disk_waits || self.is_empty())
    }

    /// A file joins, from its beginning.
    pub(super) fn join(&mut self, of: T, file: File, facts: FileFacts) {
        if self.past_cache {
            forget_cached(&file, 0, 0);
        }
        // One byte more shows that a small file ends there.
        let length = usize::try_from(facts.size).unwrap_or(PIECE_BYTES);
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.resize(length.saturating_add(1).min(PIECE_BYTES), 0);
        self.running.push(Reading {
            of,
            file,
            facts,
            hasher: Hasher::new(),
            offset: 0,
            buffer,
            filled: 0,
            ended: None,
        });
    }

    /// Reads a piece of every file and hashes them together. Tells `read` how much of which was
    /// read, and returns those that ended, both in the order in which they joined.
    pub(super) fn step(&mut self, mut read: impl FnMut(&T, u64)) -> Vec<Ended<T>> {
        let began = Instant::now();
        for reading in &mut self.running {
            reading.read_piece();
            if self.past_cache {
                forget_cached(&reading.file, reading.offset, reading.filled as u64);
            }
            reading.offset += reading.filled as u64;
            read(&reading.of, reading.filled as u64);
        }
        let reading = began.elapsed();
        let mut updates = Vec::with_capacity(FILES);
        for Reading {
            hasher,
            buffer,
            filled,
            ..
        } in &mut self.running
        {
            updates.push((hasher, buffer.get(..*filled).unwrap_or_default()));
        }
        Hasher::update_all(&mut updates);
        self.reading = reading;
        self.hashing = began.elapsed() - reading;
        let ended = self
            .running
            .extract_if(.., |reading| reading.ended.is_some());
        ended
            .map(|reading| {
                let (buffer, ended) = reading.into_ended();
                self.spare.push(buffer);
                ended
            })
            .collect()
    }
}

/// Whether one piece is all of it.
fn is_small(size: u64) -> bool {
    size < PIECE_BYTES as u64
}

struct Reading<T> {
    of: T,
    file: File,
    /// As it was when it was opened.
    facts: FileFacts,
    hasher: Hasher,
    offset: u64,
    buffer: Vec<u8>,
    filled: usize,
    ended: Option<io::Result<()>>,
}

impl<T> Reading<T> {
    /// Fills the buffer, except at the end of the file.
    fn read_piece(&mut self) {
        self.filled = 0;
        while let Some(room) = self
            .buffer
            .get_mut(self.filled..)
            .filter(|room| !room.is_empty())
        {
            match self.file.read(room) {
                Ok(0) => self.ended = Some(Ok(())),
                Ok(length) => self.filled += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.ended = Some(Err(error)),
            }
            if self.ended.is_some() {
                return;
            }
        }
    }

    fn into_ended(self) -> (Vec<u8>, Ended<T>) {
        let read = self.ended.unwrap_or(Ok(()));
        let outcome = read.and_then(|()| {
            let after = FileFacts::of(&self.file)?;
            let unchanged = self.facts.same_file(&after);
            Ok(unchanged.then(|| (self.hasher.finish(), after)))
        });
        let of = self.of;
        (self.buffer, Ended { of, outcome })
    }
}

/// Takes a part of a file out of the system's memory; a `length` of 0 is everything from there on.
#[cfg(target_os = "linux")]
fn forget_cached(file: &File, offset: u64, length: u64) {
    use rustix::fs::{Advice, fadvise};

    // Only advice: without it, what the system has in memory is read.
    let _ = fadvise(
        file,
        offset,
        std::num::NonZeroU64::new(length),
        Advice::DontNeed,
    );
}

#[cfg(not(target_os = "linux"))]
fn forget_cached(_file: &File, _offset: u64, _length: u64) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Folder;

    fn open(folder: &tempfile::TempDir, content: &[u8]) -> (File, FileFacts) {
        std::fs::write(folder.path().join("f"), content).unwrap();
        let folder = Folder::open(folder.path()).unwrap();
        folder.open_file("f").unwrap()
    }

    #[test]
    fn files_of_all_sizes_are_read_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let sizes = [
            0,
            1,
            64,
            4096,
            PIECE_BYTES - 1,
            PIECE_BYTES,
            PIECE_BYTES + 1,
        ];
        let mut waiting: Vec<Vec<u8>> = [&sizes[..], &[3 * PIECE_BYTES + 5], &sizes, &sizes]
            .concat()
            .into_iter()
            .zip(1..)
            .map(|(size, byte)| vec![byte; size])
            .collect();
        let mut left = waiting.len();
        let mut readings = Readings::new();
        while left > 0 {
            while let Some(content) = waiting.pop_if(|next| {
                // However fast this machine is.
                readings.hashing = readings.reading + Duration::from_nanos(1);
                readings.have_room_for(next.len() as u64)
            }) {
                let (file, facts) = open(&folder, &content);
                std::fs::remove_file(folder.path().join("f")).unwrap();
                readings.join((content, std::cell::Cell::new(0)), file, facts);
            }
            assert!(readings.running.len() <= FILES);
            for ended in readings.step(|(_, read), bytes| read.set(read.get() + bytes)) {
                let (content, read) = ended.of;
                let (digest, facts) = ended.outcome.unwrap().unwrap();
                assert_eq!(digest, Hasher::digest_of(&content));
                assert_eq!((facts.size, read.get()), (content.len() as u64, facts.size));
                left -= 1;
            }
        }
        assert!(readings.is_empty());
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let content = vec![1; 2 * PIECE_BYTES];
        let (file, facts) = open(&folder, &content);
        let mut readings = Readings::past_cache();
        readings.join((), file, facts);
        assert!(readings.step(|(), _| {}).is_empty());
        let path = folder.path().join("f");
        std::fs::write(path, [&content[..], &[1]].concat()).unwrap();
        let ended = std::iter::repeat_with(|| readings.step(|(), _| {}).pop())
            .flatten()
            .next();
        assert!(ended.unwrap().outcome.unwrap().is_none());
    }

    #[test]
    fn large_files_join_only_after_the_disk_had_to_wait() {
        let folder = tempfile::tempdir().unwrap();
        let (small, large) = (1, PIECE_BYTES as u64);
        let mut readings = Readings::new();
        assert!(readings.have_room_for(large));
        let (file, facts) = open(&folder, &vec![1; 4 * PIECE_BYTES]);
        readings.join((), file, facts);
        assert!(readings.have_room_for(small) && !readings.have_room_for(large));
        readings.step(|(), _| {});
        (readings.reading, readings.hashing) = (Duration::from_millis(2), Duration::from_millis(1));
        assert!(readings.have_room_for(small) && !readings.have_room_for(large));
        (readings.reading, readings.hashing) = (Duration::from_millis(1), Duration::from_millis(2));
        assert!(readings.have_room_for(large));
    }
}
