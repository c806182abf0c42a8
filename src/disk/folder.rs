use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, ReadDir};

use super::{FileFacts, FileKind};
use crate::types::FileName;

/// Whether a file that stands under the new name may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Fail with `AlreadyExists`.
    Never,
    /// Replace it in one step.
    Allowed,
}

/// An open handle of a folder; cheap to clone.
///
/// A *leaf* is the name of something directly in the folder. One that could lead elsewhere (empty,
/// `.`, `..`, or with a slash or NUL in it) is refused with `InvalidInput`. What a handle is open
/// on stays the same folder when the folder is renamed or a link is put in its place.
#[derive(Debug, Clone)]
pub struct Folder {
    dir: Arc<Dir>,
    /// The file system of the handle from which this one was reached.
    device: u64,
}

impl Folder {
    /// Opens a folder by a path that the user of this machine gave; links in it are followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        let device = FileFacts::from_metadata(&dir.dir_metadata()?)?.device;
        Ok(Folder {
            dir: Arc::new(dir),
            device,
        })
    }

    /// The same, making the folder and its parents when they are missing.
    pub fn create(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Self::open(path)
    }

    /// The same for a folder that nobody else may look into (0700).
    pub fn create_private(path: &Path) -> io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        Self::open(path)
    }

    /// Opens the folder `name` below this one, part by part. A symbolic link on the way is
    /// `NotADirectory`, another file system `CrossesDevices`.
    pub fn folder(&self, name: &FileName) -> io::Result<Folder> {
        name.parts()
            .try_fold(self.clone(), |folder, part| folder.subfolder(part))
    }

    /// Opens the folder `leaf` directly in this one.
    pub fn subfolder(&self, leaf: &str) -> io::Result<Folder> {
        check_leaf(leaf)?;
        self.subfolder_raw(OsStr::new(leaf))
    }

    /// The same for a leaf that need not be UTF-8 and was read from this very folder.
    pub(super) fn subfolder_raw(&self, leaf: &OsStr) -> io::Result<Folder> {
        let dir = self.dir.open_dir_nofollow(leaf).map_err(name_links)?;
        self.reached(dir)
    }

    fn reached(&self, dir: Dir) -> io::Result<Folder> {
        if FileFacts::from_metadata(&dir.dir_metadata()?)?.device != self.device {
            return Err(ErrorKind::CrossesDevices.into());
        }
        Ok(Folder {
            dir: Arc::new(dir),
            device: self.device,
        })
    }

    /// Opens the folder `name` below this one, making what is missing, and tells what was made,
    /// outermost first.
    pub fn make_folders(&self, name: &FileName) -> io::Result<(Folder, Vec<FileName>)> {
        let mut made = Vec::new();
        let mut folder = self.clone();
        for path in name.ancestors().chain([name.clone()]) {
            let leaf = path.leaf();
            folder = match folder.subfolder(leaf) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match folder.make_folder(leaf) {
                        Ok(()) => made.push(path.clone()),
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                        Err(error) => return Err(error),
                    }
                    folder.subfolder(leaf)?
                }
                other => other?,
            };
        }
        Ok((folder, made))
    }

    /// Makes the folder `leaf` in this one.
    pub fn make_folder(&self, leaf: &str) -> io::Result<()> {
        check_leaf(leaf)?;
        self.dir.create_dir(leaf)
    }

    /// Opens the folder `leaf`, making it when it is missing, so that nobody else may look into it.
    pub fn make_private_folder(&self, leaf: &str) -> io::Result<Folder> {
        check_leaf(leaf)?;
        #[cfg_attr(not(unix), allow(unused_mut))]
        let mut builder = cap_std::fs::DirBuilder::new();
        #[cfg(unix)]
        cap_std::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match self.dir.create_dir_with(leaf, &builder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => self.subfolder(leaf),
        }
    }

    /// Opens the regular file `leaf` for reading. Never blocks on a FIFO, never follows a link:
    /// whatever is not a regular file of this file system is `InvalidInput`.
    pub fn open_file(&self, leaf: &str) -> io::Result<(File, FileFacts)> {
        // Opening a device can already do something to it, so look first and again afterwards.
        self.require_file(&self.facts(leaf)?)?;
        let mut options = OpenOptions::new();
        options.read(true);
        let file = self.open_with(leaf, &mut options)?;
        let facts = FileFacts::of(&file)?;
        self.require_file(&facts)?;
        Ok((file, facts))
    }

    /// Opens the folder at a path below this one, whose names need not be UTF-8. A link on the way
    /// that leads out of this folder is an error, and another file system is `CrossesDevices`.
    pub fn folder_below(&self, path: &Path) -> io::Result<Folder> {
        match path.as_os_str().is_empty() {
            true => Ok(self.clone()),
            false => self.reached(self.dir.open_dir(path)?),
        }
    }

    /// Opens the regular file at a path below this folder, under the conditions of
    /// [`open_file`](Self::open_file) and [`folder_below`](Self::folder_below).
    pub fn file_below(&self, path: &Path) -> io::Result<(File, FileFacts)> {
        let found = self.dir.symlink_metadata(path)?;
        self.require_file(&FileFacts::from_metadata(&found)?)?;
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No).nonblock(true);
        let opened = self.dir.open_with(path, &options).map_err(name_links)?;
        let file = opened.into_std();
        let facts = FileFacts::of(&file)?;
        self.require_file(&facts)?;
        Ok((file, facts))
    }

    /// What stands at a path below this folder; a link is not followed.
    pub fn facts_below(&self, path: &Path) -> io::Result<FileFacts> {
        FileFacts::from_metadata(&self.dir.symlink_metadata(path)?)
    }

    /// Everything directly in this folder, under the names that the disk has for it.
    pub fn contents(&self) -> io::Result<Vec<(OsString, FileFacts)>> {
        let mut contents = Vec::new();
        for entry in self.entries()? {
            let entry = entry?;
            match entry.metadata() {
                Ok(found) => contents.push((entry.file_name(), FileFacts::from_metadata(&found)?)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(contents)
    }

    /// Creates the file `leaf`, readable and writable for its owner only; `AlreadyExists` when
    /// anything stands there.
    pub fn create_file(&self, leaf: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        self.open_with(leaf, &mut options)
    }

    /// Opens the regular file `leaf` for reading and writing, creating it as
    /// [`create_file`](Self::create_file) does when it is missing.
    pub fn open_or_create_file(&self, leaf: &str) -> io::Result<File> {
        match self.facts(leaf) {
            Ok(facts) => self.require_file(&facts)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true);
        let file = self.open_with(leaf, &mut options)?;
        self.require_file(&FileFacts::of(&file)?)?;
        Ok(file)
    }

    /// What stands under `leaf`, links not followed.
    pub fn facts(&self, leaf: &str) -> io::Result<FileFacts> {
        check_leaf(leaf)?;
        FileFacts::from_metadata(&self.dir.symlink_metadata(leaf)?)
    }

    /// What this folder itself is.
    pub fn own_facts(&self) -> io::Result<FileFacts> {
        FileFacts::from_metadata(&self.dir.dir_metadata()?)
    }

    /// The file system that this folder is on.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// The mount that this folder is on, where the system tells. A second mount of one file system
    /// has the same device and another mount.
    pub(super) fn mount(&self) -> Option<u64> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{AtFlags, StatxFlags, statx};

            let facts = statx(&*self.dir, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
            let told = facts.stx_mask & StatxFlags::MNT_ID.bits() != 0;
            told.then_some(facts.stx_mnt_id)
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Renames `leaf` to `to_leaf` in the folder `to`, in one step.
    pub fn rename(
        &self,
        leaf: &str,
        to: &Folder,
        to_leaf: &str,
        replace: Replace,
    ) -> io::Result<()> {
        check_leaf(leaf)?;
        check_leaf(to_leaf)?;
        match replace {
            Replace::Allowed => self.dir.rename(leaf, &to.dir, to_leaf),
            Replace::Never => self.rename_to_free_name(leaf, to, to_leaf),
        }
    }

    /// The same, possibly replacing, for a leaf that need not be UTF-8 and was read from this very
    /// folder.
    pub(super) fn rename_raw(&self, leaf: &OsStr, to: &Folder, to_leaf: &str) -> io::Result<()> {
        check_leaf(to_leaf)?;
        self.dir.rename(leaf, &to.dir, to_leaf)
    }

    #[cfg(target_os = "linux")]
    fn rename_to_free_name(&self, leaf: &str, to: &Folder, to_leaf: &str) -> io::Result<()> {
        use rustix::fs::{RenameFlags, renameat_with};
        use rustix::io::Errno;

        match renameat_with(&*self.dir, leaf, &*to.dir, to_leaf, RenameFlags::NOREPLACE) {
            // File systems that know no flags, and kernels that know no renameat2.
            Err(Errno::INVAL | Errno::NOSYS) => self.link_to_free_name(leaf, to, to_leaf),
            other => other.map_err(io::Error::from),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn rename_to_free_name(&self, leaf: &str, to: &Folder, to_leaf: &str) -> io::Result<()> {
        self.link_to_free_name(leaf, to, to_leaf)
    }

    /// A second link fails when the name is taken, which a plain rename does not. A folder cannot
    /// be linked; for it the look and the rename are two steps, and a plain rename never replaces
    /// anything but an empty folder by a folder.
    fn link_to_free_name(&self, leaf: &str, to: &Folder, to_leaf: &str) -> io::Result<()> {
        if self.facts(leaf)?.kind != FileKind::Folder {
            self.dir.hard_link(leaf, &to.dir, to_leaf)?;
            return self.dir.remove_file(leaf);
        }
        match to.facts(to_leaf) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.dir.rename(leaf, &to.dir, to_leaf)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the file `leaf` a second name, `to_leaf` in the folder `to`, which nothing may have.
    pub fn link(&self, leaf: &str, to: &Folder, to_leaf: &str) -> io::Result<()> {
        check_leaf(leaf)?;
        check_leaf(to_leaf)?;
        self.dir.hard_link(leaf, &to.dir, to_leaf)
    }

    /// Lets what stands under `leaf` and what stands under `to_leaf` in the folder `to` change
    /// places, in one step; `Unsupported` where the system cannot do that.
    #[cfg(target_os = "linux")]
    pub fn exchange(&self, leaf: &str, to: &Folder, to_leaf: &str) -> io::Result<()> {
        use rustix::fs::{RenameFlags, renameat_with};
        use rustix::io::Errno;

        check_leaf(leaf)?;
        check_leaf(to_leaf)?;
        match renameat_with(&*self.dir, leaf, &*to.dir, to_leaf, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS) => Err(ErrorKind::Unsupported.into()),
            other => other.map_err(io::Error::from),
        }
    }

    /// Lets what stands under `leaf` and what stands under `to_leaf` in the folder `to` change
    /// places, in one step; `Unsupported` where the system cannot do that.
    #[cfg(not(target_os = "linux"))]
    pub fn exchange(&self, leaf: &str, _to: &Folder, to_leaf: &str) -> io::Result<()> {
        check_leaf(leaf)?;
        check_leaf(to_leaf)?;
        Err(ErrorKind::Unsupported.into())
    }

    /// The names of everything directly in this folder, but for those that are not UTF-8.
    pub fn leaves(&self) -> io::Result<Vec<String>> {
        let names = self.entries()?.map(|entry| Ok(entry?.file_name()));
        names
            .filter_map(|name| name.map(|name| name.into_string().ok()).transpose())
            .collect()
    }

    /// Removes the file, link or special file `leaf`.
    pub fn remove_file(&self, leaf: &str) -> io::Result<()> {
        check_leaf(leaf)?;
        self.dir.remove_file_or_symlink(leaf)
    }

    /// Removes the empty folder `leaf`.
    pub fn remove_folder(&self, leaf: &str) -> io::Result<()> {
        check_leaf(leaf)?;
        self.dir.remove_dir(leaf)
    }

    /// Makes the names in this folder survive a power cut.
    #[cfg(unix)]
    pub fn sync(&self) -> io::Result<()> {
        File::from(self.reopen()?).sync_all()
    }

    /// Folders cannot be synced here; the file system keeps its own order.
    #[cfg(not(unix))]
    pub fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Keeps other processes from locking this folder until the file that is returned is dropped;
    /// `WouldBlock` when one has locked it.
    #[cfg(unix)]
    pub fn lock(&self) -> io::Result<File> {
        let file = File::from(self.reopen()?);
        file.try_lock()?;
        Ok(file)
    }

    /// A handle on which `fsync` and `flock` work: the one inside is O_PATH on Linux, where they
    /// fail with EBADF.
    #[cfg(unix)]
    fn reopen(&self) -> io::Result<std::os::fd::OwnedFd> {
        use rustix::fs::{Mode, OFlags, openat};

        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(&*self.dir, ".", flags, Mode::empty())?)
    }

    /// Whether names that differ only in case are different names here. Finding out takes a hidden
    /// file that is made and removed; where that cannot be made, nothing else can either.
    pub fn tells_case_apart(&self) -> bool {
        let leaf = format!(".fileshare-case-{}.part", std::process::id());
        let made = self.create_file(&leaf).is_ok();
        let apart = self.facts(&leaf.to_uppercase()).is_err();
        if made {
            let _ = self.remove_file(&leaf);
        }
        apart
    }

    /// How many bytes may still be written to this file system, where the system tells.
    #[cfg(unix)]
    pub fn free_space(&self) -> Option<u64> {
        let facts = rustix::fs::fstatvfs(&*self.dir).ok()?;
        facts.f_bavail.checked_mul(facts.f_frsize)
    }

    /// How many bytes may still be written to this file system, where the system tells.
    #[cfg(not(unix))]
    pub fn free_space(&self) -> Option<u64> {
        None
    }

    pub(super) fn entries(&self) -> io::Result<ReadDir> {
        self.dir.entries()
    }

    fn open_with(&self, leaf: &str, options: &mut OpenOptions) -> io::Result<File> {
        check_leaf(leaf)?;
        options.follow(FollowSymlinks::No).nonblock(true);
        #[cfg(unix)]
        cap_std::fs::OpenOptionsExt::mode(options, 0o600);
        let file = self.dir.open_with(leaf, options).map_err(name_links)?;
        Ok(file.into_std())
    }

    fn require_file(&self, facts: &FileFacts) -> io::Result<()> {
        if facts.kind == FileKind::File && facts.device == self.device {
            return Ok(());
        }
        Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a regular file of this file system",
        ))
    }
}

fn check_leaf(leaf: &str) -> io::Result<()> {
    if matches!(leaf, "" | "." | "..") || leaf.contains(['/', '\0']) {
        return Err(ErrorKind::InvalidInput.into());
    }
    #[cfg(windows)]
    if leaf.contains(['\\', ':']) {
        return Err(ErrorKind::InvalidInput.into());
    }
    Ok(())
}

/// Systems differ in what they call a link where a folder must be (`ELOOP`, `ENOTDIR`).
fn name_links(error: io::Error) -> io::Error {
    #[cfg(unix)]
    if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::LOOP) {
        return ErrorKind::NotADirectory.into();
    }
    error
}
