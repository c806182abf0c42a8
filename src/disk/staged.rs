use std::fs::{File, FileTimes};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};

use super::{FileFacts, Folder, Replace, permissions};
use crate::types::Timestamp;

/// A file that is being written under a temporary name, to appear under its real name whole or
/// not at all. Dropping it before it is published or kept removes it.
#[derive(Debug)]
pub struct StagedFile {
    folder: Folder,
    temporary_name: String,
    file: File,
    /// Whether it is published, or kept.
    settled: bool,
}

/// A file that was not published, with the file itself, so that another name can be tried.
#[derive(Debug, thiserror::Error)]
#[error("the file cannot be given its name")]
pub struct PublishError {
    /// The file, still under its temporary name.
    pub staged: StagedFile,
    /// What went wrong; `AlreadyExists` when the name is taken.
    pub source: io::Error,
}

impl StagedFile {
    /// Creates the file; `AlreadyExists` when the temporary name is taken.
    pub fn create(folder: &Folder, temporary_name: &str) -> io::Result<Self> {
        let file = folder.create_file(temporary_name)?;
        Ok(Self::of(folder, temporary_name, file))
    }

    /// Creates the file, or takes over one that an earlier run left behind and empties it.
    /// `WouldBlock` when another process is writing it.
    pub fn create_or_take(folder: &Folder, temporary_name: &str) -> io::Result<Self> {
        let staged = Self::take(folder, temporary_name)?;
        staged.file.set_len(0)?;
        Ok(staged)
    }

    /// Takes over a file that an earlier run left behind, with all that is in it, or creates it.
    /// `WouldBlock` when another process is writing it.
    pub fn take(folder: &Folder, temporary_name: &str) -> io::Result<Self> {
        // Whoever held the file may publish or remove it between our opening and our locking it;
        // then the lock is on a file that has another name by now. That cannot go on for long.
        for _ in 0..100 {
            let file = folder.open_or_create_file(temporary_name)?;
            file.try_lock()?;
            let ours = FileFacts::of(&file)?;
            match folder.facts(temporary_name) {
                Ok(named) if named.inode == ours.inode && named.device == ours.device => {}
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            if links(&file)? > 1 {
                // The content has a second name, perhaps the real one already: leave it alone.
                folder.remove_file(temporary_name)?;
                continue;
            }
            return Ok(Self::of(folder, temporary_name, file));
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn of(folder: &Folder, temporary_name: &str, file: File) -> Self {
        StagedFile {
            folder: folder.clone(),
            temporary_name: temporary_name.to_owned(),
            file,
            settled: false,
        }
    }

    /// Gives the file its real name in one step, in exchange for the file that stands there: that one
    /// gets the free name `aside_leaf` in the folder `aside`. `Unsupported` where the system cannot
    /// do that. The folders are not synced. After an error the file still has its temporary name.
    pub fn publish_in_exchange(
        &mut self,
        target: &Folder,
        leaf: &str,
        aside: &Folder,
        aside_leaf: &str,
    ) -> io::Result<FileFacts> {
        let facts = FileFacts::of(&self.file)?;
        let (own, temporary) = (&self.folder, &self.temporary_name);
        own.rename(temporary, aside, aside_leaf, Replace::Never)?;
        if let Err(error) = aside.exchange(aside_leaf, target, leaf) {
            aside.rename(aside_leaf, own, temporary, Replace::Never)?;
            return Err(error);
        }
        self.settled = true;
        Ok(facts)
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Sets the room for `size` bytes aside, where the file system can, without changing the
    /// file's size. A disk that has not got the room says so here and not in mid-transfer.
    pub fn reserve(&self, size: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if size > 0 {
            use rustix::fs::{FallocateFlags, fallocate};
            use rustix::io::Errno;

            return match fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, size) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
                other => other.map_err(io::Error::from),
            };
        }
        let _ = size;
        Ok(())
    }

    /// Cuts the file to its first `size` bytes and goes on behind them. Room that was set aside for
    /// more is given back.
    pub fn cut(&mut self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.file.seek(SeekFrom::Start(size)).map(drop)
    }

    /// Leaves the file under its temporary name, for a later run to [`take`](Self::take).
    pub fn keep(mut self) {
        self.settled = true;
    }

    /// Sets the time of the last change. Call it after the last write.
    pub fn set_modified(&self, modified: Timestamp) -> io::Result<()> {
        self.file
            .set_times(FileTimes::new().set_modified(modified.into()))
    }

    /// Gives the file its final permissions: those of an ordinary new file, executable or not. Do
    /// it before [`sync`](Self::sync), which then covers everything.
    pub fn set_permissions(&self, executable: bool) -> io::Result<()> {
        permissions::set_ordinary(&self.file, executable)
    }

    /// Makes content, time and permissions survive a power cut. After an error the content must
    /// be taken for lost: a second try may succeed without having written anything.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file its real name, in one step. The folder of the name is not synced.
    pub fn publish(
        mut self,
        target: &Folder,
        leaf: &str,
        replace: Replace,
    ) -> Result<FileFacts, PublishError> {
        let renamed = FileFacts::of(&self.file).and_then(|facts| {
            self.folder
                .rename(&self.temporary_name, target, leaf, replace)?;
            Ok(facts)
        });
        match renamed {
            Ok(facts) => {
                self.settled = true;
                Ok(facts)
            }
            Err(source) => Err(PublishError {
                staged: self,
                source,
            }),
        }
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.settled {
            // Nothing can be done about a failure; the owner of the folder cleans up later.
            let _ = self.folder.remove_file(&self.temporary_name);
        }
    }
}

#[cfg(unix)]
fn links(file: &File) -> io::Result<u64> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?))
}

#[cfg(not(unix))]
fn links(_file: &File) -> io::Result<u64> {
    Ok(1)
}
