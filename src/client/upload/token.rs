use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tracing::debug;

use crate::client::ServerAddress;
use crate::digest;
use crate::disk::{Document, Folder};
use crate::types::{FileName, Timestamp};

/// From this size on a file is worth going on with; a smaller one is sent again in no time.
const LEAST: u64 = 1024 * 1024;

const LEAF: &str = "upload-secret";

/// What makes the tokens of this user's uploads: the same file for the same name on the same server
/// has the same one in every run, and nobody else can guess it.
#[derive(Clone)]
pub(in crate::client) struct Tokens {
    state: Option<PathBuf>,
    secret: Arc<OnceLock<[u8; 32]>>,
}

impl Tokens {
    /// The secret is kept in this folder, and made when the first token is needed. One that cannot
    /// be kept serves for this run.
    pub(in crate::client) fn kept_in(state: Option<&Path>) -> Self {
        Tokens {
            state: state.map(Path::to_owned),
            secret: Arc::default(),
        }
    }

    /// What this user is known by at a server, in every run, and nobody else can guess.
    pub(in crate::client) fn identity(&self, server: &str) -> [u8; 32] {
        digest::keyed(self.secret(), &[b"registration", server.as_bytes()])
    }

    fn secret(&self) -> &[u8; 32] {
        self.secret.get_or_init(|| {
            let fresh: [u8; 32] = rand::random();
            let kept = self.state.as_deref().map(|state| kept(state, fresh));
            kept.unwrap_or(Ok(fresh)).unwrap_or_else(|error| {
                debug!(%error, "uploads of this run cannot go on in another one");
                fresh
            })
        })
    }

    /// The token of a local file for a name on a server; 0 when it is not worth one.
    pub(super) fn of(
        &self,
        server: &ServerAddress,
        name: &FileName,
        path: &Path,
        metadata: &Metadata,
    ) -> u64 {
        let (Ok(path), Ok(modified)) = (path.canonicalize(), metadata.modified()) else {
            return 0;
        };
        if metadata.len() < LEAST {
            return 0;
        }
        let modified = Timestamp::from(modified);
        let hash = digest::keyed(
            self.secret(),
            &[
                server.to_string().as_bytes(),
                name.as_str().as_bytes(),
                path.as_os_str().as_encoded_bytes(),
                &inode(metadata).to_le_bytes(),
                &metadata.len().to_le_bytes(),
                &modified.total_nanoseconds().to_le_bytes(),
            ],
        );
        let first = hash.iter().take(8);
        let token = first.fold(0_u64, |token, byte| (token << 8) | u64::from(*byte));
        // 0 says that there is none.
        token.max(1)
    }
}

fn kept(state: &Path, fresh: [u8; 32]) -> io::Result<[u8; 32]> {
    let document = Document::new(&Folder::create_private(state)?, LEAF, fresh.len() as u64);
    let right = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| bytes.try_into().ok());
    if let Some(secret) = right(document.read()?) {
        return Ok(secret);
    }
    let mut secret = fresh;
    document.update(|there| {
        // Another process may have been quicker.
        secret = right(there).unwrap_or(fresh);
        Ok::<_, io::Error>(secret.to_vec())
    })?;
    match right(document.read()?) {
        Some(kept) if kept == secret => Ok(secret),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_metadata: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn address(text: &str) -> ServerAddress {
        text.parse().unwrap()
    }

    fn name(text: &str) -> FileName {
        FileName::parse(text).unwrap()
    }

    #[test]
    fn the_same_unchanged_file_has_the_same_token_in_every_run() {
        let state = tempfile::tempdir().unwrap();
        let home = state.path().join("fileshare");
        let path = state.path().join("file");
        std::fs::write(&path, vec![1; LEAST as usize]).unwrap();
        let token = |tokens: &Tokens, server: &str, text: &str| {
            let metadata = std::fs::metadata(&path).unwrap();
            tokens.of(&address(server), &name(text), &path, &metadata)
        };
        let first = Tokens::kept_in(Some(&home));
        let second = Tokens::kept_in(Some(&home));
        let before = token(&first, "a:2222", "x");
        assert_ne!(before, 0);
        assert_eq!(before, token(&second, "a:2222", "x"));
        assert_ne!(before, token(&first, "b:2222", "x"));
        assert_ne!(before, token(&first, "a:2222", "y"));
        assert_ne!(before, token(&Tokens::kept_in(None), "a:2222", "x"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let secret = std::fs::metadata(home.join(LEAF)).unwrap();
            assert_eq!(secret.permissions().mode() & 0o777, 0o600);
        }
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(9))
            .unwrap();
        assert_ne!(before, token(&first, "a:2222", "x"));
        std::fs::write(&path, b"small").unwrap();
        assert_eq!(token(&first, "a:2222", "x"), 0);
    }

    #[test]
    fn a_secret_that_cannot_be_kept_serves_for_one_run() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("file");
        std::fs::write(&file, b"not a folder").unwrap();
        let tokens = Tokens::kept_in(Some(&file));
        assert_eq!(tokens.secret(), tokens.clone().secret());
        // One that was damaged is made anew.
        let home = state.path().join("fileshare");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join(LEAF), b"short").unwrap();
        let made = Tokens::kept_in(Some(&home));
        assert_eq!(made.secret(), Tokens::kept_in(Some(&home)).secret());
    }
}
