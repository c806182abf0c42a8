use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::{FileFacts, FileLock, Folder, LockError, Replace, StagedFile};

/// How long to wait for another process that is changing the document.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look whether it is done.
const PAUSE: Duration = Duration::from_millis(20);

/// A small file of the program's own (accounts, keys, known servers), private to its owner: read
/// as a whole, and replaced as a whole in one durable step.
#[derive(Debug, Clone)]
pub struct Document {
    folder: Folder,
    leaf: String,
    limit: u64,
}

impl Document {
    /// The file `leaf` in `folder`, which need not be there, of at most `limit` bytes.
    pub fn new(folder: &Folder, leaf: &str, limit: u64) -> Self {
        Document {
            folder: folder.clone(),
            leaf: leaf.to_owned(),
            limit,
        }
    }

    /// What is in it; `None` when it is not there, `InvalidData` when it is larger than its limit.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let (file, _) = match self.folder.open_file(&self.leaf) {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(self.limit + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > self.limit {
            true => Err(io::Error::new(ErrorKind::InvalidData, "it is too large")),
            false => Ok(Some(bytes)),
        }
    }

    /// What tells this version of it from another one; `None` when it is not there.
    pub fn facts(&self) -> io::Result<Option<FileFacts>> {
        match self.folder.facts(&self.leaf) {
            Ok(facts) => Ok(Some(facts)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces it by what `change` makes of it. Whoever else updates it meanwhile, in this process
    /// or another one, waits; `TimedOut` when that takes more than 10 s. Nothing is written when
    /// `change` fails, or when it returns what is there already.
    pub fn update<E: From<io::Error>>(
        &self,
        change: impl FnOnce(Option<Vec<u8>>) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let _lock = self.lock()?;
        let before = self.read()?;
        let after = change(before.clone())?;
        if before.as_ref() != Some(&after) {
            self.write(&after)?;
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > self.limit {
            return Err(io::Error::new(ErrorKind::InvalidData, "it gets too large"));
        }
        let mut staged = StagedFile::create_or_take(&self.folder, &self.beside("new"))?;
        staged.write_all(bytes)?;
        staged.sync()?;
        staged
            .publish(&self.folder, &self.leaf, Replace::Allowed)
            .map_err(|error| error.source)?;
        self.folder.sync()
    }

    fn lock(&self) -> io::Result<FileLock> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match FileLock::acquire(&self.folder, &self.beside("lock")) {
                Ok(lock) => return Ok(lock),
                Err(LockError::Io(error)) => return Err(error),
                Err(LockError::Held { .. }) if Instant::now() < deadline => thread::sleep(PAUSE),
                Err(LockError::Held { .. }) => {
                    let what = "another process is changing it all the time";
                    return Err(io::Error::new(ErrorKind::TimedOut, what));
                }
            }
        }
    }

    fn beside(&self, what: &str) -> String {
        format!(".{}.{what}", self.leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_of_many_threads_all_count_and_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let document = Document::new(&Folder::open(folder.path()).unwrap(), "list", 1000);
        assert_eq!(document.read().unwrap(), None);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let more = |before: Option<Vec<u8>>| {
                            let mut bytes = before.unwrap_or_default();
                            bytes.push(b'x');
                            Ok::<_, io::Error>(bytes)
                        };
                        document.update(more).unwrap();
                    }
                });
            }
        });
        assert_eq!(document.read().unwrap(), Some(vec![b'x'; 40]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.path().join("list");
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_too_large_is_neither_read_nor_written() {
        let folder = tempfile::tempdir().unwrap();
        let document = Document::new(&Folder::open(folder.path()).unwrap(), "list", 3);
        let written = document.update(|_| Ok::<_, io::Error>(vec![0; 4]));
        assert_eq!(written.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(document.read().unwrap(), None);
        std::fs::write(folder.path().join("list"), "four").unwrap();
        assert_eq!(document.read().unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
