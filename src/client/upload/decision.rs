use std::path::PathBuf;

use super::{Known, Sent};
use crate::client::Status;
use crate::client::local::LocalFile;
use crate::protocol::{ErrorCode, Failure};
use crate::types::{Digest, Entry, OnConflict};

/// Decides what to do about a file that stands under the name on the server.
pub(super) struct Decision {
    pub(super) path: Option<PathBuf>,
    pub(super) on_conflict: OnConflict,
    /// What was sent before a cut: it may have been stored without our hearing of it.
    pub(super) sent: Option<Sent>,
    pub(super) known: Option<Known>,
}

pub(super) enum Decided {
    /// Send it; the file may be open and hashed already.
    Send(Option<(LocalFile, Digest)>),
    /// Do not, and all is well.
    Leave(Status),
    /// Do not, and that is a failure.
    Refuse(Failure),
}

impl Decision {
    pub(super) fn decide(self, standing: &Entry) -> Decided {
        if self
            .sent
            .is_some_and(|sent| standing.id == Some(sent.digest))
        {
            return Decided::Leave(Status::Done);
        }
        match self.on_conflict {
            OnConflict::Rename => Decided::Send(None),
            OnConflict::Skip => Decided::Leave(Status::Skipped),
            OnConflict::Overwrite => match self.compare(standing) {
                Ok(Compared::Same) => Decided::Leave(Status::Unchanged),
                Ok(Compared::Different(hashed)) => Decided::Send(hashed),
                Ok(Compared::Unknown) => Decided::Send(None),
                Err(failure) => Decided::Refuse(failure),
            },
            OnConflict::Error => {
                let content = match self.compare(standing) {
                    Ok(Compared::Same) => " with the same content",
                    Ok(Compared::Different(_)) => " with other content",
                    Ok(Compared::Unknown) | Err(_) => "",
                };
                Decided::Refuse(Failure::new(
                    ErrorCode::AlreadyExists,
                    format!("{} exists already on the server{content}", standing.name),
                ))
            }
        }
    }

    fn compare(&self, standing: &Entry) -> Result<Compared, Failure> {
        let Some(path) = &self.path else {
            return Ok(Compared::Unknown);
        };
        let mut file = LocalFile::open(path)?;
        if file.facts.size != standing.size {
            return Ok(Compared::Different(None));
        }
        let Some(id) = standing.id else {
            return Ok(Compared::Unknown);
        };
        let digest = match self.known.and_then(|known| known.digest_of(&file)) {
            Some(digest) => digest,
            None => file.hash(|_| {})?,
        };
        Ok(match digest == id {
            true => Compared::Same,
            false => Compared::Different(Some((file, digest))),
        })
    }
}

/// How the local file's content compares with what stands there.
enum Compared {
    Same,
    /// The file may have been hashed for that, through this handle.
    Different(Option<(LocalFile, Digest)>),
    Unknown,
}
