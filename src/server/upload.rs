use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::Instant;
use tracing::{debug, info};

use super::conversation::{Conversation, blocking};
use super::partial::{self, read_again};
use super::sessions::Session;
use crate::access::Action;
use crate::digest::Hasher;
use crate::net::{Frame, NetError, Patience, heartbeat};
use crate::protocol::codec;
use crate::protocol::limits::MESSAGE_TIME;
use crate::protocol::message::{
    ClientBody, ClientMessage, FileMessage, ServerBody, UploadFile, UploadResult, Verdict,
    WireConflict, WireRange,
};
use crate::protocol::session::Violation;
use crate::protocol::{Content, ErrorCode, Failure, WireDigest, WireError};
use crate::store::{
    Cause, Found, NewFile, Partial, PartialKey, Store, StoreError, StoredFile, Upload,
};
use crate::transfer::{Done, Incoming, Receiving, Sink};
use crate::types::{Digest, Entry, FileName, FileRef, Item, OnConflict, Precondition, Timestamp};

/// What became of one file, by its place in the batch.
type FileResult = (u32, Result<Entry, Failure>);

/// An upload that is under way.
struct Batch {
    number: u32,
    /// On whose behalf the files are stored.
    cause: Cause,
    /// The files that are described and not closed yet, the next one first.
    described: VecDeque<Described>,
    receiving: Receiving<StoreSink>,
    results: UnboundedReceiver<FileResult>,
    /// Files that began and have no result yet.
    outstanding: u32,
    /// When the client last sent anything but that it is alive.
    progressed: Instant,
}

/// A file that the client has described.
struct Described {
    /// The file, or why it is refused; one that is sent all the same is refused again.
    new: Result<NewFile, Failure>,
    /// Whether a file stood under its name when it was described.
    replaces: bool,
    /// What there is of it already, as the client is told.
    found: Found,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    /// Answers `Upload`: verdicts for each page, results for each file as they become known.
    pub(super) async fn upload(&mut self, number: u32) -> Result<(), NetError> {
        let (sender, results) = mpsc::unbounded_channel();
        let mut batch = Batch {
            number,
            cause: self.cause(),
            described: VecDeque::new(),
            receiving: Receiving::new(sender),
            results,
            outstanding: 0,
            progressed: Instant::now(),
        };
        let received = self.receive(&mut batch).await;
        if received.is_err() {
            batch.receiving.cut().await;
        }
        received?;
        self.outbox.answer(number, ServerBody::UploadEnd).await
    }

    /// Takes what comes until every file is closed and every result told.
    async fn receive(&mut self, batch: &mut Batch) -> Result<(), NetError> {
        let mut heartbeat = heartbeat();
        while self.protocol.is_uploading() || batch.outstanding > 0 || batch.receiving.is_busy() {
            let limits = self.protocol.body_limits();
            let patience = match limits.data {
                Some(_) => Patience::Stream,
                None => Patience::Idle(MESSAGE_TIME),
            };
            let may_read = self.protocol.is_uploading() && !batch.receiving.is_full();
            tokio::select! {
                frame = self.reader.next(limits, patience), if may_read => match frame? {
                    Frame::Data(content) => self.take_data(content, batch)?,
                    Frame::Message(body) => {
                        self.take_message(codec::decode(&body)?, batch).await?;
                    }
                },
                turned = batch.receiving.turn(), if batch.receiving.is_busy() => turned?,
                Some(result) = batch.results.recv() => self.tell(batch, result).await?,
                _ = heartbeat.tick() => self.outbox.answer(batch.number, ServerBody::Alive).await?,
            }
        }
        Ok(())
    }

    fn take_data(&mut self, content: Content, batch: &mut Batch) -> Result<(), NetError> {
        self.protocol.receive_data(content.size())?;
        self.session.received(content.wire_size());
        batch.progressed = Instant::now();
        batch.receiving.push(Incoming::Data(content));
        Ok(())
    }

    async fn take_message(
        &mut self,
        message: ClientMessage,
        batch: &mut Batch,
    ) -> Result<(), NetError> {
        self.protocol.receive(&message)?;
        if !matches!(message.body, ClientBody::Alive) {
            batch.progressed = Instant::now();
        }
        match message.body {
            ClientBody::UploadPage { files } => return self.examine(files, batch).await,
            ClientBody::File(FileMessage::Begin { index, offset, .. }) => {
                self.begin(index, offset, None, batch)?;
            }
            ClientBody::File(FileMessage::Patch {
                index,
                offset,
                basis,
            }) => self.begin(index, offset, Some(basis), batch)?,
            ClientBody::File(FileMessage::Copy(WireRange { offset, length })) => {
                let part = offset..offset.saturating_add(length);
                batch.receiving.push(Incoming::Copy(part));
            }
            ClientBody::File(FileMessage::End { digest }) => {
                batch.described.pop_front();
                batch.receiving.push(match Digest::try_from(digest) {
                    Ok(digest) => Incoming::End(digest),
                    Err(error) => Incoming::Abort(error.into()),
                });
            }
            ClientBody::File(FileMessage::Abort { code, detail, .. }) => {
                batch.described.pop_front();
                let failure = Failure::from_wire(code, &detail);
                batch.receiving.push(Incoming::Abort(failure));
            }
            ClientBody::Skip { .. } => {
                batch.described.pop_front();
            }
            _ => return check_alive(batch.progressed, self.context.options.idle_timeout),
        }
        Ok(())
    }

    /// Says for each file of a page whether it may be sent.
    async fn examine(&mut self, files: Vec<UploadFile>, batch: &mut Batch) -> Result<(), NetError> {
        let (store, session) = (self.context.store.clone(), self.session.session());
        let cause = batch.cause.clone();
        let work = async {
            let described = blocking({
                let store = store.clone();
                let describe = move |file| describe(&store, &session, &cause, file);
                move || Ok(files.into_iter().map(describe).collect::<Vec<_>>())
            });
            offer_beginnings(&store, described.await?).await
        };
        let examined = self.outbox.alive_during(batch.number, work).await?;
        let examined = examined.map_err(|failure| std::io::Error::other(failure.to_string()))?;
        let (described, verdicts): (Vec<_>, Vec<_>) = examined.into_iter().unzip();
        batch.described.extend(described);
        let body = |verdicts| ServerBody::UploadReady { verdicts };
        self.outbox.queue_all(batch.number, &verdicts, body).await?;
        self.outbox.writer.flush().await
    }

    /// A file begins: with a basis, it may copy from that one.
    fn begin(
        &self,
        index: u32,
        offset: u64,
        basis: Option<WireDigest>,
        batch: &mut Batch,
    ) -> Result<(), NetError> {
        let Some(mut described) = batch.described.front_mut().map(Described::take) else {
            return Ok(());
        };
        if let Ok(new) = &described.new {
            self.session.turn_to(&new.name);
        }
        let partial = described.go_on_at(offset)?;
        let (store, session) = (self.context.store.clone(), self.session.session());
        let open = move || {
            let mut new = described.new?;
            session.allow(Action::Add)?;
            if new.on_conflict == OnConflict::Overwrite {
                let allowed = session.allow(Action::Overwrite);
                if described.replaces {
                    allowed?;
                } else if allowed.is_err() {
                    // The name was free; should it be taken by now, it stays as it is.
                    new.on_conflict = OnConflict::Error;
                }
            }
            let needs = match new.on_conflict {
                OnConflict::Overwrite => Action::Overwrite,
                _ => Action::Add,
            };
            let basis = basis.map(|id| open_basis(&store, &session, id));
            let basis = basis.transpose()?;
            let (upload, hasher) = match partial {
                Some(partial) => store.go_on(new, *partial)?,
                None => (store.stage(new)?, Hasher::new()),
            };
            let sink = StoreSink {
                upload: Some(upload),
                basis,
                session,
                needs,
            };
            Ok((sink, hasher))
        };
        batch.outstanding += 1;
        batch.receiving.push(Incoming::Begin {
            index,
            expected: None,
            open: Box::new(open),
        });
        Ok(())
    }

    /// Tells the client a result, and all others that are there by now.
    async fn tell(&mut self, batch: &mut Batch, first: FileResult) -> Result<(), NetError> {
        let mut results = vec![wire_result(first)];
        while results.len() < RESULTS {
            match batch.results.try_recv() {
                Ok(result) => results.push(wire_result(result)),
                Err(_) => break,
            }
        }
        batch.outstanding = batch.outstanding.saturating_sub(results.len() as u32);
        let body = |results| ServerBody::UploadResults { results };
        self.outbox.queue_all(batch.number, &results, body).await?;
        self.outbox.writer.flush().await
    }
}

/// The most results in one message.
const RESULTS: usize = 1024;

impl Described {
    /// What is needed when the file begins. What is needed should it be closed stays.
    fn take(&mut self) -> Described {
        Described {
            new: self.new.clone(),
            replaces: self.replaces,
            found: std::mem::replace(&mut self.found, Found::Nothing),
        }
    }

    /// What the client goes on with: it may begin at 0, or behind what it was offered.
    fn go_on_at(&mut self, offset: u64) -> Result<Option<Box<Partial>>, Violation> {
        match std::mem::replace(&mut self.found, Found::Nothing) {
            _ if offset == 0 => Ok(None),
            Found::Partial(partial) if partial.length() == offset => Ok(Some(partial)),
            _ => Err(Violation("a file that begins where nobody offered")),
        }
    }
}

fn describe(
    store: &Store,
    session: &Session,
    cause: &Cause,
    file: UploadFile,
) -> (Described, Verdict) {
    match examine(store, session, cause, file) {
        Ok((new, existing)) => {
            // Where another file stands that is not to be replaced there is nothing to send.
            let is_wanted = existing.is_none() || new.on_conflict == OnConflict::Overwrite;
            let found = match is_wanted {
                true => partial::find(store, &new).unwrap_or(Found::Nothing),
                false => Found::Nothing,
            };
            let described = Described {
                replaces: existing.is_some(),
                new: Ok(new),
                found,
            };
            let verdict = existing.map_or(Verdict::Start, |entry| Verdict::Exists((&entry).into()));
            (described, verdict)
        }
        Err(failure) => {
            let (code, detail) = failure.to_wire();
            let described = Described {
                new: Err(failure),
                replaces: false,
                found: Found::Nothing,
            };
            (described, Verdict::Refused { code, detail })
        }
    }
}

/// Reads again what there is of the files of a page, and offers it.
async fn offer_beginnings(
    store: &Store,
    mut examined: Vec<(Described, Verdict)>,
) -> Result<Vec<(Described, Verdict)>, Failure> {
    let until = Instant::now() + partial::PATIENCE;
    for (described, verdict) in &mut examined {
        let found = std::mem::replace(&mut described.found, Found::Nothing);
        if let Ok(new) = &described.new {
            described.found = read_again(store, new, found, until).await?;
        }
        // A file of which something is here was to replace what stands there before, too.
        if let Found::Partial(partial) = &described.found {
            *verdict = Verdict::Resume {
                offset: partial.length(),
                digest: partial.digest().into(),
            };
        }
    }
    Ok(examined)
}

/// The file to be stored, and the one that has its name, unless another name would be found.
fn examine(
    store: &Store,
    session: &Session,
    cause: &Cause,
    file: UploadFile,
) -> Result<(NewFile, Option<Entry>), Failure> {
    session.allow(Action::Add)?;
    let new = new_file(cause, file)?;
    let mut existing = store.examine(&new)?;
    if new.on_conflict == OnConflict::Rename {
        existing = None;
    }
    if let Some(entry) = existing.as_mut().filter(|entry| entry.id.is_none())
        && new.size == Some(entry.size)
        && let Item::File(hashed) = store.stat(&FileRef::Name(new.name.clone()))?
    {
        // It may be the same content, which need not come again: worth hashing what is here.
        *entry = hashed;
    }
    // What the id says is not what the bytes are: the same content again is the cure.
    if let Some(entry) = existing.as_mut()
        && store.is_damaged(&new.name)
    {
        entry.id = None;
    }
    let expected = new.precondition.if_match;
    let found = existing.as_ref().map(|entry| entry.id);
    if expected.is_some() && found != Some(expected) && found != Some(None) {
        let name = new.name.clone();
        return Err(StoreError::PreconditionFailed { name }.into());
    }
    Ok((new, existing))
}

fn new_file(cause: &Cause, file: UploadFile) -> Result<NewFile, Failure> {
    let name = FileName::parse(&file.name).map_err(WireError::Name)?;
    let modified = match file.modified {
        Some((seconds, nanoseconds)) => Some(
            Timestamp::new(seconds, nanoseconds).ok_or(WireError::Field("a time out of range"))?,
        ),
        None => None,
    };
    Ok(NewFile {
        partial: PartialKey::new(cause.owner.as_deref(), file.token, &name),
        name,
        size: file.size,
        modified,
        executable: file.executable,
        on_conflict: match file.on_conflict {
            WireConflict::Refuse => OnConflict::Error,
            WireConflict::Replace => OnConflict::Overwrite,
            WireConflict::Rename => OnConflict::Rename,
        },
        precondition: Precondition {
            if_match: file.if_match.map(Digest::try_from).transpose()?,
        },
        cause: cause.clone(),
    })
}

/// The file that a new one is put together from: any that the client may read.
fn open_basis(store: &Store, session: &Session, id: WireDigest) -> Result<StoredFile, Failure> {
    session.allow(Action::Read)?;
    let id = Digest::try_from(id)?;
    Ok(store.open_file(&FileRef::from(id))?)
}

fn wire_result((index, result): FileResult) -> UploadResult {
    match result {
        Ok(entry) => {
            info!(name = %entry.name, size = entry.size, "stored");
            let entry = (&entry).into();
            UploadResult::Stored { index, entry }
        }
        Err(failure) => {
            debug!(index, %failure, "a file was not stored");
            let (code, detail) = failure.to_wire();
            UploadResult::Failed {
                index,
                code,
                detail,
            }
        }
    }
}

/// A client may say for a while that it has nothing to send, but not for ever.
fn check_alive(progressed: Instant, idle_timeout: Duration) -> Result<(), NetError> {
    if progressed.elapsed() > idle_timeout {
        return Err(NetError::Timeout(
            "nothing but signs of life came for too long",
        ));
    }
    Ok(())
}

struct StoreSink {
    /// `None` once it is in other hands.
    upload: Option<Upload>,
    /// What may be copied from.
    basis: Option<StoredFile>,
    session: Arc<Session>,
    /// What putting it in its place needs permission for.
    needs: Action,
}

impl Sink for StoreSink {
    type Receipt = Entry;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.upload {
            Some(upload) => Ok(upload.write(bytes)?),
            None => Ok(()),
        }
    }

    fn read_basis(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Failure> {
        let Some(basis) = &mut self.basis else {
            return Ok(0);
        };
        basis.read_at(offset, buffer).map_err(|error| {
            let name = &basis.entry.name;
            Failure::new(ErrorCode::Io, format!("{name} cannot be read: {error}"))
        })
    }

    fn finish(mut self, digest: Digest, done: Done<Entry>) {
        let Some(upload) = self.upload.take() else {
            return;
        };
        // A large file takes long, and what was allowed when it began may not be any more.
        if let Err(failure) = self.session.allow(self.needs) {
            drop(upload);
            return done(Err(failure));
        }
        let done = |result: Result<Entry, StoreError>| done(result.map_err(Failure::from));
        upload.publish(digest, Box::new(done));
    }

    fn discard(mut self) {
        self.upload = None;
    }
}

impl Drop for StoreSink {
    /// The connection was cut.
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            upload.keep();
        }
    }
}
