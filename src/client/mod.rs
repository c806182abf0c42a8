//! The typed client: everything that the terminal can do, a program can do.

mod address;
mod batch;
mod dial;
mod download;
mod known_servers;
mod link;
mod local;
mod options;
mod resemblance;
mod retry;
mod rounds;
mod trash;
mod trust;
mod upload;
mod verify;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use address::{AddressError, DEFAULT_PORT, ServerAddress};
pub use batch::{Done, Download, FileReport, Source, Status, Target, Upload};
pub use known_servers::KnownServers;
pub use options::{ClientOptions, Credentials};
pub use trash::{Removed, Undone};
pub use trust::{Consent, FirstContact, Trust, TrustPolicy, Unattended};
pub use verify::Verification;

use crate::access::Role;
use crate::net::Throttle;
use crate::protocol::message::{ClientBody, ServerBody, ServerInfo, WireSession};
use crate::protocol::session::Answer;
use crate::protocol::{ErrorCode, Failure};
use crate::transfer::Progress;
use crate::types::{FileName, FileRef, Item, Precondition};

use dial::Dialler;
use link::Link;
use retry::Retries;
use upload::Tokens;

/// Why the client could not do something.
pub use crate::protocol::Failure as ClientError;

/// Which files a listing or comparison is about.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// The folder; `None` is the root.
    pub folder: Option<FileName>,
    /// Globs relative to the folder; none means everything below it.
    pub patterns: Vec<String>,
    /// Stop after this many items; 0 lists all.
    pub limit: u32,
}

/// A connection to a server, made when it is first needed and again when it was lost.
///
/// Dropping the future of any method cancels what it does: the connection is closed, what was not
/// complete changes nothing, and the next call connects anew.
pub struct Client {
    options: ClientOptions,
    dialler: Dialler,
    link: Option<Link>,
    /// The command that changes belong to.
    command: Option<u64>,
    /// Whether this client ever was connected: a cut after that is worth a retry.
    met: bool,
    tokens: Tokens,
}

impl Client {
    /// A client of the server at `address`. Does not connect yet.
    pub fn new(address: ServerAddress, options: ClientOptions) -> Self {
        let dialler = Dialler {
            address,
            timeout: options.timeout,
            throttle: options.limit_rate.map(|rate| Arc::new(Throttle::new(rate))),
            plaintext: options.plaintext,
            trust: options.trust.clone(),
            login: options.login.clone(),
        };
        Client {
            tokens: Tokens::kept_in(options.state_dir.as_deref()),
            options,
            dialler,
            link: None,
            command: None,
            met: false,
        }
    }

    /// The server's address.
    pub fn address(&self) -> &ServerAddress {
        &self.dialler.address
    }

    /// Whether it logs in as somebody.
    pub fn has_login(&self) -> bool {
        self.dialler.login.is_some()
    }

    /// Logs in with these from the next connection on; one that is open is closed.
    pub fn log_in(&mut self, credentials: Credentials) {
        self.dialler.login = Some(credentials);
        self.link = None;
    }

    /// Connects unless connected.
    pub async fn connect(&mut self) -> Result<(), ClientError> {
        let link = self.take_link().await?;
        self.link = Some(link);
        Ok(())
    }

    /// Whether there is a connection (as far as is known).
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// Whether there ever was a connection.
    pub fn was_connected(&self) -> bool {
        self.met
    }

    /// What this client may do on the server, once it is connected.
    pub fn role(&self) -> Option<Role> {
        self.link.as_ref().map(|link| link.role)
    }

    /// The round-trip time.
    pub async fn ping(&mut self) -> Result<Duration, ClientError> {
        self.connect().await?;
        let started = Instant::now();
        match self.ask(ClientBody::Ping, Repeat::Safe).await? {
            ServerBody::Pong => Ok(started.elapsed()),
            other => Err(unexpected(&other)),
        }
    }

    /// What the server says of itself.
    pub async fn info(&mut self) -> Result<ServerInfo, ClientError> {
        match self.ask(ClientBody::Info, Repeat::Safe).await? {
            ServerBody::Info(info) => Ok(*info),
            other => Err(unexpected(&other)),
        }
    }

    /// Lists, in order of names; `each` gets every item as it arrives.
    pub async fn list(
        &mut self,
        query: &ListQuery,
        each: &mut (dyn FnMut(Item) + Send),
    ) -> Result<(), ClientError> {
        let request = ClientBody::List {
            folder: query.folder.as_ref().map(|f| f.as_str().to_owned()),
            patterns: query.patterns.clone(),
            limit: query.limit,
        };
        let mut retries = Retries::new(&self.options);
        // After a cut the listing starts again; names that were told already are passed over.
        let mut told: Option<FileName> = None;
        loop {
            let mut tell = |item: Item| {
                if told.as_ref().is_none_or(|last| item.name() > last) {
                    told = Some(item.name().clone());
                    each(item);
                }
            };
            match self.list_once(request.clone(), &mut tell).await {
                Err(failure) if self.may_retry(&failure) => retries.wait(failure).await?,
                other => return other,
            }
        }
    }

    async fn list_once(
        &mut self,
        request: ClientBody,
        each: &mut (dyn FnMut(Item) + Send),
    ) -> Result<(), ClientError> {
        let mut previous: Option<FileName> = None;
        let mut take = |body| match body {
            ServerBody::Page { items, .. } => items.into_iter().try_for_each(|item| {
                let item = Item::try_from(item).map_err(|error| link::broken(&error))?;
                let before = previous.replace(item.name().clone());
                if before.is_some_and(|before| *item.name() <= before) {
                    return Err(link::broken("a listing that is out of order"));
                }
                each(item);
                Ok(())
            }),
            other => Err(unexpected(&other)),
        };
        self.ask_for_pages(request, &mut take).await
    }

    /// Everybody's sessions on the server, in order of their numbers; `each` gets every one as it
    /// arrives. Needs the role admin.
    pub async fn sessions(
        &mut self,
        each: &mut (dyn FnMut(WireSession) + Send),
    ) -> Result<(), ClientError> {
        self.ask_for_sessions(ClientBody::Sessions, each).await
    }

    /// Ends the session with this number; returns what it was. Needs the role admin.
    pub async fn kick(&mut self, id: u64) -> Result<WireSession, ClientError> {
        let mut kicked = None;
        let mut each = |session| kicked = Some(session);
        self.ask_for_sessions(ClientBody::Kick { id }, &mut each)
            .await?;
        kicked.ok_or_else(|| link::broken("it names no session that was ended"))
    }

    async fn ask_for_sessions(
        &mut self,
        request: ClientBody,
        each: &mut (dyn FnMut(WireSession) + Send),
    ) -> Result<(), ClientError> {
        let mut take = |body| match body {
            ServerBody::Sessions { sessions, .. } => {
                sessions.into_iter().for_each(&mut *each);
                Ok(())
            }
            other => Err(unexpected(&other)),
        };
        self.ask_for_pages(request, &mut take).await
    }

    /// Makes a request whose answer comes in one or more messages.
    async fn ask_for_pages(
        &mut self,
        request: ClientBody,
        take: &mut (dyn FnMut(ServerBody) -> Result<(), Failure> + Send),
    ) -> Result<(), Failure> {
        let mut link = self.take_link().await?;
        let number = link.request(request).await?;
        loop {
            let (answer, body) = link.answer(number).await?;
            if let ServerBody::Refused { code, detail } = body {
                self.link = Some(link);
                return Err(Failure::from_wire(code, &detail));
            }
            take(body)?;
            if answer == Answer::Final {
                self.link = Some(link);
                return Ok(());
            }
        }
    }

    /// One file or folder, as it is now.
    pub async fn stat(&mut self, file: &FileRef) -> Result<Item, ClientError> {
        self.stat_with(file, false).await
    }

    async fn stat_with(&mut self, file: &FileRef, wait_for_id: bool) -> Result<Item, ClientError> {
        let request = ClientBody::Stat {
            file: file.into(),
            wait_for_id,
        };
        self.ask_item(request, Repeat::Safe).await
    }

    /// Renames; never replaces. Returns what stands under the new name, or would in a dry run.
    pub async fn rename(
        &mut self,
        from: &FileRef,
        to: &FileName,
        precondition: Precondition,
        dry_run: bool,
    ) -> Result<Item, ClientError> {
        let request = ClientBody::Rename {
            from: from.into(),
            to: to.as_str().to_owned(),
            if_match: precondition.if_match.map(Into::into),
            dry_run,
        };
        self.ask_item(request, Repeat::Never).await
    }

    /// Removes a file, or with `recursive` a folder. Returns what was removed, and whether it is
    /// kept in the trash.
    pub async fn remove(
        &mut self,
        file: &FileRef,
        recursive: bool,
        precondition: Precondition,
        dry_run: bool,
    ) -> Result<Removed, ClientError> {
        let request = ClientBody::Remove {
            file: file.into(),
            recursive,
            if_match: precondition.if_match.map(Into::into),
            dry_run,
        };
        match self.ask(request, Repeat::Never).await? {
            ServerBody::Removed { item, kept } => {
                let item = Item::try_from(item).map_err(|error| link::broken(&error))?;
                Ok(Removed { item, kept })
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a folder and the missing ones above it.
    pub async fn make_folder(&mut self, name: &FileName, dry_run: bool) -> Result<(), ClientError> {
        let request = ClientBody::MakeFolder {
            name: name.as_str().to_owned(),
            dry_run,
        };
        self.ask_item(request, Repeat::Never).await.map(drop)
    }

    /// Uploads; every file is reported once, in no particular order. `Err` only when nothing could
    /// even be tried: no file was reported then.
    ///
    /// The files are one batch: one request, one stream, no round trip for each. A file that is
    /// not acknowledged when the connection is cut goes on after a reconnection, or with the next
    /// call, behind what arrived of it (files of 1 MiB and more) or from its beginning. With
    /// `dry_run` nothing is sent and the reports tell what would be.
    ///
    /// Returns how many bytes of file content crossed the wire, whatever became of them.
    pub async fn put(
        &mut self,
        files: Vec<Upload>,
        dry_run: bool,
        progress: Arc<dyn Progress>,
        report: &mut (dyn FnMut(FileReport) + Send),
    ) -> Result<u64, ClientError> {
        if self.command.is_none() {
            // The whole batch is one command, however many connections it takes.
            self.begin_command();
            let put = upload::put(self, files, dry_run, progress, report).await;
            self.command = None;
            return put;
        }
        upload::put(self, files, dry_run, progress, report).await
    }

    /// Downloads; every file is reported once, in no particular order. `Err` only when nothing
    /// could even be tried: no file was reported then.
    ///
    /// What came of a file before a cut is kept beside its target as `.fileshare-NAME.part` (from
    /// 1 MiB on), and after a reconnection or with the next call the rest follows, if it is still
    /// the beginning of the server's file.
    ///
    /// Returns how many bytes of file content crossed the wire, whatever became of them.
    pub async fn get(
        &mut self,
        files: Vec<Download>,
        dry_run: bool,
        progress: Arc<dyn Progress>,
        report: &mut (dyn FnMut(FileReport) + Send),
    ) -> Result<u64, ClientError> {
        download::get(self, files, dry_run, progress, report).await
    }

    /// Compares local files below `local` with the server's below `query.folder`, by id, without
    /// transferring. Files that are missing on either side are reported too.
    pub async fn verify(
        &mut self,
        query: &ListQuery,
        local: &Path,
        progress: Arc<dyn Progress>,
        report: &mut (dyn FnMut(Verification) + Send),
    ) -> Result<(), ClientError> {
        verify::verify(self, query, local, progress, report).await
    }

    async fn ask_item(&mut self, request: ClientBody, repeat: Repeat) -> Result<Item, ClientError> {
        match self.ask(request, repeat).await? {
            ServerBody::Item(item) => Item::try_from(item).map_err(|error| link::broken(&error)),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a request with a single answer.
    async fn ask(&mut self, request: ClientBody, repeat: Repeat) -> Result<ServerBody, Failure> {
        let mut retries = Retries::new(&self.options);
        loop {
            match self.ask_once(request.clone(), repeat).await {
                Err(failure) if repeat == Repeat::Safe && self.may_retry(&failure) => {
                    retries.wait(failure).await?;
                }
                Err(failure) if repeat == Repeat::Never && retry::is_cut(&failure) => {
                    return Err(Failure::new(
                        failure.code,
                        format!("{failure}; whether it was done is not known"),
                    ));
                }
                other => return other,
            }
        }
    }

    async fn ask_once(
        &mut self,
        request: ClientBody,
        repeat: Repeat,
    ) -> Result<ServerBody, Failure> {
        let mut link = match repeat {
            Repeat::Safe => self.take_link().await?,
            Repeat::Never => self.take_link_for_change().await?,
        };
        let number = link.request(request).await?;
        let (_, body) = link.answer(number).await?;
        self.link = Some(link);
        match body {
            ServerBody::Refused { code, detail } => Err(Failure::from_wire(code, &detail)),
            body => Ok(body),
        }
    }

    /// The connection, to be put back once it is known to be between two requests.
    ///
    /// Taking it out is what makes dropping a future safe: a connection in the middle of something
    /// is never used again.
    async fn take_link(&mut self) -> Result<Link, Failure> {
        if let Some(mut link) = self.link.take() {
            match link.ending().await {
                None => return Ok(link),
                // Whoever was sent away does not come back by themselves.
                Some(failure)
                    if matches!(failure.code, ErrorCode::Forbidden | ErrorCode::Unauthorized) =>
                {
                    return Err(failure);
                }
                Some(_) => {}
            }
        }
        let link = self.dialler.dial().await?;
        self.met = true;
        Ok(link)
    }

    /// The same, for a request that changes something.
    async fn take_link_for_change(&mut self) -> Result<Link, Failure> {
        let mut link = self.take_link().await?;
        if let Some(command) = self.command {
            link.belong_to(command).await?;
        }
        Ok(link)
    }

    /// How many connections are of use for so many files.
    fn connections(&self, files: usize) -> usize {
        self.options.connections.min(files).max(1)
    }

    /// A client of the same server that does a part of what this one is to do: with the same login,
    /// limits and command, and a connection of its own.
    fn companion(&self) -> Client {
        Client {
            options: self.options.clone(),
            dialler: self.dialler.clone(),
            link: None,
            command: self.command,
            met: false,
            tokens: self.tokens.clone(),
        }
    }

    fn may_retry(&self, failure: &Failure) -> bool {
        self.met && retry::is_cut(failure)
    }
}

/// Whether a request may be made again when its answer was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Safe,
    Never,
}

fn unexpected(_body: &ServerBody) -> Failure {
    // The session has checked that the answer fits the request; this is for the compiler's sake.
    Failure::new(ErrorCode::Protocol, "the server gave an unexpected answer")
}
