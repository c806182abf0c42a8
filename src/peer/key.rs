use std::path::Path;

use tracing::debug;

use crate::disk::Folder;
use crate::net::{IdentityError, PeerTls, TlsIdentity};
use crate::protocol::{ErrorCode, Failure};

/// Below the folder where a client keeps its state.
const FOLDER: &str = "peer";

/// The key that this user's clients show to others: made once, and readable by its owner only. One
/// that cannot be kept serves for this run. Reads files: it blocks.
pub(super) fn own_key(state: Option<&Path>) -> Result<PeerTls, Failure> {
    let kept = state.map(|state| {
        let folder = Folder::create_private(&state.join(FOLDER));
        folder.map(|folder| TlsIdentity::open(&folder))
    });
    let identity = match kept {
        // One that is there and cannot be read is for its owner to look at.
        Some(Ok(Err(error @ IdentityError::Content { .. }))) => return Err(unusable(&error)),
        Some(Ok(Ok(identity))) => identity,
        other => {
            debug!(?other, "a key for this run only");
            TlsIdentity::unkept().map_err(|error| unusable(&error))?
        }
    };
    identity.peer_tls().map_err(|error| unusable(&error))
}

fn unusable(error: &IdentityError) -> Failure {
    let message = format!("this client's own key cannot be used: {error}");
    Failure::new(ErrorCode::Io, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let state = tempfile::tempdir().unwrap();
        let first = own_key(Some(state.path())).unwrap().fingerprint();
        assert_eq!(own_key(Some(state.path())).unwrap().fingerprint(), first);
        let file = state.path().join("peer/identity.pem");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&file, "garbage").unwrap();
        assert!(own_key(Some(state.path())).is_err());
        assert!(own_key(Some(Path::new("/proc/nowhere"))).is_ok());
        assert!(own_key(None).is_ok());
    }
}
