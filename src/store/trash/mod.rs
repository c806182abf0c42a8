//! What was replaced or removed, kept for a while (contract section 10).
//!
//! The trash describes itself: `trash/<when>/<the name that it had>` in the store's own folder on
//! the file system of the root. Whatever else is lost, a person finds it there with `ls`, and
//! moves it back with `mv`. A folder `<when>` takes what goes within a second, so that many small
//! removals share folders and syncs; the order of such folders is the order in which things went,
//! and one name is in one of them at most once.
//!
//! The publisher alone brings things in and takes them out; the sweeper and whoever needs room
//! empty it, by whole folders, the oldest first.

mod listing;
mod room;
mod when;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::content::now;
use super::own_folder::{Home, OwnFolder};
use crate::disk::{Contents, FileFacts, Folder};
use crate::types::FileName;

pub use listing::TrashPage;
pub(super) use when::When;

/// So long one folder takes what goes, …
const FOLDER_TIME: Duration = Duration::from_secs(1);

/// … and no more of it than this part of the bound, so that emptying takes no more than it must.
const FOLDER_PART: u64 = 16;

/// The trash of one store.
pub(super) struct Trash {
    place: OwnFolder,
    /// For how long things are kept.
    pub(super) time: Duration,
    /// How many bytes are kept.
    pub(super) size: u64,
    // Held for a few steps in folders, never while a file is read or a tree is deleted.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    folders: BTreeMap<When, Amount>,
    total: Amount,
    /// Folders of earlier runs whose amounts are not known yet.
    uncounted: Vec<When>,
    last: Option<When>,
    current: Option<Current>,
}

/// So much is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Amount {
    /// One file.
    pub(super) fn of(file: &FileFacts) -> Self {
        Amount {
            files: 1,
            bytes: file.size,
        }
    }
}

impl From<Contents> for Amount {
    fn from(contents: Contents) -> Self {
        Amount {
            files: contents.files,
            bytes: contents.bytes,
        }
    }
}

/// The folder that takes what goes now.
struct Current {
    when: When,
    folder: Folder,
    since: Instant,
    amount: Amount,
    /// Folders in it that are open already.
    open: HashMap<Option<FileName>, Folder>,
}

/// Where something is kept, and what must be synced before it counts as kept for good.
pub(super) struct Place {
    pub(super) when: When,
    /// Folders that have new names in them, by what they are.
    pub(super) touched: Vec<(TrashFolder, Folder)>,
}

/// A folder of the trash: itself, a `<when>`, or one in it.
pub(super) type TrashFolder = Option<(When, Option<FileName>)>;

impl Trash {
    /// Finds what earlier runs have kept. How much that is, is counted [later](Self::count).
    pub(super) fn open(home: &Home, time: Duration, size: u64) -> io::Result<Self> {
        let place = OwnFolder::open(home, "trash")?;
        let mut state = State::default();
        if let Some(folder) = place.existing() {
            for when in folder.leaves()?.iter().filter_map(|leaf| When::parse(leaf)) {
                state.folders.insert(when, Amount::default());
            }
        }
        state.uncounted = state.folders.keys().copied().collect();
        state.last = state.folders.last_key_value().map(|(when, _)| *when);
        Ok(Trash {
            place,
            time,
            size,
            state: Mutex::new(state),
        })
    }

    /// How much is kept.
    pub(super) fn total(&self) -> Amount {
        self.lock().total
    }

    /// Whether so much would be kept, as far as the bounds go.
    pub(super) fn takes(&self, bytes: u64) -> bool {
        !self.time.is_zero() && self.size > 0 && bytes <= self.size
    }

    /// Keeps something that has `name`: `bring` gives it the leaf in the folder that it gets, by
    /// a rename or a link. Whoever keeps must ask first whether the trash [takes](Self::takes) it.
    pub(super) fn keep(
        &self,
        name: &FileName,
        amount: Amount,
        mut bring: impl FnMut(&Folder, &str) -> io::Result<()>,
    ) -> io::Result<Place> {
        const TRIES: u32 = 3;

        let mut state = self.lock();
        let mut touched = Vec::new();
        for _ in 1..TRIES {
            match self.try_to_keep(&mut state, name, amount, &mut touched, &mut bring) {
                // Something of that name is in the folder already, or somebody works there by hand.
                Err(error) if is_in_the_way(&error) => state.current = None,
                outcome => return outcome.map(|when| Place { when, touched }),
            }
        }
        self.try_to_keep(&mut state, name, amount, &mut touched, &mut bring)
            .map(|when| Place { when, touched })
    }

    fn try_to_keep(
        &self,
        state: &mut State,
        name: &FileName,
        amount: Amount,
        touched: &mut Vec<(TrashFolder, Folder)>,
        bring: &mut impl FnMut(&Folder, &str) -> io::Result<()>,
    ) -> io::Result<When> {
        let current = self.current(state, amount.bytes, touched)?;
        let folder = current.folder_of(name, touched)?;
        bring(&folder, name.leaf())?;
        touched.push((Some((current.when, name.folder())), folder));
        current.amount.add(amount);
        let when = current.when;
        state.folders.entry(when).or_default().add(amount);
        state.total.add(amount);
        Ok(when)
    }

    /// The folder for what goes now, a new one when it is time.
    fn current<'a>(
        &self,
        state: &'a mut State,
        more: u64,
        touched: &mut Vec<(TrashFolder, Folder)>,
    ) -> io::Result<&'a mut Current> {
        let goes_on = |current: &Current| {
            let fits = current.amount.bytes.saturating_add(more) <= self.size / FOLDER_PART;
            current.since.elapsed() < FOLDER_TIME && (fits || current.amount.files == 0)
        };
        if let Some(current) = state.current.take_if(|current| goes_on(current)) {
            return Ok(state.current.insert(current));
        }
        let when = When::after(state.last, now());
        let leaf = when.leaf();
        let (trash, folder) = self.place.with(|trash| {
            trash.make_folder(&leaf)?;
            Ok((trash.clone(), trash.subfolder(&leaf)?))
        })?;
        touched.push((None, trash));
        state.last = Some(when);
        state.folders.insert(when, Amount::default());
        Ok(state.current.insert(Current {
            when,
            folder,
            since: Instant::now(),
            amount: Amount::default(),
            open: HashMap::new(),
        }))
    }

    /// The folder that something is kept in; `NotFound` when it is not kept any more.
    pub(super) fn folder_of(&self, when: When, name: &FileName) -> io::Result<Folder> {
        let trash = self.place.existing().ok_or(ErrorKind::NotFound)?;
        let folder = trash.subfolder(&when.leaf())?;
        match name.folder() {
            Some(path) => folder.folder(&path),
            None => Ok(folder),
        }
    }

    /// Notes that something was taken out, and removes the folders that are empty without it.
    pub(super) fn taken(&self, when: When, name: &FileName, amount: Amount) {
        let mut state = self.lock();
        state.less(when, amount);
        state.forget_open();
        let Some(trash) = self.place.existing() else {
            return;
        };
        let Ok(folder) = trash.subfolder(&when.leaf()) else {
            return;
        };
        let mut path = name.folder();
        while let Some(emptied) = path {
            path = emptied.folder();
            let parent = match &path {
                Some(parent) => folder.folder(parent),
                None => Ok(folder.clone()),
            };
            // A folder that has something in it stays.
            if parent
                .and_then(|parent| parent.remove_folder(emptied.leaf()))
                .is_err()
            {
                return;
            }
        }
        if trash.remove_folder(&when.leaf()).is_ok() {
            state.forget(when);
        }
    }

    /// Lets go of what was open for one batch of changes.
    pub(super) fn end_batch(&self) {
        self.lock().forget_open();
    }

    /// All folders, the newest first.
    fn newest_first(&self) -> Vec<When> {
        self.lock().folders.keys().rev().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn less(&mut self, when: When, amount: Amount) {
        if let Some(folder) = self.folders.get_mut(&when) {
            folder.subtract(amount);
            self.total.subtract(amount);
        }
    }

    fn forget(&mut self, when: When) {
        if let Some(amount) = self.folders.remove(&when) {
            self.total.subtract(amount);
        }
        self.current.take_if(|current| current.when == when);
    }

    fn forget_open(&mut self) {
        if let Some(current) = &mut self.current {
            current.open.clear();
        }
    }
}

impl Current {
    /// The folder that something with this name goes into.
    fn folder_of(
        &mut self,
        name: &FileName,
        touched: &mut Vec<(TrashFolder, Folder)>,
    ) -> io::Result<Folder> {
        let path = name.folder();
        if let Some(folder) = self.open.get(&path) {
            return Ok(folder.clone());
        }
        let folder = match &path {
            None => self.folder.clone(),
            Some(path) => {
                let (folder, made) = self.folder.make_folders(path)?;
                for made in made {
                    let above = match made.folder() {
                        Some(above) => self.folder.folder(&above)?,
                        None => self.folder.clone(),
                    };
                    touched.push((Some((self.when, made.folder())), above));
                }
                folder
            }
        };
        self.open.insert(path, folder.clone());
        Ok(folder)
    }
}

impl Amount {
    fn add(&mut self, more: Amount) {
        self.files = self.files.saturating_add(more.files);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    fn subtract(&mut self, less: Amount) {
        self.files = self.files.saturating_sub(less.files);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }
}

/// Whether another folder of the trash would take what this one did not.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::NotFound
    )
}
