//! The store, tested from outside: through its interface and through the folder itself.

mod changes;
mod conflicts;
mod durability;
mod hand_made;
mod hostile;
mod limits;
mod listing;
#[cfg(target_os = "linux")]
mod mounts;
mod opening;
#[cfg(unix)]
mod partial;
mod reading;
mod scrub;
mod trash;
mod undo;

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::*;
use crate::digest::Hasher;
use crate::types::{Digest, OnConflict, TakenBack, Timestamp};

/// A store over a folder of its own.
struct Shared {
    store: Store,
    directory: tempfile::TempDir,
}

impl Shared {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut StoreOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(directory.path());
        options.durability = Durability::None;
        change(&mut options);
        let store = Store::open(options).unwrap();
        Shared { store, directory }
    }

    fn reopened(self) -> Self {
        self.reopened_after(|_| {})
    }

    /// The same, after something was done to the folder.
    fn reopened_after(self, change: impl FnOnce(&Path)) -> Self {
        self.store.close();
        change(self.directory.path());
        let mut options = StoreOptions::new(self.directory.path());
        options.durability = Durability::None;
        Shared {
            store: Store::open(options).unwrap(),
            directory: self.directory,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file by hand, with a time that is not young.
    fn write(&self, below: &str, content: &str) {
        let path = self.path().join(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        make_old(&path);
    }

    fn read(&self, below: &str) -> String {
        std::fs::read_to_string(self.path().join(below)).unwrap()
    }

    fn upload(&self, text: &str, content: &str) -> Result<Entry, StoreError> {
        upload(&self.store, new(text), content)
    }

    fn stat(&self, text: &str) -> Result<Item, StoreError> {
        self.store.stat(&file(text))
    }

    fn entry(&self, text: &str) -> Entry {
        entry(self.stat(text).unwrap())
    }

    fn names(&self) -> Vec<String> {
        let page = self.store.list(&ListQuery::default(), None, 1_000_000);
        let items = page.unwrap().items;
        let text = |item: &Item| match item {
            Item::File(entry) => entry.name.as_str().to_owned(),
            Item::Folder(name) => format!("{}/", name.as_str()),
        };
        items.iter().map(text).collect()
    }

    /// After this, what was done by hand before is in every listing.
    fn let_listings_catch_up(&self) {
        std::thread::sleep(Duration::from_millis(1100));
    }

    fn rename(&self, from: &str, to: &str) -> Result<Item, StoreError> {
        self.store.rename(
            &file(from),
            &name(to),
            Precondition::default(),
            false,
            &Cause::default(),
        )
    }

    fn remove(&self, text: &str, recursive: bool) -> Result<Item, StoreError> {
        self.remove_for(&Cause::default(), text, recursive)
            .map(|removed| removed.item)
    }

    fn remove_for(
        &self,
        cause: &Cause,
        text: &str,
        recursive: bool,
    ) -> Result<Removed, StoreError> {
        self.store.remove(
            &file(text),
            recursive,
            Precondition::default(),
            false,
            cause,
        )
    }

    fn kept(&self) -> Vec<(String, u32)> {
        let page = self.store.trash(&ListQuery::default(), None, 1_000_000);
        let kept = page.unwrap().files.into_iter();
        kept.map(|kept| (kept.name.as_str().to_owned(), kept.version))
            .collect()
    }

    fn restore(&self, text: &str, version: u32) -> Result<Item, StoreError> {
        self.store
            .restore(&name(text), version, false, &Cause::default())
    }

    /// Takes back the owner's last command: what became of each change.
    fn undo(&self, owner: Option<&str>) -> Vec<(String, Result<TakenBack, StoreError>)> {
        let mut from = None;
        let mut all = Vec::new();
        loop {
            let page = self.store.undo(owner, from, false).unwrap();
            let undone = page.changes.into_iter();
            all.extend(undone.map(|undone| (undone.name.as_str().to_owned(), undone.outcome)));
            from = page.next;
            if from.is_none() {
                return all;
            }
        }
    }

    fn staged(&self) -> usize {
        let staging = self.path().join(".fileshare/staging");
        std::fs::read_dir(staging).map_or(0, Iterator::count)
    }
}

fn name(text: &str) -> FileName {
    FileName::parse(text).unwrap()
}

fn file(text: &str) -> FileRef {
    FileRef::parse(text).unwrap()
}

fn id(content: &str) -> Digest {
    Hasher::digest_of(content.as_bytes())
}

fn old() -> Timestamp {
    Timestamp::new(1_000_000_000, 5).unwrap()
}

fn make_old(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    file.set_modified(old().into()).unwrap();
}

fn new(text: &str) -> NewFile {
    NewFile {
        modified: Some(old()),
        ..NewFile::new(name(text))
    }
}

fn with(text: &str, on_conflict: OnConflict) -> NewFile {
    NewFile {
        on_conflict,
        ..new(text)
    }
}

fn upload(store: &Store, new: NewFile, content: &str) -> Result<Entry, StoreError> {
    let mut upload = store.stage(new)?;
    upload.write(content.as_bytes())?;
    publish(upload, id(content))
}

fn publish(upload: Upload, digest: Digest) -> Result<Entry, StoreError> {
    let (sender, receiver) = mpsc::channel();
    upload.publish(
        digest,
        Box::new(move |outcome| sender.send(outcome).unwrap()),
    );
    receiver.recv().unwrap()
}

fn entry(item: Item) -> Entry {
    match item {
        Item::File(entry) => entry,
        Item::Folder(name) => panic!("{name} is a folder"),
    }
}

/// Waits until something holds, and fails after a time that is far too long.
fn eventually(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "never happened");
        std::thread::sleep(Duration::from_millis(20));
    }
}

macro_rules! refused {
    ($result:expr, $pattern:pat) => {
        match $result {
            Err($pattern) => {}
            other => panic!("{:?}", other.map(|_| "went through")),
        }
    };
}
use refused;
