use super::error::StoreError;
use super::inner::Inner;
use super::journal::UndoCursor;
use super::publisher::Job;
use crate::types::{FileName, TakenBack};

/// What became of some of the changes of a command, the last one first.
#[derive(Debug)]
pub struct UndoPage {
    /// The changes; none at all on the first page when there is nothing to take back.
    pub changes: Vec<Undone>,
    /// Where to go on; `None` at the end.
    pub next: Option<UndoCursor>,
}

/// What became of one change that was to be taken back.
#[derive(Debug)]
pub struct Undone {
    /// The file or folder, by the name that it has now, or had if it is gone.
    pub name: FileName,
    /// How it was taken back, or why not.
    pub outcome: Result<TakenBack, StoreError>,
}

impl Inner {
    pub(super) fn undo(
        &self,
        owner: Option<&str>,
        from: Option<UndoCursor>,
        dry_run: bool,
    ) -> Result<UndoPage, StoreError> {
        self.ask(|answer| Job::TakeBack {
            owner: owner.map(str::to_owned),
            from,
            dry_run,
            answer,
        })
    }
}
