use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crate::digest::Hasher;
use crate::disk::{FileFacts, Folder};
use crate::protocol::message::WireOffered;
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::{Progress, Source};
use crate::types::{Digest, Entry, FileName, NameError, Printable};

/// How much is hashed at a time before somebody who wants no more of it is heeded.
const HOP_BYTES: u64 = 16 * 1024 * 1024;

/// An open folder of files that may be offered.
#[derive(Debug, Clone)]
pub struct Directory {
    folder: Folder,
    path: PathBuf,
}

impl Directory {
    /// Opens the folder at `path`.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let path = path.canonicalize()?;
        let folder = Folder::open(&path)?;
        Ok(Directory { folder, path })
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The plain files directly in it that can be offered, in order of names, and what else is
    /// there besides folders and the program's own files: links, special files, names that are none.
    pub fn files(&self) -> Result<(Vec<FileName>, Vec<String>), Failure> {
        let leaves = self.folder.leaves().map_err(|error| {
            let message = format!("{}: {error}", Printable(&self.path.to_string_lossy()));
            Failure::new(ErrorCode::Io, message)
        })?;
        let (mut names, mut left_out) = (Vec::new(), Vec::new());
        for leaf in leaves {
            match FileName::parse(&leaf) {
                Ok(name) if self.folder.open_file(name.as_str()).is_ok() => names.push(name),
                Err(NameError::Reserved) => {}
                _ if self.folder.subfolder(&leaf).is_ok() => {}
                _ => left_out.push(leaf),
            }
        }
        names.sort();
        left_out.sort();
        Ok((names, left_out))
    }
}

/// A file that can be offered: open, hashed, and not offered yet.
#[derive(Debug, Clone)]
pub struct Hashed {
    directory: Directory,
    name: FileName,
    facts: FileFacts,
    id: Digest,
}

impl Hashed {
    /// Its name.
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.facts.size
    }

    /// Its id.
    pub fn id(&self) -> Digest {
        self.id
    }

    fn open(&self) -> Result<(File, FileFacts), Failure> {
        open(&self.directory, &self.name)
    }

    pub(super) fn to_wire(&self) -> WireOffered {
        WireOffered {
            name: self.name.as_str().to_owned(),
            size: self.facts.size,
            id: self.id.into(),
        }
    }
}

/// Hashes a file of the folder so that it can be offered. Dropping the future stops it soon.
pub async fn hash(
    directory: &Directory,
    name: &FileName,
    index: u32,
    progress: &dyn Progress,
) -> Result<Hashed, Failure> {
    let (file, facts) = blocking({
        let (directory, name) = (directory.clone(), name.clone());
        move || open(&directory, &name)
    })
    .await?;
    progress.begin(index, &name.to_string(), Some(facts.size), 0);
    let hashed = hash_open(file, &facts, name, |bytes| progress.advance(index, bytes)).await;
    progress.end(index);
    Ok(Hashed {
        directory: directory.clone(),
        name: name.clone(),
        id: hashed?,
        facts,
    })
}

async fn hash_open(
    mut file: File,
    facts: &FileFacts,
    name: &FileName,
    read: impl Fn(u64),
) -> Result<Digest, Failure> {
    let mut hasher = Hasher::new();
    loop {
        let hop = blocking({
            let name = name.clone();
            move || {
                let bytes = hasher.update_from(&mut file, HOP_BYTES);
                let bytes = bytes.map_err(|error| unreadable(&name, &error))?;
                Ok((file, hasher, bytes))
            }
        });
        let bytes;
        (file, hasher, bytes) = hop.await?;
        read(bytes);
        if bytes < HOP_BYTES {
            break;
        }
    }
    let now = FileFacts::of(&file).map_err(|error| unreadable(name, &error))?;
    match now.same_file(facts) {
        true => Ok(hasher.finish()),
        false => Err(changed(name, "while it was read")),
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        let message = "reading a local file failed unexpectedly";
        Err(Failure::new(ErrorCode::Internal, message))
    })
}

/// What a client offers. What is asked for is looked up here and nowhere else.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    offered: Mutex<BTreeMap<FileName, Hashed>>,
}

impl Shelf {
    fn offered(&self) -> MutexGuard<'_, BTreeMap<FileName, Hashed>> {
        self.offered.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Offers a file; returns what was offered under its name.
    pub(super) fn put(&self, file: Hashed) -> Option<Hashed> {
        self.offered().insert(file.name.clone(), file)
    }

    /// Offers a file no more.
    pub(super) fn remove(&self, name: &FileName) -> Option<Hashed> {
        self.offered().remove(name)
    }

    /// All that is offered.
    pub(super) fn all(&self) -> Vec<Hashed> {
        self.offered().values().cloned().collect()
    }

    /// The names of all that is offered.
    pub(super) fn names(&self) -> Vec<FileName> {
        self.offered().keys().cloned().collect()
    }

    /// Opens an offered file, if it is still offered with this id and unchanged. One that was
    /// touched is read again: what counts is the content.
    pub(super) fn open(&self, name: &FileName, id: Digest) -> Result<OfferedFile, Failure> {
        let offered = self.offered().get(name).cloned();
        let offered = offered.filter(|offered| offered.id == id);
        let mut offered = offered.ok_or_else(|| invalid_request(name))?;
        let opened = offered.open();
        let (mut file, facts) = opened.map_err(|failure| match failure.code {
            // A link, a folder or anything else stands there now.
            ErrorCode::Usage => changed(name, "since it was offered"),
            _ => failure,
        })?;
        if !facts.same_file(&offered.facts) {
            let mut hasher = Hasher::new();
            let read = hasher.update_from(&mut file, u64::MAX);
            let rewound = read.and_then(|_| file.rewind());
            rewound.map_err(|error| unreadable(name, &error))?;
            if hasher.finish() != id {
                return Err(changed(name, "since it was offered"));
            }
            offered.facts = facts;
            let mut shelf = self.offered();
            if let Some(there) = shelf.get_mut(name).filter(|there| there.id == id) {
                there.facts = facts;
            }
        }
        let then = None;
        Ok(OfferedFile {
            offered,
            file,
            then,
        })
    }
}

fn open(directory: &Directory, name: &FileName) -> Result<(File, FileFacts), Failure> {
    if name.as_str() != name.leaf() {
        let message = format!("{name}: only files directly in the folder can be offered");
        return Err(Failure::new(ErrorCode::Usage, message));
    }
    let opened = directory.folder.open_file(name.as_str());
    opened.map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorCode::NotFound,
            std::io::ErrorKind::InvalidInput => ErrorCode::Usage,
            _ => ErrorCode::Io,
        };
        let what = match code {
            ErrorCode::NotFound => "no such file".to_owned(),
            ErrorCode::Usage => "it is not a plain file".to_owned(),
            _ => error.to_string(),
        };
        Failure::new(code, format!("{name}: {what}"))
    })
}

/// What whoever asks for something is told that is not offered.
pub(super) fn invalid_request(what: impl std::fmt::Display) -> Failure {
    let message = format!("{what} is not offered");
    Failure::new(ErrorCode::NotFound, message)
}

fn changed(name: &FileName, when: &str) -> Failure {
    Failure::new(ErrorCode::Conflict, format!("{name} has changed {when}"))
}

fn unreadable(name: &FileName, error: &std::io::Error) -> Failure {
    Failure::new(ErrorCode::Io, format!("{name} cannot be read: {error}"))
}

/// An offered file on its way to somebody.
pub(super) struct OfferedFile {
    offered: Hashed,
    file: File,
    then: Option<Finally>,
}

/// Hears whether all of a file was read and is what was offered.
pub(super) type Finally = Box<dyn FnOnce(Result<(), Failure>) + Send>;

impl OfferedFile {
    /// The same, and somebody hears what came of it when all of it was read.
    pub(super) fn finally(mut self, then: Finally) -> Self {
        self.then = Some(then);
        self
    }

    /// What is said of it.
    pub(super) fn describe(&self) -> Entry {
        Entry {
            name: self.offered.name.clone(),
            id: Some(self.offered.id),
            size: self.offered.facts.size,
            modified: self.offered.facts.modified,
            executable: self.offered.facts.executable,
        }
    }
}

impl Source for OfferedFile {
    fn entry(&self) -> Option<Entry> {
        Some(self.describe())
    }

    fn size(&self) -> Option<u64> {
        Some(self.offered.facts.size)
    }

    /// It is hashed again while it is sent: nobody keeps its owner from changing it.
    fn digest(&self) -> Option<Digest> {
        None
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let read = self.file.read(buffer);
        read.map_err(|error| unreadable(&self.offered.name, &error))
    }

    fn seek(&mut self, offset: u64) -> Result<(), Failure> {
        let sought = self.file.seek(SeekFrom::Start(offset));
        sought
            .map(drop)
            .map_err(|error| unreadable(&self.offered.name, &error))
    }

    fn finish(&mut self, digest: Digest) -> Result<(), Failure> {
        let finished = match digest == self.offered.id {
            true => Ok(()),
            false => Err(changed(&self.offered.name, "since it was offered")),
        };
        if let Some(then) = self.then.take() {
            then(finished.clone());
        }
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Silent;
    use std::fs;

    fn name(text: &str) -> FileName {
        FileName::parse(text).unwrap()
    }

    async fn shelf(path: &Path, file: &str) -> (Shelf, Digest) {
        let directory = Directory::open(path).unwrap();
        let hashed = hash(&directory, &name(file), 0, &Silent).await.unwrap();
        let id = hashed.id();
        let shelf = Shelf::default();
        assert!(shelf.put(hashed).is_none());
        (shelf, id)
    }

    #[tokio::test]
    async fn only_what_is_offered_can_be_had_and_only_as_it_was_offered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("foo");
        fs::write(&path, "hello").unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        let (shelf, id) = shelf(dir.path(), "foo").await;
        assert_eq!(shelf.open(&name("foo"), id).unwrap().describe().size, 5);
        let missing = shelf.open(&name("secret"), id).err().unwrap();
        assert_eq!(missing.code, ErrorCode::NotFound);
        let other = shelf.open(&name("foo"), Digest::Md5([0; 16]));
        assert_eq!(other.err().unwrap().code, ErrorCode::NotFound);

        let later = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_times(later).unwrap();
        assert!(shelf.open(&name("foo"), id).is_ok(), "only touched");
        fs::write(&path, "other").unwrap();
        let changed = shelf.open(&name("foo"), id).err().unwrap();
        assert_eq!(changed.code, ErrorCode::Conflict, "{changed}");
        fs::write(&path, "hello").unwrap();
        assert!(shelf.open(&name("foo"), id).is_ok(), "the same again");
        fs::remove_file(&path).unwrap();
        let gone = shelf.open(&name("foo"), id).err().unwrap();
        assert_eq!(gone.code, ErrorCode::NotFound);
    }

    /// The time and the size of a file do not tell everything.
    #[tokio::test]
    async fn a_change_that_nothing_shows_is_found_while_it_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("foo");
        fs::write(&path, "hello").unwrap();
        let (shelf, id) = shelf(dir.path(), "foo").await;
        let mut open = shelf.open(&name("foo"), id).unwrap();
        assert!(open.finish(id).is_ok());
        let other = Hasher::digest_of(b"jello");
        assert_eq!(open.finish(other).unwrap_err().code, ErrorCode::Conflict);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_folder_offers_its_plain_files() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["b", "a", ".fileshare-x.part"] {
            fs::write(dir.path().join(file), file).unwrap();
        }
        fs::create_dir(dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let (files, left_out) = directory.files().unwrap();
        assert_eq!(files, [name("a"), name("b")]);
        assert_eq!(left_out, ["link"]);
        fs::write(dir.path().join("folder/in"), "x").unwrap();
        for wrong in ["link", "folder", "none", "folder/in"] {
            let hashed = hash(&directory, &name(wrong), 0, &Silent).await;
            assert!(hashed.is_err(), "{wrong}");
        }
    }
}
