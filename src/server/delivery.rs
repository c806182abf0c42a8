use std::io::{Read, Seek};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::info;

use super::conversation::Conversation;
use super::sessions::Session;
use crate::access::Action;
use crate::net::NetError;
use crate::protocol::{ErrorCode, Failure, WireRef};
use crate::store::{Store, StoredFile};
use crate::transfer::{Answering, Catalog, Opening, Source};
use crate::types::{Digest, Entry, FileName, FileRef};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Conversation<S> {
    /// Answers `Download` with files of the store.
    pub(super) async fn download(&mut self, number: u32) -> Result<(), NetError> {
        let stored = Stored {
            store: self.context.store.clone(),
            session: self.session.session(),
        };
        let mut answering = Answering {
            reader: &mut self.reader,
            writer: &mut self.outbox.writer,
            protocol: &mut self.protocol,
            catalog: &stored,
            held: &mut self.held,
        };
        answering.download(number).await
    }
}

/// The files of the store, as one client may have them.
struct Stored {
    store: Store,
    session: Arc<Session>,
}

impl Catalog for Stored {
    fn opening(&self, file: WireRef) -> Box<dyn FnOnce() -> Opening + Send> {
        let (store, session) = (self.store.clone(), self.session.clone());
        Box::new(move || match open(&store, &session, file) {
            Ok(source) => Opening::Send(Box::new(source)),
            Err(failure) => Opening::Fail(failure),
        })
    }

    fn is_ended(&self) -> bool {
        self.session.is_ended()
    }

    fn turn_to(&self, name: &FileName) {
        self.session.turn_to(name);
    }

    fn sent(&self, bytes: usize) {
        self.session.sent(bytes);
    }
}

fn open(store: &Store, session: &Session, file: WireRef) -> Result<StoredSource, Failure> {
    session.allow(Action::Read)?;
    let file = FileRef::try_from(file)?;
    Ok(StoredSource(store.open_file(&file)?))
}

struct StoredSource(StoredFile);

impl StoredSource {
    fn unreadable(&self, error: &std::io::Error) -> Failure {
        let name = &self.0.entry.name;
        Failure::new(ErrorCode::Io, format!("{name} cannot be read: {error}"))
    }
}

impl Source for StoredSource {
    fn entry(&self) -> Option<Entry> {
        Some(self.0.entry.clone())
    }

    fn size(&self) -> Option<u64> {
        Some(self.0.entry.size)
    }

    fn digest(&self) -> Option<Digest> {
        self.0.entry.id
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let read = self.0.read(buffer);
        read.map_err(|error| self.unreadable(&error))
    }

    fn rewind(&mut self) -> Result<(), Failure> {
        let rewound = self.0.file().rewind();
        rewound.map_err(|error| self.unreadable(&error))
    }

    fn finish(&mut self, digest: Digest) -> Result<(), Failure> {
        self.0.check_unchanged()?;
        if self.0.entry.id.is_none() {
            self.0.digest_seen(digest);
        }
        let entry = &self.0.entry;
        info!(name = %entry.name, size = entry.size, id = %digest, "downloaded");
        Ok(())
    }
}
