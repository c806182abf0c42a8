//! The client's own files: what is read for an upload, and what a download becomes.

mod part;
mod stream;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::digest::{BlockSize, Hasher};
use crate::disk::FileFacts;
use crate::protocol::limits::DATA_CHUNK;
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::{Done, Sink, Source};
use crate::types::{Digest, Entry, Printable};

pub(super) use part::{FileSink, Part};
pub(super) use stream::{Output, StreamSink};

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
        self.file.rewind().map_err(failed)?;
        self.check_unchanged()?;
        Ok(hasher.finish())
    }

    /// Reads from this place, as `std::io::Read` does.
    pub(super) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Failure> {
        let read = self.file.seek(SeekFrom::Start(offset));
        let read = read.and_then(|_| self.file.read(buffer));
        read.map_err(|error| io_failure(&self.path, &error))
    }

    /// Reads the next blocks from where one begins; tells how many bytes they have, 0 at the end.
    pub(super) fn read_blocks(
        &mut self,
        offset: u64,
        size: BlockSize,
        each: impl FnMut(&[u8]),
    ) -> Result<usize, Failure> {
        let mut position = offset;
        let read = |buffer: &mut [u8]| {
            let read = self.read_at(position, buffer)?;
            position = position.saturating_add(read as u64);
            Ok(read)
        };
        size.read(read, each)
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

    fn seek(&mut self, offset: u64) -> Result<(), Failure> {
        let sought = self.file.file.seek(SeekFrom::Start(offset));
        sought
            .map(drop)
            .map_err(|error| io_failure(&self.file.path, &error))
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

    fn seek(&mut self, _offset: u64) -> Result<(), Failure> {
        let message = "the input cannot be read a second time";
        Err(Failure::new(ErrorCode::Io, message))
    }

    fn finish(&mut self, _digest: Digest) -> Result<(), Failure> {
        Ok(())
    }
}

/// Where a download goes, once that is decided.
pub(super) enum LocalSink {
    /// A file that appears under its name when it is complete.
    File(FileSink),
    /// A stream.
    Stream(StreamSink),
}

impl Sink for LocalSink {
    /// The local file; `None` for a stream.
    type Receipt = Option<PathBuf>;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            LocalSink::File(file) => file.write(bytes),
            LocalSink::Stream(stream) => stream.write(bytes),
        }
    }

    fn read_basis(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Failure> {
        match self {
            LocalSink::File(file) => file.read_basis(offset, buffer),
            LocalSink::Stream(stream) => stream.read_basis(offset, buffer),
        }
    }

    fn digested(&mut self, so_far: &Hasher) {
        if let LocalSink::Stream(stream) = self {
            stream.digested(so_far);
        }
    }

    fn finish(self, digest: Digest, done: Done<Self::Receipt>) {
        match self {
            LocalSink::File(file) => {
                file.finish(digest, Box::new(|result| done(result.map(Some))));
            }
            LocalSink::Stream(stream) => {
                stream.finish(digest, Box::new(|result| done(result.map(|()| None))));
            }
        }
    }

    fn discard(self) {
        match self {
            LocalSink::File(file) => file.discard(),
            LocalSink::Stream(stream) => stream.discard(),
        }
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
