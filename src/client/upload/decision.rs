use super::{Known, Sent};
use crate::client::Status;
use crate::client::local::{LocalFile, LocalPlace};
use crate::protocol::{ErrorCode, Failure};
use crate::types::{Digest, Entry, OnConflict};

/// Decides what to do about a file that stands under the name on the server.
pub(super) struct Decision {
    pub(super) place: Option<LocalPlace>,
    pub(super) on_conflict: OnConflict,
    /// What was sent before a cut: it may have been stored without our hearing of it.
    pub(super) sent: Option<Sent>,
    pub(super) known: Option<Known>,
    /// Which file it is to be put together from, and whether its owner may execute it.
    pub(super) wished_basis: Option<Digest>,
    pub(super) executable: bool,
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
                Ok(Compared::Same) if self.is_wanted_again(standing) => Decided::Send(None),
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

    /// Whether the same content is to be put there again: it was named as the basis, and what it is
    /// for has changed.
    fn is_wanted_again(&self, standing: &Entry) -> bool {
        self.wished_basis.is_some()
            && self.wished_basis == standing.id
            && self.executable != standing.executable
    }

    fn compare(&self, standing: &Entry) -> Result<Compared, Failure> {
        let Some(place) = &self.place else {
            return Ok(Compared::Unknown);
        };
        let mut file = LocalFile::open(place)?;
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
