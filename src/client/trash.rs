use super::link::broken;
use super::{Client, ClientError, ListQuery, Repeat, unexpected};
use crate::protocol::message::{ClientBody, ServerBody, UndoOutcome, WireKept, WireUndone};
use crate::protocol::{Failure, WireError};
use crate::types::{FileName, Item, Kept, TakenBack, Timestamp};

/// What was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// What it was.
    pub item: Item,
    /// Whether it is kept in the trash, whole.
    pub kept: bool,
}

impl Removed {
    /// The name that it had.
    pub fn name(&self) -> &FileName {
        self.item.name()
    }
}

/// What became of one change that was to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The file or folder, by the name that it has now, or had if it is gone.
    pub name: FileName,
    /// How it was taken back, or why not.
    pub outcome: Result<TakenBack, ClientError>,
}

impl Client {
    /// Begins a command of the user: all that is changed until the next one belongs to it, over
    /// however many connections, and [`undo`](Self::undo) takes it back as a whole. Before the
    /// first one every request is a command of its own.
    pub fn begin_command(&mut self) {
        self.command = Some(rand::random());
    }

    /// What was replaced or removed and is kept, in order of names and then by version; `each` gets
    /// every file as it arrives. The query's limit means nothing here. Needs the role editor.
    pub async fn trash(
        &mut self,
        query: &ListQuery,
        each: &mut (dyn FnMut(Kept) + Send),
    ) -> Result<(), ClientError> {
        let request = ClientBody::Trash {
            folder: query.folder.as_ref().map(|f| f.as_str().to_owned()),
            patterns: query.patterns.clone(),
        };
        let mut take = |body| match body {
            ServerBody::Trash { files, .. } => {
                for kept in files {
                    each(Kept::try_from(kept).map_err(|error| broken(&error))?);
                }
                Ok(())
            }
            other => Err(unexpected(&other)),
        };
        self.ask_for_pages(request, &mut take).await
    }

    /// Brings a kept file back under its name; what stands there is kept in its turn. Version 1 is
    /// the one that went last. Returns what stands there now, or would in a dry run. Needs the
    /// role editor.
    pub async fn restore(
        &mut self,
        name: &FileName,
        version: u32,
        dry_run: bool,
    ) -> Result<Item, ClientError> {
        let request = ClientBody::Restore {
            name: name.as_str().to_owned(),
            version,
            dry_run,
        };
        self.ask_item(request, Repeat::Never).await
    }

    /// Takes back this user's last command that changed something; `each` gets what became of each
    /// change, the last one first. Nothing at all: there was none. Needs the role contributor.
    pub async fn undo(
        &mut self,
        dry_run: bool,
        each: &mut (dyn FnMut(Undone) + Send),
    ) -> Result<(), ClientError> {
        let mut take = |body| match body {
            ServerBody::Undone { changes, .. } => {
                for undone in changes {
                    each(Undone::try_from(undone).map_err(|error| broken(&error))?);
                }
                Ok(())
            }
            other => Err(unexpected(&other)),
        };
        self.ask_for_pages(ClientBody::Undo { dry_run }, &mut take)
            .await
    }
}

impl TryFrom<WireKept> for Kept {
    type Error = WireError;

    fn try_from(kept: WireKept) -> Result<Self, WireError> {
        let time = |seconds, nanoseconds| {
            Timestamp::new(seconds, nanoseconds).ok_or(WireError::Field("a time out of range"))
        };
        Ok(Kept {
            name: FileName::parse(&kept.name).map_err(WireError::Name)?,
            version: kept.version,
            size: kept.size,
            modified: time(kept.modified_seconds, kept.modified_nanoseconds)?,
            kept: time(kept.kept_seconds, kept.kept_nanoseconds)?,
        })
    }
}

impl TryFrom<WireUndone> for Undone {
    type Error = WireError;

    fn try_from(undone: WireUndone) -> Result<Self, WireError> {
        Ok(Undone {
            name: FileName::parse(&undone.name).map_err(WireError::Name)?,
            outcome: match undone.outcome {
                UndoOutcome::Removed => Ok(TakenBack::Removed),
                UndoOutcome::Restored => Ok(TakenBack::Restored),
                UndoOutcome::Renamed => Ok(TakenBack::Renamed),
                UndoOutcome::Failed { code, detail } => Err(Failure::from_wire(code, &detail)),
            },
        })
    }
}
