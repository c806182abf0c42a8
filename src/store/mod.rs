//! STUB: the real store is being built elsewhere with this very interface.
#![allow(missing_docs)]
use std::path::PathBuf;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRules {
    Portable,
    Native,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Fsync,
    None,
}
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub root: PathBuf,
    pub state_dir: Option<PathBuf>,
    pub names: NameRules,
    pub durability: Durability,
    pub max_file_size: Option<u64>,
    pub quota: Option<u64>,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    Opened,
    Created,
    Lost,
}
#[derive(Debug, thiserror::Error)]
#[error("open")]
pub struct OpenError;
#[derive(Debug, Clone)]
pub struct StoreFacts {
    pub files: u64,
    pub bytes: u64,
    pub unhashed_files: u64,
    pub root: PathBuf,
}
#[derive(Clone)]
pub struct Store;
impl Store {
    pub fn open(_options: StoreOptions) -> Result<Store, OpenError> {
        todo!()
    }
    pub fn index_state(&self) -> IndexState {
        todo!()
    }
    pub fn facts(&self) -> StoreFacts {
        todo!()
    }
    pub fn close(&self) {
        todo!()
    }
}
