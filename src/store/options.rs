use std::path::PathBuf;
use std::time::Duration;

/// What to serve, and within which limits.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The folder to share; made when it is missing.
    pub root: PathBuf,
    /// Where the store keeps its own state; `None` is `.fileshare` in the root.
    pub state_dir: Option<PathBuf>,
    /// Which names may be created.
    pub names: NameRules,
    /// How sure a change is before it is acknowledged.
    pub durability: Durability,
    /// The largest file, in bytes, that is taken.
    pub max_file_size: Option<u64>,
    /// How many bytes the shared files may have in all before no more are taken.
    pub quota: Option<u64>,
    /// For how long replaced and removed files are kept; zero: not at all.
    pub keep_removed: Duration,
    /// How many bytes of them are kept; 0: none.
    pub keep_removed_size: u64,
}

impl StoreOptions {
    /// The options that the server has when nothing else is said, for this root.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        StoreOptions {
            root: root.into(),
            state_dir: None,
            names: NameRules::default(),
            durability: Durability::default(),
            max_file_size: None,
            quota: None,
            keep_removed: Duration::from_secs(7 * 24 * 60 * 60),
            keep_removed_size: 1 << 30,
        }
    }
}

/// Which names may be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameRules {
    /// Those that every common system can store, and no two that differ only in case or form.
    #[default]
    Portable,
    /// Whatever this system can store.
    Native,
}

/// How sure a change is before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// File and folder survive a power cut.
    #[default]
    Fsync,
    /// The system writes them when it likes.
    None,
}
