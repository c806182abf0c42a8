//! The client's own files: what is read for an upload, and what a download becomes.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::digest::Hasher;
use crate::disk::{FileFacts, Folder, Replace, StagedFile};
use crate::protocol::limits::DATA_CHUNK;
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::{Done, Sink, Source};
use crate::types::{Digest, Entry, OnConflict, Printable, Timestamp};

/// How many names `name (1)`, `name (2)` … are tried before giving up.
const MAX_NUMBERED: u32 = 10_000;

/// Does work on local files, on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        let message = "working on local files failed unexpectedly";
        Err(Failure::new(ErrorCode::Internal, message))
    })
}

/// A local path as it is shown.
pub(super) fn shown(path: &Path) -> String {
    Printable(&path.to_string_lossy()).to_string()
}

/// What the system said about a local path.
pub(super) fn io_failure(path: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::NotFound => ErrorCode::NotFound,
        ErrorKind::AlreadyExists => ErrorCode::AlreadyExists,
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => ErrorCode::Conflict,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::DiskFull,
        ErrorKind::InvalidFilename => ErrorCode::InvalidName,
        _ => ErrorCode::Io,
    };
    let what = match error.kind() {
        ErrorKind::NotFound => "no such local file".to_owned(),
        ErrorKind::StorageFull => "the local disk is full".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(code, format!("{}: {what}", shown(path)))
}

/// A local file that is open for reading, and what it was when it was opened.
pub(super) struct LocalFile {
    path: PathBuf,
    file: File,
    pub(super) facts: FileFacts,
}

impl LocalFile {
    /// Opens a regular file. A link that the user named is followed; a FIFO does not block.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| io_failure(path, &error);
        require_file(path, &std::fs::metadata(path).map_err(failed)?)?;
        let mut options = OpenOptions::new();
        options.read(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
        }
        let file = options.open(path).map_err(failed)?;
        require_file(path, &file.metadata().map_err(failed)?)?;
        Ok(LocalFile {
            facts: FileFacts::of(&file).map_err(failed)?,
            path: path.to_owned(),
            file,
        })
    }

    /// Reads the whole file and goes back to its beginning. `read` hears of every piece.
    pub(super) fn hash(&mut self, mut read: impl FnMut(usize)) -> Result<Digest, Failure> {
        let failed = |error: io::Error| io_failure(&self.path, &error);
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; DATA_CHUNK];
        loop {
            let bytes = self.file.read(&mut buffer).map_err(failed)?;
            if bytes == 0 {
                break;
            }
            hasher.update(buffer.get(..bytes).unwrap_or_default());
            read(bytes);
        }
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.check_unchanged()?;
        Ok(hasher.finish())
    }

    fn check_unchanged(&self) -> Result<(), Failure> {
        let now = FileFacts::of(&self.file).map_err(|error| io_failure(&self.path, &error))?;
        if self.facts.same_file(&now) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::Conflict,
            format!("{} changed while it was read", shown(&self.path)),
        ))
    }
}

/// Whether it is a regular file; if not, why it cannot be sent.
pub(super) fn require_file(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    let path = shown(path);
    if metadata.is_dir() {
        let message = format!("{path} is a folder; this version sends files only");
        return Err(Failure::new(ErrorCode::Usage, message));
    }
    if !metadata.is_file() {
        let message = format!("{path} is not a regular file; '-' sends what a command writes");
        return Err(Failure::new(ErrorCode::Usage, message));
    }
    Ok(())
}

/// A local file that is being uploaded.
pub(super) struct FileSource {
    file: LocalFile,
    digest: Option<Digest>,
}

impl FileSource {
    /// `digest` saves hashing the file again when it was just hashed through the same handle.
    pub(super) fn new(file: LocalFile, digest: Option<Digest>) -> Self {
        FileSource { file, digest }
    }
}

impl Source for FileSource {
    fn entry(&self) -> Option<Entry> {
        None
    }

    fn size(&self) -> Option<u64> {
        Some(self.file.facts.size)
    }

    fn digest(&self) -> Option<Digest> {
        self.digest
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let read = self.file.file.read(buffer);
        read.map_err(|error| io_failure(&self.file.path, &error))
    }

    fn finish(&mut self, _digest: Digest) -> Result<(), Failure> {
        self.file.check_unchanged()
    }
}

/// A stream that is being uploaded, such as standard input.
pub(super) struct StreamSource(pub(super) Box<dyn Read + Send>);

impl Source for StreamSource {
    fn entry(&self) -> Option<Entry> {
        None
    }

    fn size(&self) -> Option<u64> {
        None
    }

    fn digest(&self) -> Option<Digest> {
        None
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => {
                    return other.map_err(|error| {
                        Failure::new(ErrorCode::Io, format!("the input cannot be read: {error}"))
                    });
                }
            }
        }
    }

    fn finish(&mut self, _digest: Digest) -> Result<(), Failure> {
        Ok(())
    }
}

/// Where a download goes, once that is decided.
pub(super) enum LocalSink {
    /// A file that appears under its name when it is complete.
    File(FileSink),
    /// A stream; `None` once it has failed.
    Stream(Box<dyn Write + Send>),
}

/// From this size on room is set aside for a file while it comes, in bytes.
const RESERVED_FROM: u64 = 1024 * 1024;

/// How much room is set aside beyond what came, in bytes: a server that announces much and sends
/// nothing takes none.
const RESERVED_AHEAD: u64 = 64 * 1024 * 1024;

/// A file that is being downloaded, under a hidden name beside its real one.
pub(super) struct FileSink {
    staged: StagedFile,
    /// What the server announced, what came of it, and for how much room is set aside, in bytes.
    size: u64,
    received: u64,
    reserved: u64,
    folder: Folder,
    path: PathBuf,
    leaf: String,
    modified: Timestamp,
    executable: bool,
    on_conflict: OnConflict,
}

impl FileSink {
    /// Makes the missing folders and the hidden file.
    pub(super) fn create(
        path: &Path,
        entry: &Entry,
        on_conflict: OnConflict,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| io_failure(path, &error);
        let leaf = path.file_name().and_then(|leaf| leaf.to_str());
        let leaf = leaf.ok_or_else(|| failed(ErrorKind::InvalidFilename.into()))?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = Folder::create(parent).map_err(failed)?;
        let staged = StagedFile::create_or_take(&folder, &partial_name(leaf));
        let staged = staged.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => Failure::new(
                ErrorCode::Conflict,
                format!("{} is being downloaded by another process", shown(path)),
            ),
            _ => failed(error),
        })?;
        // A disk without the room says so now, and not in mid-transfer.
        if folder.free_space().is_some_and(|free| free < entry.size) {
            return Err(failed(ErrorKind::StorageFull.into()));
        }
        Ok(FileSink {
            staged,
            size: entry.size,
            received: 0,
            reserved: 0,
            folder,
            path: path.to_owned(),
            leaf: leaf.to_owned(),
            modified: entry.modified,
            executable: entry.executable,
            on_conflict,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.size >= RESERVED_FROM && self.received > self.reserved {
            self.reserved = self.received.saturating_add(RESERVED_AHEAD).min(self.size);
            self.staged.reserve(self.reserved)?;
        }
        self.staged.write_all(bytes)
    }

    fn publish(self) -> Result<PathBuf, Failure> {
        let failed = |error: io::Error| io_failure(&self.path, &error);
        self.staged
            .set_permissions(self.executable)
            .map_err(failed)?;
        self.staged.set_modified(self.modified).map_err(failed)?;
        let replace = match self.on_conflict {
            OnConflict::Overwrite => Replace::Allowed,
            OnConflict::Error | OnConflict::Skip | OnConflict::Rename => Replace::Never,
        };
        let mut staged = self.staged;
        let mut leaf = self.leaf.clone();
        for number in 1..=MAX_NUMBERED {
            match staged.publish(&self.folder, &leaf, replace) {
                Ok(_) => return Ok(self.path.with_file_name(leaf)),
                Err(error)
                    if error.source.kind() == ErrorKind::AlreadyExists
                        && self.on_conflict == OnConflict::Rename =>
                {
                    staged = error.staged;
                    leaf = numbered(&self.leaf, number);
                }
                Err(error) if error.source.kind() == ErrorKind::AlreadyExists => {
                    return Err(exists(&self.path, None));
                }
                Err(error) => return Err(failed(error.source)),
            }
        }
        Err(exists(&self.path, None))
    }
}

impl Sink for LocalSink {
    /// The local file; `None` for a stream.
    type Receipt = Option<PathBuf>;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            LocalSink::File(file) => {
                let written = file.write(bytes);
                written.map_err(|error| io_failure(&file.path, &error))
            }
            LocalSink::Stream(stream) => stream.write_all(bytes).map_err(|error| output(&error)),
        }
    }

    fn finish(self, _digest: Digest, done: Done<Self::Receipt>) {
        done(match self {
            LocalSink::File(file) => file.publish().map(Some),
            LocalSink::Stream(mut stream) => {
                let flushed = stream.flush();
                flushed.map(|()| None).map_err(|error| output(&error))
            }
        });
    }
}

/// The failure of a local file that stands in the way; `same` says whether it has the content that
/// would have come, when that is known.
pub(super) fn exists(path: &Path, same: Option<bool>) -> Failure {
    let content = match same {
        Some(true) => " with the same content",
        Some(false) => " with other content",
        None => "",
    };
    let message = format!("{} exists already{content}", shown(path));
    Failure::new(ErrorCode::AlreadyExists, message)
}

fn output(error: &io::Error) -> Failure {
    Failure::new(
        ErrorCode::Io,
        format!("the output cannot be written: {error}"),
    )
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

    #[test]
    fn names_beside_the_real_one() {
        assert_eq!(partial_name("a.txt"), ".fileshare-a.txt.part");
        assert!(partial_name(&"x".repeat(255)).len() <= 255);
        assert_eq!(numbered("report.pdf", 2), "report (2).pdf");
        assert_eq!(numbered(".bashrc", 1), ".bashrc (1)");
        assert_eq!(numbered("README", 1), "README (1)");
    }
}
