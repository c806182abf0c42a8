use std::path::PathBuf;

use super::Sent;
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
                Ok(Some((_, digest))) if standing.id == Some(digest) => {
                    Decided::Leave(Status::Unchanged)
                }
                Ok(hashed) => Decided::Send(hashed),
                Err(failure) => Decided::Refuse(failure),
            },
            OnConflict::Error => {
                let hashed = self.compare(standing);
                let content = match (hashed, standing.id) {
                    (Ok(Some((_, digest))), Some(id)) if digest == id => " with the same content",
                    (Ok(Some(_)), Some(_)) => " with other content",
                    (Ok(None), _) if self.path.is_some() && standing.id.is_some() => {
                        " with other content"
                    }
                    _ => "",
                };
                Decided::Refuse(Failure::new(
                    ErrorCode::AlreadyExists,
                    format!("{} exists already on the server{content}", standing.name),
                ))
            }
        }
    }

    /// Opens and hashes the local file if it can be the same as what stands there.
    fn compare(&self, standing: &Entry) -> Result<Option<(LocalFile, Digest)>, Failure> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        let mut file = LocalFile::open(path)?;
        if standing.id.is_none() || file.facts.size != standing.size {
            return Ok(None);
        }
        let digest = file.hash(|_| {})?;
        Ok(Some((file, digest)))
    }
}
