//! Who is there and offers what, and who is told.
//!
//! `table` is the registry itself, without a clock. Around it: a `Member` for each conversation,
//! which is what its client is registered as and what it is told, and one task that gathers
//! changes before everybody hears of them.

mod member;
mod table;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::sessions::Session;
use crate::protocol::message::ServerBody;
use crate::protocol::{ErrorCode, Failure, Secret};
use crate::types::{FileName, PeerName};

pub(super) use member::{Member, invalid_request};
pub(super) use table::Portion;
use table::{Changes, Cursor, Limits, Provider, Table};

/// How long changes are gathered before clients are told, all in one message: they hear of each
/// within a second, and the rest of it is for the way.
const GATHER: Duration = Duration::from_millis(800);

/// How long nothing may be heard of a registered client. It says something every 5 s.
pub(super) const SILENCE: Duration = Duration::from_secs(12);

/// How many events wait for a client that is being told something else; whoever reads so slowly
/// that there are more misses them.
const EVENTS: usize = 64;

/// The registry of a server.
pub(super) struct Registry {
    /// Which run of the server its versions belong to.
    epoch: u64,
    started: Instant,
    inner: Mutex<Inner>,
    /// The version that everybody may be told.
    told: watch::Sender<u64>,
}

struct Inner {
    table: Table,
    /// How to reach those who are registered, by session.
    lines: HashMap<u64, Line>,
    /// Whether somebody waits to tell everybody.
    gathering: bool,
}

/// How to reach a registered client.
#[derive(Clone)]
struct Line {
    session: Arc<Session>,
    viewer: Viewer,
    events: mpsc::Sender<ServerBody>,
    /// Counts what was heard of it.
    heard: watch::Receiver<u64>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Registry {
            // 0 is what a client says that has no table.
            epoch: rand::random::<u64>().max(1),
            started: Instant::now(),
            inner: Mutex::new(Inner {
                table: Table::new(Limits::default()),
                lines: HashMap::new(),
                gathering: false,
            }),
            told: watch::Sender::new(0),
        }
    }

    /// What its clock says, in milliseconds.
    pub(super) fn clock(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Where this file of this client can be had.
    fn provider(&self, owner: &PeerName, file: &FileName) -> Option<Provider> {
        self.inner().table.provider(owner, file)
    }

    /// The session that this client is registered in and the key of the tickets for its files, if
    /// it is there.
    pub(super) fn online(&self, name: &PeerName) -> Option<(u64, Secret)> {
        let inner = self.inner();
        let online = inner.table.online(name)?;
        Some((online.session, online.ticket_key))
    }

    /// Tells the client that is registered in this session of something, as that client sees it.
    /// Whether it will hear.
    pub(super) fn send(&self, session: u64, event: impl FnOnce(Viewer) -> ServerBody) -> bool {
        let line = self.inner().lines.get(&session).cloned();
        line.is_some_and(|line| line.events.try_send(event(line.viewer)).is_ok())
    }

    /// What has changed since, of the table with this epoch.
    pub(super) fn changes(
        &self,
        epoch: u64,
        since: u64,
        portion: Portion,
        viewer: Viewer,
    ) -> Reading {
        let since = if epoch == self.epoch { since } else { 0 };
        self.read(Cursor::at(since), portion, viewer)
    }

    /// What follows on what was read.
    pub(super) fn go_on(&self, after: &Reading, portion: Portion, viewer: Viewer) -> Reading {
        self.read(after.reached, portion, viewer)
    }

    fn read(&self, since: Cursor, portion: Portion, viewer: Viewer) -> Reading {
        let show = |address| viewer.show(address);
        let inner = self.inner();
        let version = inner.table.version();
        let changes = inner.table.changes(since, portion, show);
        drop(inner);
        let (reached, more) = (changes.reached, changes.more);
        let Changes {
            since,
            peers,
            offers,
            gone,
            ..
        } = changes;
        let body = ServerBody::Table {
            epoch: self.epoch,
            since,
            version: reached.version,
            peers,
            offers,
            gone,
            last: !more,
        };
        Reading {
            body,
            more,
            version,
            reached,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Changes the table, and sees to it that everybody hears of it.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner();
        let before = inner.table.version();
        let changed = change(&mut inner);
        if inner.table.version() == before || inner.gathering {
            return changed;
        }
        // When the server is going down there is nobody to tell.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            inner.gathering = true;
            runtime.spawn(tell_everybody(self.clone()));
        }
        changed
    }
}

async fn tell_everybody(registry: Arc<Registry>) {
    tokio::time::sleep(GATHER).await;
    let version = {
        let mut inner = registry.inner();
        inner.gathering = false;
        inner.table.version()
    };
    registry.told.send_replace(version);
}

/// A part of the table, as it is sent.
pub(super) struct Reading {
    pub(super) body: ServerBody,
    /// Whether there is more.
    pub(super) more: bool,
    /// The version of the whole table.
    version: u64,
    reached: Cursor,
}

/// From where somebody looks at the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Viewer {
    /// At which of the server's addresses it has reached the server.
    pub(super) reached: Option<IpAddr>,
}

impl Viewer {
    /// Where the client at `address` is for this viewer. Whoever is on the server's own machine is
    /// where the server is.
    pub(super) fn show(self, address: IpAddr) -> IpAddr {
        let reached = self.reached.map(|reached| reached.to_canonical());
        match address.to_canonical() {
            // Both are there.
            own if own.is_loopback() && reached.is_some_and(|reached| reached.is_loopback()) => own,
            own if own.is_loopback() => reached.unwrap_or(own),
            other => other,
        }
    }
}

/// The refusal of a name that somebody else has.
fn in_use() -> Failure {
    Failure::new(ErrorCode::AlreadyExists, "Client username already in use.")
}
