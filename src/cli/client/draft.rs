use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::shown;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::digest::Hasher;
use crate::types::{Digest, FileName};

/// A file that is being edited, in a folder of its own that nobody else may look into.
///
/// Dropping it removes it, unless there is something in it that is nowhere else: then it stays, and
/// it is said where.
pub struct Draft {
    output: Output,
    folder: PathBuf,
    path: PathBuf,
    /// What it was before somebody edited it; `None` until it was there at all.
    before: Option<Digest>,
    /// It was said already where it is kept, or there is no need to.
    settled: bool,
}

impl Draft {
    /// The place of a file that is called as on the server, so that editors know its kind.
    pub fn new(output: &Output, name: &FileName) -> Result<Self, Failure> {
        let folder = format!("fileshare-edit-{:016x}", rand::random::<u64>());
        let folder = std::env::temp_dir().join(folder);
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let made = builder.create(&folder);
        made.map_err(|error| Failure::io(format_args!("cannot make {}", shown(&folder)), &error))?;
        Ok(Draft {
            output: output.clone(),
            path: folder.join(name.leaf()),
            folder,
            before: None,
            settled: false,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is there now is what somebody is about to edit: it is made when it is missing, and
    /// nobody else may read it.
    pub fn begin(&mut self, executable: bool) -> Result<(), Failure> {
        let begun = File::options()
            .append(true)
            .create(true)
            .open(&self.path)
            .and_then(|file| restrict(&file, executable))
            .and_then(|()| digest_of(&self.path));
        self.before = Some(begun.map_err(|error| self.failure(&error))?);
        Ok(())
    }

    /// Whether it is another one than it was.
    pub fn is_changed(&self) -> Result<bool, Failure> {
        let now = digest_of(&self.path).map_err(|error| self.failure(&error))?;
        Ok(Some(now) != self.before)
    }

    /// Gives it the permissions that it had: an editor may have put a new file in its place.
    pub fn restore_permissions(&self, executable: bool) -> Result<(), Failure> {
        let restored = open(&self.path).and_then(|file| restrict(&file, executable));
        restored.map_err(|error| self.failure(&error))
    }

    /// It is safe elsewhere.
    pub fn discard(mut self) {
        self.settled = true;
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// It stays where it is; whoever calls this says so.
    pub fn keep(mut self) -> PathBuf {
        self.settled = true;
        self.path.clone()
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::io(format_args!("the edited file {}", shown(&self.path)), error)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // What cannot be read may be worth something all the same; what is not there is not.
        let precious = match (digest_of(&self.path), self.before) {
            (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
            (Ok(_), None) => false,
            (Ok(now), Some(before)) => now != before,
        };
        match precious {
            true => self
                .output
                .note(format_args!("your text is kept in {}", shown(&self.path))),
            false => {
                let _ = fs::remove_dir_all(&self.folder);
            }
        }
    }
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    hasher.update_from(&mut open(path)?, u64::MAX)?;
    Ok(hasher.finish())
}

/// Opens it for reading, if it is a plain file: an editor may have left a link, or a FIFO on which
/// one would wait for ever.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
    }
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a plain file any more")),
    }
}

#[cfg(unix)]
fn restrict(file: &File, executable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if executable { 0o700 } else { 0o600 };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn restrict(_file: &File, _executable: bool) -> io::Result<()> {
    Ok(())
}
