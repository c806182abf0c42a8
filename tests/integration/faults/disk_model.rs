//! A disk as the worst file system keeps it. `disk_calls` feeds it with recorded system calls.
//!
//! A file's bytes are safe once the file was synced, a change of names once a folder that it touches
//! was. A rename is one change, as every file system with a journal keeps it. Everything else may be
//! lost, in any choice of what was written, and from any point on of what was renamed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::dice::Dice;

/// A file or folder, whatever names it has.
pub type Node = usize;

#[derive(Debug, Clone)]
pub enum Write {
    Bytes { at: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Clone, Default)]
struct Content {
    /// What a sync has made safe.
    synced: Vec<u8>,
    /// What came after, with the time on the disk's own clock.
    pending: Vec<(u64, Write)>,
}

/// A change of names, all of it or nothing.
#[derive(Debug, Clone)]
pub struct Renaming {
    pub gone: Option<(Node, String)>,
    pub come: Option<(Node, String, Node)>,
}

/// What of the unsynced is kept.
#[derive(Debug, Clone, Copy)]
pub enum Keep {
    Synced,
    All,
    /// By chance, from this seed.
    Some(u64),
}

#[derive(Debug, Clone)]
pub struct Disk {
    root: String,
    /// The content of each file; a folder has none.
    nodes: Vec<Option<Content>>,
    /// The names as the server sees them.
    names: HashMap<Node, BTreeMap<String, Node>>,
    /// The names that are safe.
    safe: HashMap<Node, BTreeMap<String, Node>>,
    pending: Vec<(u64, Renaming)>,
    /// Counts changes.
    clock: u64,
    /// The syncs that run: what of, and since when.
    syncing: HashMap<usize, (Node, u64)>,
}

const ROOT: Node = 0;

impl Disk {
    /// An empty folder that the recording calls `root`.
    pub fn new(root: &str) -> Self {
        let root_names = HashMap::from([(ROOT, BTreeMap::new())]);
        Disk {
            root: root.to_owned(),
            nodes: vec![None],
            names: root_names.clone(),
            safe: root_names,
            pending: Vec::new(),
            clock: 0,
            syncing: HashMap::new(),
        }
    }

    /// A new file or folder that has no name yet.
    pub fn make(&mut self, is_folder: bool) -> Node {
        self.nodes.push((!is_folder).then(Content::default));
        let node = self.nodes.len() - 1;
        if is_folder {
            self.names.insert(node, BTreeMap::new());
            self.safe.insert(node, BTreeMap::new());
        }
        node
    }

    pub fn write(&mut self, node: Node, write: Write) {
        self.clock += 1;
        if let Some(content) = &mut self.nodes[node] {
            content.pending.push((self.clock, write));
        }
    }

    pub fn rename(&mut self, change: Renaming) {
        self.clock += 1;
        change.apply(&mut self.names);
        self.pending.push((self.clock, change));
    }

    pub fn length(&self, node: Node) -> usize {
        let content = self.nodes[node].as_ref();
        content.map_or(0, |content| content.keeping(|| true).len())
    }

    /// A sync begins: what comes from now on it does not cover. `key` names it until its end.
    pub fn begin_sync(&mut self, key: usize, node: Node) {
        self.syncing.insert(key, (node, self.clock));
    }

    /// The sync ends; only when it succeeded, it has made anything safe.
    pub fn end_sync(&mut self, key: usize, succeeded: bool) {
        let Some((node, covers)) = self.syncing.remove(&key).filter(|_| succeeded) else {
            return;
        };
        if let Some(content) = &mut self.nodes[node] {
            let covered = content.pending.partition_point(|(time, _)| *time <= covers);
            for (_, write) in content.pending.drain(..covered) {
                write.apply(&mut content.synced);
            }
            return;
        }
        for (time, change) in std::mem::take(&mut self.pending) {
            if time <= covers && change.touches(node) {
                change.apply(&mut self.safe);
            } else {
                self.pending.push((time, change));
            }
        }
    }

    /// The folder that a path leads to, and the name in it; `None` outside.
    pub fn locate(&self, path: &str) -> Option<(Node, String)> {
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let below = path.strip_prefix(&self.root)?;
        if !below.is_empty() && !below.starts_with('/') {
            return None;
        }
        let parts: Vec<&str> = below
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        let Some((leaf, folders)) = parts.split_last() else {
            return Some((ROOT, String::new()));
        };
        let mut folder = ROOT;
        for part in folders {
            folder = *self.names.get(&folder)?.get(*part)?;
        }
        Some((folder, (*leaf).to_owned()))
    }

    pub fn find(&self, folder: Node, leaf: &str) -> Option<Node> {
        match leaf {
            "" => Some(folder),
            leaf => self.names.get(&folder)?.get(leaf).copied(),
        }
    }

    /// Puts what is left after a power cut into a folder.
    pub fn write_to(&self, folder: &Path, keep: Keep) {
        let mut names = self.safe.clone();
        let mut dice = Dice::new(match keep {
            Keep::Some(seed) => seed,
            _ => 0,
        });
        let changes = match keep {
            Keep::Synced => 0,
            Keep::All => self.pending.len(),
            Keep::Some(_) => dice.below(self.pending.len() + 1),
        };
        for (_, change) in &self.pending[..changes] {
            change.apply(&mut names);
        }
        let mut pending = vec![(ROOT, folder.to_owned())];
        while let Some((node, path)) = pending.pop() {
            for (leaf, below) in &names[&node] {
                let path = path.join(leaf);
                match &self.nodes[*below] {
                    None => {
                        std::fs::create_dir(&path).unwrap();
                        pending.push((*below, path));
                    }
                    Some(content) => {
                        let kept = content.keeping(|| match keep {
                            Keep::Synced => false,
                            Keep::All => true,
                            Keep::Some(_) => dice.once_in(2),
                        });
                        std::fs::write(&path, kept).unwrap();
                    }
                }
            }
        }
    }
}

impl Content {
    /// The bytes, with those of the unsynced writes that `keep` says.
    fn keeping(&self, mut keep: impl FnMut() -> bool) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for (_, write) in &self.pending {
            if keep() {
                write.apply(&mut bytes);
            }
        }
        bytes
    }
}

impl Write {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Write::Length(length) => file.resize(*length, 0),
            Write::Bytes { at, bytes } => {
                let end = at + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[*at..end].copy_from_slice(bytes);
            }
        }
    }
}

impl Renaming {
    fn touches(&self, folder: Node) -> bool {
        let from = self.gone.as_ref().map(|(from, _)| *from);
        let to = self.come.as_ref().map(|(to, ..)| *to);
        from == Some(folder) || to == Some(folder)
    }

    fn apply(&self, names: &mut HashMap<Node, BTreeMap<String, Node>>) {
        if let Some((folder, leaf)) = &self.gone
            && let Some(names) = names.get_mut(folder)
        {
            names.remove(leaf);
        }
        if let Some((folder, leaf, node)) = &self.come
            && let Some(names) = names.get_mut(folder)
        {
            names.insert(leaf.clone(), *node);
        }
    }
}

#[test]
fn only_what_was_synced_before_is_safe() {
    let kept = |disk: &Disk, keep| {
        let folder = tempfile::tempdir().unwrap();
        disk.write_to(folder.path(), keep);
        super::oracle::look(folder.path()).files
    };
    let bytes = |text: &str| Write::Bytes {
        at: 0,
        bytes: text.as_bytes().to_vec(),
    };
    let mut disk = Disk::new("/root");
    let file = disk.make(false);
    disk.rename(Renaming {
        gone: None,
        come: Some((ROOT, "a".to_owned(), file)),
    });
    disk.write(file, bytes("old"));
    assert!(kept(&disk, Keep::Synced).is_empty());
    assert_eq!(kept(&disk, Keep::All)["a"], b"old");
    disk.begin_sync(1, file);
    disk.begin_sync(2, ROOT);
    disk.write(file, bytes("new"));
    disk.end_sync(1, true);
    assert!(kept(&disk, Keep::Synced).is_empty());
    disk.end_sync(2, true);
    assert_eq!(kept(&disk, Keep::Synced)["a"], b"old");
    assert_eq!(kept(&disk, Keep::All)["a"], b"new");
    disk.begin_sync(3, file);
    disk.end_sync(3, false);
    assert_eq!(kept(&disk, Keep::Synced)["a"], b"old");
}
