use tokio::io::{AsyncRead, AsyncWrite};

use super::conversation::{Conversation, blocking, refused};
use super::registry::Portion;
use crate::access::Action;
use crate::net::NetError;
use crate::protocol::limits::{MAX_PAGE_BODY, MAX_PAGE_ITEMS, MAX_PATTERNS};
use crate::protocol::message::{ServerBody, WireSession};
use crate::protocol::{ErrorCode, Failure, WireError, WireItem};
use crate::store::{ListQuery, Page};
use crate::types::{FileName, Item};

/// How many items a page has: enough to make pages few, and with names of ordinary length well
/// below a page's limit.
const PAGE_ITEMS: usize = 2048;
const _: () = assert!(PAGE_ITEMS <= MAX_PAGE_ITEMS);

/// How much of the table is sent at once.
const TABLE_PART: Portion = Portion {
    items: PAGE_ITEMS,
    bytes: MAX_PAGE_BODY / 2,
};

/// How many parts of it at most: several times as many as the largest table has.
const MAX_TABLE_PARTS: usize = 1024;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    /// Answers `List` page by page: nothing but one page is ever in memory.
    pub(super) async fn list(
        &mut self,
        number: u32,
        folder: Option<String>,
        patterns: Vec<String>,
        limit: u32,
    ) -> Result<(), NetError> {
        let query = match list_query(folder, patterns) {
            Ok(query) => query,
            Err(failure) => return self.outbox.answer(number, refused(&failure)).await,
        };
        let mut left = match limit {
            0 => usize::MAX,
            limit => limit as usize,
        };
        let mut after: Option<FileName> = None;
        loop {
            let (store, session) = (self.context.store.clone(), self.session.session());
            let (query, from) = (query.clone(), after.take());
            let items = left.min(PAGE_ITEMS);
            let work = blocking(move || {
                session.allow(Action::Read)?;
                Ok(store.list(&query, from.as_ref(), items)?)
            });
            let page = match self.outbox.alive_during(number, work).await? {
                Ok(page) => page,
                Err(failure) => return self.outbox.answer(number, refused(&failure)).await,
            };
            left -= page.items.len();
            let last = !page.more || left == 0;
            after = page.items.last().map(Item::name).cloned();
            self.send_page(number, &page).await?;
            if last || after.is_none() {
                let end = ServerBody::Page {
                    items: Vec::new(),
                    last: true,
                };
                return self.outbox.answer(number, end).await;
            }
        }
    }

    async fn send_page(&mut self, number: u32, page: &Page) -> Result<(), NetError> {
        if page.items.is_empty() {
            return Ok(());
        }
        let items: Vec<WireItem> = page.items.iter().map(WireItem::from).collect();
        let body = |items| ServerBody::Page { items, last: false };
        self.outbox.queue_all(number, &items, body).await?;
        self.outbox.writer.flush().await
    }

    /// Answers `Sessions`, in as many messages as they take.
    pub(super) async fn list_sessions(&mut self, number: u32) -> Result<(), NetError> {
        let (context, session) = (self.context.clone(), self.session.session());
        let work = blocking(move || {
            session.allow(Action::Administer)?;
            let all = context.sessions.all();
            Ok(all.iter().map(|session| session.to_wire()).collect())
        });
        let sessions: Vec<WireSession> = match self.outbox.alive_during(number, work).await? {
            Ok(sessions) => sessions,
            Err(failure) => return self.outbox.answer(number, refused(&failure)).await,
        };
        for page in sessions.chunks(PAGE_ITEMS) {
            let body = |sessions| ServerBody::Sessions {
                sessions,
                last: false,
            };
            self.outbox.queue_all(number, page, body).await?;
        }
        let end = ServerBody::Sessions {
            sessions: Vec::new(),
            last: true,
        };
        self.outbox.answer(number, end).await
    }

    /// Answers `Table`, in as many messages as it takes. Between two of them it may change; what has
    /// changed comes with a later one.
    pub(super) async fn send_table(
        &mut self,
        number: u32,
        epoch: u64,
        since: u64,
    ) -> Result<(), NetError> {
        let session = self.session.session();
        let allowed = blocking(move || session.allow(Action::Read)).await;
        if let Err(failure) = allowed {
            return self.outbox.answer(number, refused(&failure)).await;
        }
        let registry = self.context.registry.clone();
        let viewer = self.member.viewer();
        let mut part = registry.changes(epoch, since, TABLE_PART, viewer);
        for _ in 0..MAX_TABLE_PARTS {
            let next = part.more.then(|| registry.go_on(&part, TABLE_PART, viewer));
            self.outbox.answer(number, part.body).await?;
            // Who takes it is there.
            self.member.heard();
            match next {
                Some(next) => part = next,
                None => return Ok(()),
            }
        }
        let failure = Failure::new(ErrorCode::Busy, "the table changes too fast to be read");
        self.outbox.answer(number, refused(&failure)).await
    }
}

pub(super) fn list_query(
    folder: Option<String>,
    patterns: Vec<String>,
) -> Result<ListQuery, Failure> {
    if patterns.len() > MAX_PATTERNS {
        return Err(Failure::new(
            ErrorCode::Usage,
            format!("at most {MAX_PATTERNS} patterns can be listed at once"),
        ));
    }
    let folder = folder.map(|folder| FileName::parse(&folder)).transpose();
    Ok(ListQuery {
        folder: folder.map_err(WireError::Name)?,
        patterns,
    })
}
