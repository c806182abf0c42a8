use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Origin;
use super::permission::{self, Rules};
use crate::access::{Account, Action, Denied, Role, Users};
use crate::protocol::message::{ClientBody, WireSession};
use crate::protocol::{ErrorCode, Failure};
use crate::types::FileName;

/// How often to look whether the users who are there may still be there: a change takes effect
/// within a second.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// Everybody who has been let in.
#[derive(Default)]
pub(super) struct Sessions {
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    sessions: BTreeMap<u64, Arc<Session>>,
    last_id: u64,
    /// Whether somebody looks after the users among them.
    watched: bool,
}

/// One client that has been let in: who it is, and what it does.
pub(super) struct Session {
    id: u64,
    /// The account that it logged in with, as it was then.
    account: Option<Account>,
    rules: Rules,
    address: Option<SocketAddr>,
    since: Instant,
    doing: Mutex<Doing>,
    received: AtomicU64,
    sent: AtomicU64,
    /// Cancelled when it must not go on, after the reason was put down.
    ended: CancellationToken,
    reason: OnceLock<Failure>,
}

#[derive(Default)]
struct Doing {
    request: Option<&'static str>,
    sending: bool,
    file: Option<String>,
}

/// A session in the list for as long as this lives.
pub(super) struct Entered {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
}

impl Sessions {
    /// Takes in a client. From now on it can be seen and ended, also when its account goes.
    pub(super) fn enter(
        self: &Arc<Self>,
        account: Option<Account>,
        rules: Rules,
        origin: Origin,
    ) -> Entered {
        let mut present = self.present();
        present.last_id += 1;
        let has_account = account.is_some();
        let session = Arc::new(Session {
            id: present.last_id,
            account,
            rules,
            address: origin.address,
            since: Instant::now(),
            doing: Mutex::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            ended: CancellationToken::new(),
            reason: OnceLock::new(),
        });
        present.sessions.insert(session.id, session.clone());
        if has_account && !present.watched {
            present.watched = true;
            tokio::spawn(watch(self.clone()));
        }
        Entered {
            sessions: self.clone(),
            session,
        }
    }

    /// Everybody who is there, in order of their numbers.
    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.present().sessions.values().cloned().collect()
    }

    /// The session with this number.
    pub(super) fn get(&self, id: u64) -> Option<Arc<Session>> {
        self.present().sessions.get(&id).cloned()
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Ends the sessions of users that are there no more or have another password, as long as any user
/// is connected.
async fn watch(sessions: Arc<Sessions>) {
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let mut members = sessions.all();
        members.retain(|session| session.account.is_some());
        let Some(rules) = members.first().map(|session| session.rules.clone()) else {
            let mut present = sessions.present();
            let members = present.sessions.values();
            if members.filter(|session| session.account.is_some()).count() > 0 {
                continue;
            }
            present.watched = false;
            return;
        };
        // As long as the accounts cannot be read, whoever is there may do nothing, and stays.
        let Ok(Ok(users)) = tokio::task::spawn_blocking(move || rules.users()).await else {
            continue;
        };
        for session in members {
            if let Err(failure) = session.standing(users.as_deref()) {
                session.end(failure);
            }
        }
    }
}

impl Session {
    /// Its number.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The user, unless it has no account.
    pub(super) fn user(&self) -> Option<String> {
        let account = self.account.as_ref();
        account.map(|account| account.name.to_string())
    }

    /// What it may do at this moment. Blocks.
    pub(super) fn role(&self) -> Result<Role, Failure> {
        match &self.account {
            None => self.rules.anonymous_role(),
            Some(_) => self.standing(self.rules.users()?.as_deref()),
        }
    }

    /// Whether it may do `action` at this moment: the one check, for everybody. Refusals are noted
    /// in the log. Blocks.
    pub(super) fn allow(&self, action: Action) -> Result<(), Failure> {
        let role = self.role()?;
        crate::access::check(role, action).map_err(|denied| {
            info!(%denied, "refused");
            match denied {
                Denied {
                    role: Role::None, ..
                } => permission::user_wanted(),
                denied => denied.into(),
            }
        })
    }

    /// The role of its account, if that is still the one that it logged in with.
    fn standing(&self, users: Option<&Users>) -> Result<Role, Failure> {
        let Some(then) = &self.account else {
            return Ok(Role::None);
        };
        users
            .and_then(|users| users.get(&then.name))
            .filter(|now| now.hash == then.hash)
            .map(|now| now.role)
            .ok_or_else(|| {
                let user = &then.name;
                Failure::new(
                    ErrorCode::Unauthorized,
                    format!("the user {user} was removed or has another password: log in again"),
                )
            })
    }

    /// Notes what it is doing.
    pub(super) fn begin(&self, request: &ClientBody) {
        *self.doing() = Doing {
            request: Some(permission::name(request)),
            sending: matches!(request, ClientBody::Download { .. }),
            file: permission::subject(request),
        };
    }

    /// Whether content is being sent to it.
    pub(super) fn is_sending(&self) -> bool {
        self.doing().sending
    }

    /// Notes which file it has come to.
    pub(super) fn turn_to(&self, name: &FileName) {
        self.doing().file = Some(name.as_str().to_owned());
    }

    /// Notes that it is doing nothing more.
    pub(super) fn rest(&self) {
        *self.doing() = Doing::default();
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Counts file content that came from it.
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts file content that went to it.
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Ends it, whatever it is doing; the first reason counts.
    pub(super) fn end(&self, reason: Failure) {
        let _ = self.reason.set(reason);
        self.ended.cancel();
    }

    /// Whether it is ended.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until it is ended, and tells why.
    pub(super) async fn ended(&self) -> Failure {
        self.ended.cancelled().await;
        let unknown = || Failure::new(ErrorCode::Internal, "this session was ended");
        self.reason.get().cloned().unwrap_or_else(unknown)
    }

    /// What an administrator sees of it. Blocks.
    pub(super) fn to_wire(&self) -> WireSession {
        let doing = self.doing();
        let address = self.address.map(|address| address.to_string());
        WireSession {
            id: self.id,
            user: self.user(),
            role: self.role().unwrap_or(Role::None).level(),
            address: address.unwrap_or_default(),
            connected: self.since.elapsed().as_secs(),
            activity: doing.request.unwrap_or("idle").to_owned(),
            file: doing.file.clone(),
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }
}

impl Entered {
    /// The session, for work that may outlive the list entry.
    pub(super) fn session(&self) -> Arc<Session> {
        self.session.clone()
    }
}

impl Deref for Entered {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.sessions.present().sessions.remove(&self.session.id);
    }
}
