use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{LocalEntry, Reason, Rules, Skipped, Tree, WalkOptions};
use crate::client::local::{LocalFolder, io_failure};
use crate::disk::{FileFacts, FileKind};
use crate::protocol::Failure;
use crate::types::{FileName, NameError, RESERVED_PREFIX};

/// A folder that is still to be read.
struct Pending {
    /// `None` is the top.
    name: Option<FileName>,
    /// Where it really is.
    place: PathBuf,
    /// The real places of the folders that it was reached through, which links could lead back to.
    through: Option<Arc<Through>>,
}

struct Through {
    place: PathBuf,
    outer: Option<Arc<Through>>,
}

struct Walk<'a> {
    tree: Tree,
    options: &'a WalkOptions,
    /// The real path of the top, to see where links lead.
    real_top: PathBuf,
    pending: Vec<Pending>,
}

/// Walks through all of the folder, or through these files and folders in it.
pub(super) fn walk(
    top: LocalFolder,
    within: Option<Vec<FileName>>,
    options: &WalkOptions,
) -> Result<Tree, Failure> {
    let real_top = match options.follow {
        true => std::fs::canonicalize(&top.path).map_err(|error| io_failure(&top.path, &error))?,
        false => PathBuf::new(),
    };
    let mut walk = Walk {
        tree: Tree {
            top,
            files: Vec::new(),
            folders: Vec::new(),
            empty: Vec::new(),
            skipped: Vec::new(),
            rules: Rules::new(options.filter.clone()),
        },
        options,
        real_top,
        pending: Vec::new(),
    };
    match within {
        Some(names) => names.into_iter().for_each(|name| walk.begin(name)),
        None => walk.pending.push(Pending {
            name: None,
            place: PathBuf::new(),
            through: None,
        }),
    }
    while let Some(folder) = walk.pending.pop() {
        walk.read(folder)?;
    }
    let mut tree = walk.tree;
    tree.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    tree.files.dedup_by(|a, b| a.name == b.name);
    tree.folders.sort_unstable();
    tree.empty.sort_unstable();
    tree.skipped.sort_by(|a, b| a.place.cmp(&b.place));
    Ok(tree)
}

impl Walk<'_> {
    /// Looks at something in the tree without what is on the way to it.
    fn begin(&mut self, name: FileName) {
        let top = self.tree.top.folder.clone();
        if let Some(leaf) = &self.options.ignore_file {
            self.tree.rules.heed(None, &top, leaf);
            for outer in name.ancestors() {
                if let Ok(folder) = top.folder(&outer) {
                    self.tree.rules.heed(Some(&outer), &folder, leaf);
                }
            }
        }
        let place: PathBuf = name.parts().collect();
        let Ok(facts) = top.facts_below(&place) else {
            return;
        };
        let Ok((place, facts)) = self.resolve(&place, facts) else {
            return;
        };
        match facts.kind {
            FileKind::Folder if !self.tree.rules.leaves_out(&name) => {
                self.pending.push(Pending {
                    name: Some(name),
                    place,
                    through: None,
                });
            }
            FileKind::File if self.tree.rules.takes(&name, false) => {
                self.tree.files.push(LocalEntry { name, place, facts });
            }
            _ => {}
        }
    }

    /// Reads one folder.
    fn read(&mut self, folder: Pending) -> Result<(), Failure> {
        let top = &self.tree.top;
        let opened = top.folder.folder_below(&folder.place);
        let opened = opened.and_then(|opened| Ok((opened.contents()?, opened)));
        let (mut contents, opened) = match (opened, &folder.name) {
            (Ok(opened), _) => opened,
            (Err(error), None) => return Err(io_failure(&top.path, &error)),
            (Err(error), Some(name)) => {
                // What is gone by now was never there.
                if error.kind() != ErrorKind::NotFound {
                    let reason = Reason::Unreadable(error.to_string());
                    let name = name.clone();
                    self.skip(folder.place, Some(name), reason);
                }
                return Ok(());
            }
        };
        if let Some(leaf) = &self.options.ignore_file {
            self.tree.rules.heed(folder.name.as_ref(), &opened, leaf);
        }
        contents.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let through = Arc::new(Through {
            place: folder.place.clone(),
            outer: folder.through.clone(),
        });
        let mut taken: HashMap<FileName, PathBuf> = HashMap::new();
        let mut is_empty = true;
        for (leaf, facts) in contents {
            if is_own(&leaf) {
                continue;
            }
            let place = folder.place.join(&leaf);
            let name = match name(folder.name.as_ref(), &leaf) {
                Ok(name) => name,
                Err(reason) => {
                    self.skip_unnamed(folder.name.as_ref(), &leaf, place, facts.kind, reason);
                    continue;
                }
            };
            let (real, facts) = match self.resolve(&place, facts) {
                Ok(found) => found,
                Err(reason) => {
                    if self.tree.rules.takes_file(&name) {
                        self.skip(place, Some(name), reason);
                    }
                    continue;
                }
            };
            let is_folder = facts.kind == FileKind::Folder;
            let meant = match is_folder {
                true => !self.tree.rules.leaves_out(&name),
                false => self.tree.rules.takes_file(&name),
            };
            if !meant {
                continue;
            }
            let reason = if facts.device != self.tree.top.folder.device() {
                Some(Reason::OtherFileSystem)
            } else if facts.kind == FileKind::Special {
                Some(Reason::Special)
            } else if is_folder && through.leads_to(&real) {
                Some(Reason::Loop)
            } else {
                taken.get(&name).cloned().map(Reason::Twin)
            };
            if let Some(reason) = reason {
                self.skip(place, Some(name), reason);
                continue;
            }
            is_empty = false;
            taken.insert(name.clone(), place);
            match is_folder {
                true => {
                    self.tree.folders.push(name.clone());
                    self.pending.push(Pending {
                        name: Some(name),
                        place: real,
                        through: Some(through.clone()),
                    });
                }
                false => self.tree.files.push(LocalEntry {
                    name,
                    place: real,
                    facts,
                }),
            }
        }
        if let Some(name) = folder.name.filter(|_| is_empty)
            && self.tree.rules.takes(&name, true)
        {
            self.tree.empty.push(name);
        }
        Ok(())
    }

    /// Where something really is, and what it is: that is another question for a link only.
    fn resolve(&self, place: &Path, facts: FileFacts) -> Result<(PathBuf, FileFacts), Reason> {
        if facts.kind != FileKind::Link {
            return Ok((place.to_owned(), facts));
        }
        if !self.options.follow {
            return Err(Reason::Link);
        }
        let target = std::fs::canonicalize(self.real_top.join(place));
        let target = target.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Reason::LeadsNowhere,
            _ => Reason::Unreadable(error.to_string()),
        })?;
        let real = target.strip_prefix(&self.real_top);
        let real = real.map_err(|_| Reason::LeadsOut)?.to_owned();
        if real.components().any(|part| is_own(part.as_os_str())) {
            return Err(Reason::Name(NameError::Reserved));
        }
        let facts = match real.as_os_str().is_empty() {
            true => self.tree.top.folder.own_facts(),
            false => self.tree.top.folder.facts_below(&real),
        };
        match facts {
            Ok(facts) if facts.kind == FileKind::Link => Err(Reason::Link),
            Ok(facts) => Ok((real, facts)),
            Err(error) => Err(Reason::Unreadable(error.to_string())),
        }
    }

    /// Skips what cannot have a name, unless it is clear all the same that it is not meant.
    fn skip_unnamed(
        &mut self,
        folder: Option<&FileName>,
        leaf: &OsStr,
        place: PathBuf,
        kind: FileKind,
        reason: Reason,
    ) {
        // Close enough to the name for a glob such as *.tmp.
        let text: String = leaf
            .to_string_lossy()
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        let near = FileName::from_typed(&text).and_then(|leaf| FileName::inside(folder, &leaf));
        let rules = &self.tree.rules;
        let meant = near.is_ok_and(|name| match kind {
            FileKind::Folder => !rules.leaves_out(&name),
            _ => rules.takes_file(&name),
        });
        if meant || self.options.filter.takes_all() {
            self.skip(place, None, reason);
        }
    }

    fn skip(&mut self, place: PathBuf, name: Option<FileName>, reason: Reason) {
        self.tree.skipped.push(Skipped {
            place,
            name,
            reason,
        });
    }
}

impl Through {
    /// Whether a folder is one of these, so that going into it would never end.
    fn leads_to(&self, place: &Path) -> bool {
        let mut through = Some(self);
        while let Some(folder) = through {
            if folder.place == place {
                return true;
            }
            through = folder.outer.as_deref();
        }
        false
    }
}

/// What the programs themselves have put there: it is never sent, nor spoken of.
fn is_own(leaf: &OsStr) -> bool {
    let leaf = leaf.as_encoded_bytes();
    let rest = leaf.strip_prefix(RESERVED_PREFIX.as_bytes());
    rest.is_some_and(|rest| match rest {
        b"" | b"-trash" => true,
        rest => rest.starts_with(b"-") && rest.ends_with(b".part"),
    })
}

/// The name of something in a folder.
fn name(folder: Option<&FileName>, leaf: &OsStr) -> Result<FileName, Reason> {
    let leaf = leaf.to_str().ok_or(Reason::NotUtf8)?;
    let leaf = FileName::from_typed(leaf).map_err(Reason::Name)?;
    FileName::inside(folder, &leaf).map_err(Reason::Name)
}
