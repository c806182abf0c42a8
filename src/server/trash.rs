use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use super::conversation::{Conversation, blocking, refused};
use super::listing::list_query;
use crate::access::Action;
use crate::net::NetError;
use crate::protocol::Failure;
use crate::protocol::message::{ServerBody, UndoOutcome, WireKept, WireUndone};
use crate::store::Undone;
use crate::types::{FileName, Kept, TakenBack};

/// How many files one look through the trash finds: few looks, and little memory.
const FOUND_AT_ONCE: usize = 16_384;

/// How many files or changes a message has, at most; with long names fewer.
const PAGE_ITEMS: usize = 2048;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    /// Answers `Trash`, in as many messages as it takes.
    pub(super) async fn list_trash(
        &mut self,
        number: u32,
        folder: Option<String>,
        patterns: Vec<String>,
    ) -> Result<(), NetError> {
        let query = match list_query(folder, patterns) {
            Ok(query) => query,
            Err(failure) => return self.outbox.answer(number, refused(&failure)).await,
        };
        let mut after: Option<(FileName, u32)> = None;
        loop {
            let (store, session) = (self.context.store.clone(), self.session.session());
            let (query, from) = (query.clone(), after.take());
            let work = blocking(move || {
                session.allow(Action::Restore)?;
                let from = from.as_ref().map(|(name, version)| (name, *version));
                Ok(store.trash(&query, from, FOUND_AT_ONCE)?)
            });
            let page = match self.outbox.alive_during(number, work).await? {
                Ok(page) => page,
                Err(failure) => return self.outbox.answer(number, refused(&failure)).await,
            };
            after = page
                .files
                .last()
                .map(|kept| (kept.name.clone(), kept.version));
            let files: Vec<WireKept> = page.files.iter().map(to_wire).collect();
            for files in files.chunks(PAGE_ITEMS) {
                let body = |files| ServerBody::Trash { files, last: false };
                self.outbox.queue_all(number, files, body).await?;
            }
            if !page.more || after.is_none() {
                let end = ServerBody::Trash {
                    files: Vec::new(),
                    last: true,
                };
                return self.outbox.answer(number, end).await;
            }
            self.outbox.writer.flush().await?;
        }
    }

    /// Answers `Undo`, telling what became of the changes as they are taken back.
    pub(super) async fn undo(&mut self, number: u32, dry_run: bool) -> Result<(), NetError> {
        let mut from = None;
        loop {
            let (store, session) = (self.context.store.clone(), self.session.session());
            let work = blocking(move || {
                session.allow(Action::Undo)?;
                let owner = session.user();
                let page = store.undo(owner.as_deref(), from, dry_run)?;
                if !dry_run {
                    page.changes.iter().for_each(tell);
                }
                Ok(page)
            });
            let page = match self.outbox.alive_during(number, work).await? {
                Ok(page) => page,
                Err(failure) => return self.outbox.answer(number, refused(&failure)).await,
            };
            from = page.next;
            let changes: Vec<WireUndone> = page.changes.into_iter().map(undone).collect();
            if !changes.is_empty() {
                let body = |changes| ServerBody::Undone {
                    changes,
                    last: false,
                };
                self.outbox.queue_all(number, &changes, body).await?;
            }
            if from.is_none() {
                let end = ServerBody::Undone {
                    changes: Vec::new(),
                    last: true,
                };
                return self.outbox.answer(number, end).await;
            }
            self.outbox.writer.flush().await?;
        }
    }
}

fn to_wire(kept: &Kept) -> WireKept {
    WireKept {
        name: kept.name.as_str().to_owned(),
        version: kept.version,
        size: kept.size,
        modified_seconds: kept.modified.seconds(),
        modified_nanoseconds: kept.modified.nanoseconds(),
        kept_seconds: kept.kept.seconds(),
        kept_nanoseconds: kept.kept.nanoseconds(),
    }
}

fn tell(undone: &Undone) {
    match &undone.outcome {
        Ok(_) => info!(name = %undone.name, "took a change back"),
        Err(error) => info!(name = %undone.name, %error, "a change was not taken back"),
    }
}

fn undone(undone: Undone) -> WireUndone {
    let outcome = match undone.outcome {
        Ok(TakenBack::Removed) => UndoOutcome::Removed,
        Ok(TakenBack::Restored) => UndoOutcome::Restored,
        Ok(TakenBack::Renamed) => UndoOutcome::Renamed,
        Err(error) => {
            let (code, detail) = Failure::from(error).to_wire();
            UndoOutcome::Failed { code, detail }
        }
    };
    WireUndone {
        name: undone.name.as_str().to_owned(),
        outcome,
    }
}
