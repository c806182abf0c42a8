//! System calls as a recording has them, done to the model of a disk.

use std::collections::HashMap;

use super::disk_model::{Disk, Node, Renaming, Write};
use super::strace::{Call, descriptor, string, strings};

/// What must be recorded.
pub const CALLS: [&str; 33] = [
    "open",
    "openat",
    "openat2",
    "creat",
    "close",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "read",
    "lseek",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "copy_file_range",
    "sendfile",
    "truncate",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "sync_file_range",
];

/// What a descriptor is open on.
#[derive(Debug, Clone)]
struct Open {
    node: Node,
    position: usize,
    append: bool,
}

/// The disk and the descriptors of the one process that was recorded.
pub struct Machine {
    pub disk: Disk,
    open: HashMap<u64, Open>,
}

impl Machine {
    /// An empty folder that the recording calls `root`.
    pub fn new(root: &str) -> Self {
        Machine {
            disk: Disk::new(root),
            open: HashMap::new(),
        }
    }

    /// Whether the call changes something here, or makes something safe.
    pub fn cares_for(&self, call: &Call) -> bool {
        match call.name.as_str() {
            "close" | "read" | "lseek" | "dup" | "dup2" | "dup3" | "fcntl" => false,
            name if name.starts_with("open") => {
                call.arguments.contains("O_CREAT") && self.path(call, 0).is_some()
            }
            "mkdirat" | "renameat" | "renameat2" | "linkat" | "unlinkat" => {
                self.path(call, 0).is_some()
            }
            "mkdir" | "rename" | "link" | "unlink" | "rmdir" | "truncate" | "creat" => {
                self.plain_path(call, 0).is_some()
            }
            _ => self.of_descriptor(call).is_some(),
        }
    }

    pub fn begin(&mut self, at: usize, call: &Call) {
        match call.name.as_str() {
            // Another thread may get the number before this call has come back.
            "close" => {
                if let Some((number, _)) = descriptor(&call.arguments) {
                    self.open.remove(&number);
                }
            }
            "fsync" | "fdatasync" => {
                if let Some(node) = self.of_descriptor(call).map(|open| open.node) {
                    self.disk.begin_sync(at, node);
                }
            }
            _ => {}
        }
    }

    pub fn end(&mut self, at: usize, call: &Call) {
        self.disk.end_sync(at, call.number().is_some());
        let Some(returned) = call.number() else {
            return;
        };
        match call.name.as_str() {
            "open" | "openat" | "openat2" | "creat" => self.opened(call),
            "dup" | "dup2" | "dup3" => {
                if let Some(open) = self.of_descriptor(call).cloned() {
                    self.open.insert(returned, open);
                }
            }
            "fcntl" if call.arguments.contains("F_DUPFD") => {
                if let Some(open) = self.of_descriptor(call).cloned() {
                    self.open.insert(returned, open);
                }
            }
            "lseek" => self.moved(call, |position| *position = returned as usize),
            "read" => self.moved(call, |position| *position += returned as usize),
            "write" => {
                let bytes = call.parts().get(1).and_then(|text| string(text));
                self.wrote(call, bytes.unwrap_or_default(), returned, None);
            }
            "writev" | "pwritev" => {
                let parts = call.parts();
                let place = (call.name == "pwritev").then(|| parts[3].parse().unwrap());
                self.wrote(call, strings(parts[1]), returned, place);
            }
            "pwrite64" => {
                let parts = call.parts();
                let bytes = string(parts[1]).unwrap_or_default();
                self.wrote(call, bytes, returned, Some(parts[3].parse().unwrap()));
            }
            "ftruncate" => {
                let length = call.parts()[1].parse().unwrap();
                if let Some(node) = self.of_descriptor(call).map(|open| open.node) {
                    self.disk.write(node, Write::Length(length));
                }
            }
            "fallocate" => assert!(
                self.of_descriptor(call).is_none() || call.arguments.contains("KEEP_SIZE"),
                "a call that the model does not know: {call:?}"
            ),
            "mkdir" | "mkdirat" | "rename" | "renameat" | "renameat2" | "link" | "linkat"
            | "unlink" | "unlinkat" | "rmdir" => self.renamed(call),
            "fsync" | "fdatasync" | "sync_file_range" => {}
            _ => assert!(
                !self.cares_for(call),
                "a call that the model does not know: {call:?}"
            ),
        }
    }

    fn opened(&mut self, call: &Call) {
        let Some((number, Some(path))) = descriptor(&call.result) else {
            return;
        };
        self.open.remove(&number);
        let Some((folder, leaf)) = self.disk.locate(&path) else {
            return;
        };
        let node = match self.disk.find(folder, &leaf) {
            Some(node) => node,
            None => {
                // Outside of what was recorded from its beginning there is nothing.
                assert!(call.arguments.contains("O_CREAT"), "{call:?}");
                let node = self.disk.make(false);
                self.disk.rename(Renaming {
                    gone: None,
                    come: Some((folder, leaf, node)),
                });
                node
            }
        };
        if call.arguments.contains("O_TRUNC") {
            self.disk.write(node, Write::Length(0));
        }
        let append = call.arguments.contains("O_APPEND");
        let open = Open {
            node,
            position: 0,
            append,
        };
        self.open.insert(number, open);
    }

    fn moved(&mut self, call: &Call, set: impl FnOnce(&mut usize)) {
        let number = descriptor(&call.arguments).map(|(number, _)| number);
        if let Some(open) = number.and_then(|number| self.open.get_mut(&number)) {
            set(&mut open.position);
        }
    }

    fn wrote(&mut self, call: &Call, bytes: Vec<u8>, count: u64, place: Option<usize>) {
        let Some(open) = self.of_descriptor(call).cloned() else {
            return;
        };
        let mut bytes = bytes;
        bytes.truncate(count as usize);
        assert_eq!(bytes.len() as u64, count, "the recording is not whole");
        let length = bytes.len();
        let start = match (place, open.append) {
            (Some(place), _) => place,
            (None, true) => self.disk.length(open.node),
            (None, false) => open.position,
        };
        self.disk
            .write(open.node, Write::Bytes { at: start, bytes });
        if place.is_none() {
            self.moved(call, |position| *position = start + length);
        }
    }

    fn renamed(&mut self, call: &Call) {
        let plain = !call.name.contains("at");
        let path = |nth| match plain {
            true => self.plain_path(call, nth),
            false => self.path(call, 2 * nth),
        };
        let Some(first) = path(0) else {
            assert!(!call.name.contains("rename"), "from elsewhere: {call:?}");
            return;
        };
        let (folder, leaf) = self.disk.locate(&first).unwrap();
        let change = match call.name.as_str() {
            "mkdir" | "mkdirat" => {
                let node = self.disk.make(true);
                Renaming {
                    gone: None,
                    come: Some((folder, leaf, node)),
                }
            }
            "unlink" | "unlinkat" | "rmdir" => Renaming {
                gone: Some((folder, leaf)),
                come: None,
            },
            name => {
                let (to, to_leaf) = self.disk.locate(&path(1).unwrap()).unwrap();
                let node = self.disk.find(folder, &leaf).unwrap();
                Renaming {
                    gone: name.starts_with("rename").then_some((folder, leaf)),
                    come: Some((to, to_leaf, node)),
                }
            }
        };
        self.disk.rename(change);
    }

    fn of_descriptor(&self, call: &Call) -> Option<&Open> {
        let (number, _) = descriptor(&call.arguments)?;
        self.open.get(&number)
    }

    /// The path of a descriptor and a name, which are the arguments number `nth` and the next.
    fn path(&self, call: &Call, nth: usize) -> Option<String> {
        let parts = call.parts();
        let name = String::from_utf8(string(parts.get(nth + 1)?)?).unwrap();
        let path = match name.starts_with('/') {
            true => name,
            false => {
                let inside = parts.get(nth)?.split_once('<')?.1.strip_suffix('>')?;
                let folder = descriptor(&format!("0<{inside}>"))?.1?;
                format!("{folder}/{name}")
            }
        };
        self.disk.locate(&path).is_some().then_some(path)
    }

    fn plain_path(&self, call: &Call, nth: usize) -> Option<String> {
        let parts = call.parts();
        let path = String::from_utf8(string(parts.get(nth)?)?).unwrap();
        self.disk.locate(&path).is_some().then_some(path)
    }
}
