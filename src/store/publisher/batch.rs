use std::collections::HashMap;
use std::io;

use super::Publisher;
use crate::disk::Folder;
use crate::store::answer::Answer;
use crate::store::error::StoreError;
use crate::store::journal::{Change, Kind};
use crate::store::names::Place;
use crate::store::trash::TrashFolder;
use crate::types::FileName;

/// A batch ends early when it has touched more folders than this: each is an open handle.
const MOST_FOLDERS: usize = 256;

/// What one batch has in hand.
pub(super) struct Batch {
    /// Folders that are open already, with their places in `touched`.
    open: HashMap<Option<FileName>, (Folder, usize)>,
    /// Folders in which names changed, and how their sync ended.
    touched: Vec<(Folder, io::Result<()>)>,
    /// Those that the present job touched.
    by_job: Vec<usize>,
    /// Folders of the trash that took something.
    trash: HashMap<TrashFolder, Folder>,
    trash_synced: io::Result<()>,
    /// Whether the present job put something there.
    keeps: bool,
    pub(super) answers: Vec<Pending>,
}

/// An answer that waits for the end of the batch; it is told how the syncs ended.
type Pending = Box<dyn FnOnce(&Synced) + Send>;

/// How the syncs of a batch ended.
pub(super) struct Synced {
    folders: Vec<(Folder, io::Result<()>)>,
    trash: io::Result<()>,
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            open: HashMap::new(),
            touched: Vec::new(),
            by_job: Vec::new(),
            trash: HashMap::new(),
            trash_synced: Ok(()),
            keeps: false,
            answers: Vec::new(),
        }
    }
}

impl Batch {
    /// Whether enough handles are open that the batch should end.
    pub(super) fn is_full(&self) -> bool {
        self.touched.len() + self.trash.len() > MOST_FOLDERS
    }

    /// Notes that a name in the folder changes.
    pub(super) fn touch(&mut self, path: Option<FileName>, folder: &Folder) {
        let next = self.touched.len();
        let (_, at) = self
            .open
            .entry(path)
            .or_insert_with(|| (folder.clone(), next));
        if *at == next {
            self.touched.push((folder.clone(), Ok(())));
        }
        self.by_job.push(*at);
    }

    /// Forgets which folder has which name, because one was renamed or removed. Those that were
    /// touched are synced all the same.
    pub(super) fn forget_names(&mut self) {
        self.open.clear();
    }

    /// Notes that something is in the trash now.
    pub(super) fn kept(&mut self, touched: Vec<(TrashFolder, Folder)>) {
        self.trash.extend(touched);
        self.keeps = true;
    }

    /// Makes the batch survive a power cut: the trash first, so that what it took is never gone from
    /// both places.
    pub(super) fn sync(&mut self) {
        self.trash_synced = self.trash.values().try_for_each(Folder::sync);
        for (folder, outcome) in &mut self.touched {
            *outcome = folder.sync();
        }
    }

    pub(super) fn answer(self) {
        let synced = Synced {
            folders: self.touched,
            trash: self.trash_synced,
        };
        for answer in self.answers {
            answer(&synced);
        }
    }
}

impl Publisher {
    /// Opens a folder to put something into it, making it and its parents when they are missing.
    pub(super) fn open_or_make(&mut self, path: Option<FileName>) -> Result<Folder, StoreError> {
        if let Some((folder, at)) = self.batch.open.get(&path) {
            self.batch.by_job.push(*at);
            return Ok(folder.clone());
        }
        let folder = match self.rules().place(path.as_ref())? {
            Place::Ready(folder) => folder,
            Place::Missing(deepest, missing) => self.make_missing(deepest, missing)?,
        };
        self.batch.touch(path, &folder);
        Ok(folder)
    }

    pub(super) fn make_missing(
        &mut self,
        deepest: Folder,
        missing: Vec<FileName>,
    ) -> Result<Folder, StoreError> {
        let mut folder = deepest;
        for path in missing {
            match self.with_room(|_| folder.make_folder(path.leaf())) {
                Ok(()) => self.record(Change::new(Kind::MadeFolder, &path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::disk(&path, error)),
            }
            self.batch.touch(path.folder(), &folder);
            folder = folder
                .subfolder(path.leaf())
                .map_err(|error| StoreError::disk(&path, error))?;
            self.remember(|index| index.put_folder(&path));
        }
        Ok(folder)
    }

    /// Keeps an answer until the end of the batch. It becomes an error when a folder that the job
    /// touched could not be synced.
    pub(super) fn answer_later<T: Send + 'static>(
        &mut self,
        name: FileName,
        answer: Answer<T>,
        outcome: Result<T, StoreError>,
    ) {
        self.damaged |= matches!(&outcome, Err(StoreError::Index(error)) if error.is_damage());
        let by_job = std::mem::take(&mut self.batch.by_job);
        let keeps = std::mem::take(&mut self.batch.keeps);
        self.batch.answers.push(Box::new(move |synced| {
            let failed = by_job
                .iter()
                .filter_map(|at| synced.folders.get(*at))
                .find_map(|(_, synced)| synced.as_ref().err())
                .or(synced.trash.as_ref().err().filter(|_| keeps));
            answer.give(match failed {
                Some(error) => outcome.and(Err(StoreError::disk(&name, copy_of(error)))),
                None => outcome,
            });
        }));
    }
}

/// One failed sync fails several files.
fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_keeps_so_many_folders_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::open(directory.path()).unwrap();
        let mut batch = Batch::default();
        for number in 0..=MOST_FOLDERS {
            assert!(!batch.is_full());
            let path = FileName::parse(&number.to_string()).unwrap();
            batch.touch(Some(path.clone()), &folder);
            batch.touch(Some(path), &folder);
        }
        assert!(batch.is_full());
    }
}
