use super::{Digest, FileName, Timestamp};

/// What a listing says of one file (contract section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file's path below the root.
    pub name: FileName,
    /// The MD5 of the file's bytes; `None` until a file that was put there by hand is hashed.
    pub id: Option<Digest>,
    /// Size in bytes.
    pub size: u64,
    /// The time of the last change.
    pub modified: Timestamp,
    /// Whether the owner may execute the file (the one permission bit that travels).
    pub executable: bool,
}

/// One line of a listing: a file, or a folder that has nothing in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A file.
    File(Entry),
    /// A folder; listings show one only when it is empty.
    Folder(FileName),
}

impl Item {
    /// The path below the root.
    pub fn name(&self) -> &FileName {
        match self {
            Item::File(entry) => &entry.name,
            Item::Folder(name) => name,
        }
    }
}
