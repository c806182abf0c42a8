use std::path::PathBuf;

use clap::Args;

use super::walk::WalkArgs;
use super::{DryRun, NameArgs};

/// What marks the server's side of a sync.
pub const REMOTE_MARK: &str = "server:";

#[derive(Debug, Clone, Args)]
pub struct SyncArgs {
    /// The folder to be like: a local one, or server:FOLDER (server: alone is the current remote folder)
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// The folder to make like it, on the other side; made when missing
    #[arg(value_name = "DST")]
    pub destination: PathBuf,
    /// Remove from DST what is not in SRC; it is kept in the trash of that side
    #[arg(long)]
    pub delete: bool,
    /// Do nothing at all when more than N files and folders would be removed
    #[arg(long, value_name = "N", requires = "delete")]
    pub max_delete: Option<u64>,
    /// Compare by id, not by size and time: reads every file
    #[arg(short, long)]
    pub checksum: bool,
    #[command(flatten)]
    pub walk: WalkArgs,
    #[command(flatten)]
    pub dry_run: DryRun,
}

#[derive(Debug, Clone, Args)]
pub struct EditArgs {
    #[command(flatten)]
    pub name: NameArgs,
    #[command(flatten)]
    pub dry_run: DryRun,
}
