use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::{LocalFile, LocalPlace, exists, shown};
use crate::digest::{Block, Hasher};
use crate::disk::{Folder, Replace, StagedFile};
use crate::protocol::limits::SEGMENT;
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::{Beginning, Blocks, Done, Sink};
use crate::types::{Digest, Entry, OnConflict, Timestamp};

/// How many names `name (1)`, `name (2)` … are tried before giving up.
const MAX_NUMBERED: u32 = 10_000;

/// From this size on room is set aside for a file while it comes, in bytes.
const RESERVED_FROM: u64 = 1024 * 1024;

/// How much room is set aside beyond what came, in bytes: a server that announces much and sends
/// nothing takes none.
const RESERVED_AHEAD: u64 = 64 * 1024 * 1024;

/// Less than this is not worth keeping: it comes again in no time.
const LEAST: u64 = 1024 * 1024;

/// How much is read again at a time.
const HOP: u64 = 16 * 1024 * 1024;

/// How long to wait for a part that is still in use: after a cut, an earlier try of this very
/// process may be about to let go of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often to look whether it has.
const PAUSE: Duration = Duration::from_millis(20);

/// What an earlier try has left of a file, under its hidden name. Nobody else can have it
/// meanwhile; dropping it leaves it where it is.
pub(in crate::client) struct Part {
    /// `None` once it is in other hands.
    staged: Option<StagedFile>,
    length: u64,
    read: u64,
    hasher: Hasher,
}

impl Part {
    /// Finds what there is for this path, if it is worth going on with.
    pub(in crate::client) fn find(place: &LocalPlace) -> Option<Box<Self>> {
        let (folder, leaf) = place.parent().ok()?;
        let part = partial_name(&leaf);
        let size = folder.facts(&part).ok()?.size;
        if size < LEAST {
            return None;
        }
        let until = Instant::now() + PATIENCE;
        let staged = loop {
            match StagedFile::take(&folder, &part) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {
                    thread::sleep(PAUSE);
                }
                taken => break taken.ok()?,
            }
        };
        let length = whole_segments(staged.file().metadata().ok()?.len());
        // Dropped, and so removed, when it has become too small meanwhile.
        (length >= LEAST).then(|| {
            Box::new(Part {
                staged: Some(staged),
                length,
                read: 0,
                hasher: Hasher::new(),
            })
        })
    }

    /// Reads the next piece of it again; `false` once all was read. What cannot be read is of no
    /// use, and is not offered.
    pub(in crate::client) fn read_on(&mut self) -> bool {
        let wanted = (self.length - self.read).min(HOP);
        let read = match &self.staged {
            Some(staged) => self.hasher.update_from(&mut staged.file(), wanted),
            None => Ok(0),
        };
        if read.is_ok_and(|read| read == wanted) {
            self.read += wanted;
        } else {
            (self.length, self.read) = (0, 0);
        }
        self.read < self.length
    }

    /// Cuts it to what is the same in a file with these blocks, and tells how much that is. The last
    /// block is not counted: something has to come.
    pub(in crate::client) fn agree_with(&mut self, blocks: &Blocks) -> u64 {
        let mut expected = blocks.iter().peekable();
        let (mut hasher, mut length, mut agrees) = (Hasher::new(), 0_u64, true);
        while let Some(staged) = self.staged.as_ref().filter(|_| agrees) {
            let mut file = staged.file();
            let sought = file.seek(SeekFrom::Start(length));
            let read = |buffer: &mut [u8]| file.read(buffer);
            let bytes = blocks.size().read(read, |bytes| {
                let next = expected.next().map(|(_, block)| block);
                agrees &= next == Some(Block::of(bytes)) && expected.peek().is_some();
                if agrees {
                    hasher.update(bytes);
                    length += bytes.len() as u64;
                }
            });
            // What cannot be read agrees with nothing.
            agrees &= sought.is_ok() && bytes.is_ok_and(|bytes| bytes > 0);
        }
        (self.length, self.read, self.hasher) = (length, length, hasher);
        length
    }

    /// What the server is told of it, once all was read.
    pub(in crate::client) fn beginning(&self) -> Option<Beginning> {
        let beginning = Beginning {
            length: self.length,
            digest: self.hasher.clone().finish(),
        };
        let is_whole = self.length > 0 && self.length.is_multiple_of(SEGMENT as u64);
        (is_whole && self.read == self.length).then_some(beginning)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(staged) = self.staged.take() {
            staged.keep();
        }
    }
}

/// A file that is being downloaded, under a hidden name beside its real one. Dropping it keeps what
/// came, if that is worth it.
pub(in crate::client) struct FileSink {
    /// `None` once it is in other hands.
    staged: Option<StagedFile>,
    /// What the server announced, what is there of it, and for how much room is set aside, in
    /// bytes.
    size: u64,
    length: u64,
    reserved: u64,
    folder: Folder,
    place: LocalPlace,
    leaf: String,
    modified: Timestamp,
    executable: bool,
    on_conflict: OnConflict,
    /// The file that it replaces, if it may copy from that.
    basis: Option<Box<LocalFile>>,
}

impl FileSink {
    /// Makes the missing folders and the hidden file, or goes on with that: with the whole part,
    /// unless it begins at 0. Tells the state of the digest, too.
    pub(in crate::client) fn open(
        place: &LocalPlace,
        entry: &Entry,
        on_conflict: OnConflict,
        mut part: Option<Box<Part>>,
        offset: u64,
    ) -> Result<(Self, Hasher), Failure> {
        let failed = |error: io::Error| place.failed(&error);
        let (folder, leaf) = place.make_parent()?;
        let taken = part.as_mut().and_then(|part| part.staged.take());
        let mut staged = match taken {
            Some(staged) => staged,
            None => StagedFile::create_or_take(&folder, &partial_name(&leaf)).map_err(|error| {
                match error.kind() {
                    ErrorKind::WouldBlock => Failure::new(
                        ErrorCode::Conflict,
                        format!(
                            "{} is being downloaded by another process",
                            shown(&place.path())
                        ),
                    ),
                    _ => failed(error),
                }
            })?,
        };
        let hasher = match &part {
            Some(part) if offset > 0 => part.hasher.clone(),
            _ => Hasher::new(),
        };
        staged.cut(offset).map_err(failed)?;
        // A disk without the room says so now, and not in mid-transfer.
        let missing = entry.size.saturating_sub(offset);
        if folder.free_space().is_some_and(|free| free < missing) {
            return Err(failed(ErrorKind::StorageFull.into()));
        }
        let sink = FileSink {
            staged: Some(staged),
            size: entry.size,
            length: offset,
            reserved: 0,
            folder,
            place: place.clone(),
            leaf,
            modified: entry.modified,
            executable: entry.executable,
            on_conflict,
            basis: None,
        };
        Ok((sink, hasher))
    }

    /// The same, and it may copy from this file.
    pub(in crate::client) fn with(mut self, basis: Option<LocalFile>) -> Self {
        self.basis = basis.map(Box::new);
        self
    }

    fn write_ahead(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(staged) = &mut self.staged else {
            return Ok(());
        };
        let length = self.length.saturating_add(bytes.len() as u64);
        if self.size >= RESERVED_FROM && length > self.reserved {
            self.reserved = length.saturating_add(RESERVED_AHEAD).min(self.size);
            staged.reserve(self.reserved)?;
        }
        staged.write_all(bytes)?;
        self.length = length;
        Ok(())
    }

    fn publish(&mut self) -> Result<PathBuf, Failure> {
        let failed = |error: io::Error| self.place.failed(&error);
        let Some(mut staged) = self.staged.take() else {
            return Err(failed(ErrorKind::NotFound.into()));
        };
        staged.set_permissions(self.executable).map_err(failed)?;
        staged.set_modified(self.modified).map_err(failed)?;
        let replace = match self.on_conflict {
            OnConflict::Overwrite => Replace::Allowed,
            OnConflict::Error | OnConflict::Skip | OnConflict::Rename => Replace::Never,
        };
        self.place.check_replaceable(&self.folder, &self.leaf)?;
        let mut leaf = self.leaf.clone();
        for number in 1..=MAX_NUMBERED {
            match staged.publish(&self.folder, &leaf, replace) {
                Ok(_) => return Ok(self.place.path_beside(&leaf)),
                Err(error)
                    if error.source.kind() == ErrorKind::AlreadyExists
                        && self.on_conflict == OnConflict::Rename =>
                {
                    staged = error.staged;
                    leaf = numbered(&self.leaf, number);
                }
                Err(error) if error.source.kind() == ErrorKind::AlreadyExists => {
                    return Err(exists(&self.place.path(), None));
                }
                Err(error) => return Err(failed(error.source)),
            }
        }
        Err(exists(&self.place.path(), None))
    }
}

impl Sink for FileSink {
    /// The local file.
    type Receipt = PathBuf;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.write_ahead(bytes);
        written.map_err(|error| self.place.failed(&error))
    }

    fn read_basis(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Failure> {
        match &mut self.basis {
            Some(basis) => basis.read_at(offset, buffer),
            None => Ok(0),
        }
    }

    fn finish(mut self, _digest: Digest, done: Done<PathBuf>) {
        // It may be in the way of what takes its place.
        self.basis = None;
        done(self.publish());
    }

    fn discard(mut self) {
        self.staged = None;
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        let length = whole_segments(self.length);
        // What is not kept is removed.
        if let Some(mut staged) = self.staged.take()
            && length >= LEAST
            && staged.cut(length).is_ok()
        {
            staged.keep();
        }
    }
}

fn whole_segments(bytes: u64) -> u64 {
    bytes - bytes % SEGMENT as u64
}

/// The hidden name beside the real one (contract section 10).
fn partial_name(leaf: &str) -> String {
    let name = format!(".fileshare-{leaf}.part");
    if name.len() <= 255 {
        return name;
    }
    format!(".fileshare-{}.part", Hasher::digest_of(leaf.as_bytes()))
}

/// `report.pdf` as `report (1).pdf`.
fn numbered(leaf: &str, number: u32) -> String {
    match leaf.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem} ({number}).{extension}"),
        _ => format!("{leaf} ({number})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::types::FileName;

    #[test]
    fn names_beside_the_real_one() {
        assert_eq!(partial_name("a.txt"), ".fileshare-a.txt.part");
        assert!(partial_name(&"x".repeat(255)).len() <= 255);
        assert_eq!(numbered("report.pdf", 2), "report (2).pdf");
        assert_eq!(numbered(".bashrc", 1), ".bashrc (1)");
        assert_eq!(numbered("README", 1), "README (1)");
    }

    fn entry(size: u64) -> Entry {
        Entry {
            name: FileName::parse("f").unwrap(),
            id: None,
            size,
            modified: Timestamp::new(1_000_000_000, 0).unwrap(),
            executable: false,
        }
    }

    fn open(path: &Path, part: Option<Box<Part>>, offset: u64) -> (FileSink, Hasher) {
        FileSink::open(
            &path.into(),
            &entry(3 * LEAST),
            OnConflict::Error,
            part,
            offset,
        )
        .unwrap()
    }

    #[test]
    fn what_came_before_a_cut_is_kept_in_whole_segments_if_it_is_worth_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let hidden = folder.path().join(".fileshare-f.part");
        let content = vec![7; LEAST as usize + 10];
        let (mut sink, _) = open(&path, None, 0);
        sink.write(&content[..1000]).unwrap();
        drop(sink);
        assert!(!hidden.exists());

        let (mut sink, _) = open(&path, None, 0);
        sink.write(&content).unwrap();
        assert!(Part::find(&path.as_path().into()).is_none(), "it is in use");
        drop(sink);
        assert_eq!(hidden.metadata().unwrap().len(), LEAST);

        let mut part = Part::find(&path.as_path().into()).unwrap();
        assert!(part.beginning().is_none());
        while part.read_on() {}
        let digest = Hasher::digest_of(&content[..LEAST as usize]);
        let length = LEAST;
        assert_eq!(part.beginning(), Some(Beginning { length, digest }));
        let (mut sink, hasher) = open(&path, Some(part), LEAST);
        assert_eq!(hasher.finish(), digest);
        sink.write(b"rest").unwrap();
        sink.publish().unwrap();
        assert!(std::fs::read(&path).unwrap() == [&content[..LEAST as usize], b"rest"].concat());
        assert!(!hidden.exists());
    }

    #[test]
    fn what_is_void_is_removed_and_what_begins_anew_is_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let hidden = folder.path().join(".fileshare-f.part");
        std::fs::write(&hidden, vec![7; 2 * LEAST as usize + 5]).unwrap();
        let part = Part::find(&path.as_path().into()).unwrap();
        assert_eq!(part.length, 2 * LEAST);
        let (sink, hasher) = open(&path, Some(part), 0);
        assert_eq!(hasher.finish(), Hasher::digest_of(b""));
        assert_eq!(hidden.metadata().unwrap().len(), 0);
        sink.discard();
        assert!(!hidden.exists());
    }
}
