//! A root with something to lose all around it: files above it, beside it and on the way to it, of
//! which none may ever be read, made, changed or removed through the root.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What no client may ever see.
pub const SECRET: &str = "SECRET-3f9c0a outside of the root";

/// A folder to be shared and its surroundings.
pub struct Surroundings {
    outer: tempfile::TempDir,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Surroundings {
    pub fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = outer.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, SECRET).unwrap();
        };
        for path in [
            "secret",
            "b",
            "x",
            "up/secret",
            "up/outside/secret",
            "up/outside/a",
        ] {
            make(path);
        }
        std::fs::create_dir(outer.path().join("up/root")).unwrap();
        std::fs::create_dir(outer.path().join("up/outside/folder")).unwrap();
        let before = look_at(outer.path());
        Surroundings { outer, before }
    }

    /// The folder that may change.
    pub fn root(&self) -> PathBuf {
        self.outer.path().join("up/root")
    }

    /// A folder beside it.
    pub fn outside(&self) -> PathBuf {
        self.outer.path().join("up/outside")
    }

    /// Panics when anything but the root has changed.
    pub fn assert_untouched(&self) {
        assert_eq!(look_at(self.outer.path()), self.before);
    }

    /// What is in the root, but for the server's own state.
    pub fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        let names = names.filter(|name| name != ".fileshare");
        names.map(|name| format!("{name:?}")).collect()
    }
}

/// Everything below `folder` but what is in the root: kind, mode, time and content.
fn look_at(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let mut facts = metadata.mode().to_le_bytes().to_vec();
            if metadata.is_file() {
                facts.extend(metadata.mtime_nsec().to_le_bytes());
                facts.extend(std::fs::read(&path).unwrap());
            } else if metadata.is_symlink() {
                facts.extend(std::fs::read_link(&path).unwrap().as_os_str().as_bytes());
            } else if !path.ends_with("up/root") {
                folders.push(path.clone());
            }
            found.insert(path, facts);
        }
    }
    found
}
