use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::disk::Folder;
use crate::types::{FileName, Filter};

/// The largest file of patterns that is heeded, in bytes.
const MAX_IGNORE_FILE: u64 = 1024 * 1024;

/// Which names of a tree are not meant: those that its filter does not take, and those that its
/// ignore files name.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    filter: Filter,
    /// What is ignored in a folder and below it; `None` is the top.
    ignored: BTreeMap<Option<FileName>, Gitignore>,
}

impl Rules {
    pub(super) fn new(filter: Filter) -> Self {
        Rules {
            filter,
            ignored: BTreeMap::new(),
        }
    }

    /// Whether the name is meant, as that of a file or of an empty folder.
    pub fn takes(&self, name: &FileName, is_folder: bool) -> bool {
        self.filter.takes(name)
            && !self.ignores(name, is_folder)
            && !name.ancestors().any(|folder| self.ignores(&folder, true))
    }

    /// Whether nothing in the folder can be meant. Its own folders are known to be walked through.
    pub(super) fn leaves_out(&self, folder: &FileName) -> bool {
        self.filter.excludes(folder) || self.ignores(folder, true)
    }

    /// Whether a file that is in a folder which is walked through is meant.
    pub(super) fn takes_file(&self, name: &FileName) -> bool {
        self.filter.takes(name) && !self.ignores(name, false)
    }

    /// Whether an ignore file names it. The one that is nearest decides.
    fn ignores(&self, name: &FileName, is_folder: bool) -> bool {
        if self.ignored.is_empty() {
            return false;
        }
        let mut folder = name.folder();
        loop {
            let below = match &folder {
                Some(folder) => name.relative_to(folder),
                None => Some(name.clone()),
            };
            if let (Some(ignored), Some(below)) = (self.ignored.get(&folder), below) {
                match ignored.matched(Path::new(below.as_str()), is_folder) {
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                    Match::None => {}
                }
            }
            let Some(inner) = folder else { return false };
            folder = inner.folder();
        }
    }

    /// Heeds the ignore file `leaf` of a folder, if it has one. A line that cannot be understood is
    /// passed over, as git does.
    pub(super) fn heed(&mut self, name: Option<&FileName>, folder: &Folder, leaf: &str) {
        let Ok((file, _)) = folder.open_file(leaf) else {
            return;
        };
        let mut text = Vec::new();
        if file.take(MAX_IGNORE_FILE).read_to_end(&mut text).is_err() {
            return;
        }
        let mut builder = GitignoreBuilder::new("");
        for line in String::from_utf8_lossy(&text).lines() {
            let _ = builder.add_line(None, line);
        }
        if let Ok(ignored) = builder.build() {
            self.ignored.insert(name.cloned(), ignored);
        }
    }
}
